"""The replay's promises: nothing of the family leaks, and labels are counted as stated."""

from __future__ import annotations

import numpy as np
import pytest

from tests.performance import replay_traffic
from tests.performance.replay_run import Point, first_to_stay
from tests.performance.replay_traffic import Corpus, Family, Rates, Roles, day_rows, roles

FAMILY = Family("a family", "new", 0, 40)
RATES = Rates(events=100, known_spam=0.1, prevalence=0.05, reference_days=3)


@pytest.fixture
def corpus(monkeypatch: pytest.MonkeyPatch) -> Corpus:
    """700 ham, 300 known spam, and 100 spam of a new set whose vectors are its own."""
    for name, size in [("INITIAL_HAM", 20), ("INITIAL_SPAM", 10), ("THRESHOLD_HAM", 30)]:
        monkeypatch.setattr(replay_traffic, name, size)
    monkeypatch.setattr(replay_traffic, "CHECK_HAM", 30)
    features = np.random.default_rng(0).normal(size=(1100, 8)).astype(np.float32)
    return Corpus(
        features=features / np.linalg.norm(features, axis=1, keepdims=True),
        width=8,
        is_spam=np.arange(1100) >= 700,
        datasets=np.array(["old"] * 1000 + ["new"] * 100),
        languages=np.array(["en"] * 1100),
    )


def parts_of(corpus: Corpus) -> Roles:
    return roles(corpus, FAMILY, np.random.default_rng(1))


def test_no_text_has_two_roles_and_no_other_spam_of_the_familys_set_has_any(corpus: Corpus) -> None:
    parts = parts_of(corpus)
    every = np.concatenate(list(vars(parts).values()))
    assert len(every) == len(set(every.tolist()))
    new = set(every[corpus.datasets[every] == "new"].tolist())
    assert new == {*parts.planted.tolist(), *parts.held_out.tolist()}
    assert (len(parts.planted), len(parts.held_out)) == (28, 12)


def test_the_family_comes_after_the_quiet_days_at_its_prevalence(corpus: Corpus) -> None:
    parts = parts_of(corpus)
    planted = [np.isin(day_rows(parts, RATES, day, 7), parts.planted).sum() for day in range(-3, 5)]
    assert planted == [0, 0, 0, 0, 0, 5, 5, 5]
    days = np.concatenate([day_rows(parts, RATES, day, 7) for day in (2, 3, 4)])
    assert not np.isin(days, parts.held_out).any()
    assert len(set(days.tolist())) == len(days) == 300


def test_labels_count_from_the_first_of_three_evaluations_in_a_row_above_the_goal() -> None:
    points = [Point(20 * place, 0, 0.0, 0.0) for place in range(7)]
    assert first_to_stay([0.0, 0.95, 0.9, 0.95, 0.95, 0.95, 0.1], points) == 60
    assert first_to_stay([0.0, 0.95, 0.95], points) is None
