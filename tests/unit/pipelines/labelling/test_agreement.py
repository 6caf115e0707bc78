"""Kappa and alpha on tables worked by hand."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest

from data_contracts.labels import LabelName
from pipelines.labelling.agreement import (
    MINIMUM_TASKS,
    Agreement,
    cohen_kappas,
    krippendorff_alpha,
    ratings,
)
from pipelines.labelling.queue import Answer

NOON = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)


def answer(task: int, reviewer: str, label: LabelName, gold: LabelName | None = None) -> Answer:
    return Answer(
        task_id=task, event_id=f"e{task}", day="2026-01-05", reviewer=reviewer, label=label,
        batch="b", source="reviewer", gold=gold, score=None, strategy="audit",
        inclusion_probability=0.1, leased_at=NOON, answered_at=NOON,
    )  # fmt: skip


def both(pairs: list[tuple[LabelName, LabelName]]) -> list[Answer]:
    first = [answer(i, "ana", one) for i, (one, _) in enumerate(pairs)]
    return first + [answer(i, "ben", other) for i, (_, other) in enumerate(pairs)]


# 20 tasks: 8 spam for both, 8 ham for both, 2 and 2 contested
TWENTY = both(
    [("spam", "spam")] * 8 + [("ham", "ham")] * 8 + [("spam", "ham")] * 2 + [("ham", "spam")] * 2
)


def rng() -> np.random.Generator:
    return np.random.default_rng(3)


def test_kappa_is_observed_agreement_beyond_that_of_chance() -> None:
    (pair, found), *others = cohen_kappas(TWENTY, rng()).items()
    assert (pair, others) == (("ana", "ben"), [])
    assert found.value == pytest.approx((0.8 - 0.5) / (1 - 0.5))
    assert found.low is not None
    assert found.high is not None
    assert 0.1 < found.low < 0.6 < found.high < 1.0
    assert found.tasks == 20


def test_alpha_corrects_for_the_small_number_of_answers() -> None:
    """40 answers, 20 of each label: chance disagrees in 2 * 20 * 20 / (40 * 39) of pairs."""
    found = krippendorff_alpha(TWENTY, rng())
    assert found.value == pytest.approx(1 - 0.2 / (800 / 1560))
    assert found.low is not None
    assert found.high is not None
    assert found.low < found.value < found.high


def test_alpha_takes_reviewers_who_each_saw_a_part() -> None:
    alike: list[Answer] = []
    for i in range(30):
        label: LabelName = "spam" if i % 3 else "ham"
        alike += [answer(i, f"r{i % 4}", label), answer(i, f"r{(i + 1) % 4}", label)]
    found = krippendorff_alpha(alike, rng())
    assert (found.value, found.low, found.high, found.tasks) == (1.0, 1.0, 1.0, 30)


def test_too_few_shared_tasks_or_one_label_only_are_not_evidence() -> None:
    few = both([("spam", "spam"), ("ham", "ham")] * (MINIMUM_TASKS // 2 - 1))
    same = both([("ham", "ham")] * 50)
    none = Agreement(None, None, None, 0)
    assert krippendorff_alpha(few, rng()).value is None
    assert cohen_kappas(few, rng())["ana", "ben"] == Agreement(None, None, None, len(few) // 2)
    assert krippendorff_alpha(same, rng()) == Agreement(None, None, None, 50)
    assert krippendorff_alpha([], rng()) == none
    assert cohen_kappas([answer(1, "ana", "spam")], rng()) == {}


def test_gold_questions_and_single_answers_are_left_out() -> None:
    gold = [answer(50, "ana", "spam", gold="ham"), answer(50, "ben", "ham", gold="ham")]
    table, reviewers = ratings([*both([("spam", "ham")]), *gold, answer(60, "cid", "spam")])
    assert reviewers == ["ana", "ben"]
    assert table.tolist() == [[1.0], [0.0]]


def test_the_same_seed_gives_the_same_interval() -> None:
    assert krippendorff_alpha(TWENTY, rng()) == krippendorff_alpha(TWENTY[::-1], rng())
