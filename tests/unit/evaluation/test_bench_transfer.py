"""What bench-transfer may train on, and its arithmetic, on rows whose answers are known."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from string import ascii_lowercase
from typing import Any

import numpy as np
import pytest

from data_contracts.config import load_settings
from data_contracts.errors import MissingPart
from data_contracts.events import Event
from data_contracts.labels import LabelledEvent
from evaluation.gates.base import Answers
from pipelines.near_duplicates import group_related
from tests.performance import bench_transfer as bench
from tests.performance import transfer_picture as picture
from tests.performance import transfer_trials as trials

DAY = datetime(2014, 1, 1, tzinfo=UTC)
WORDS = 12


def _words(*seeds: object) -> str:
    """Words that no other row has."""
    rng = random.Random(repr(seeds))
    return " ".join("".join(rng.choices(ascii_lowercase, k=6)) for _ in range(WORDS))


def _row(
    dataset: str, number: int, label: Any, *, written: str = "", day: int | None = None
) -> Any:
    words = written or _words(dataset, number, label)
    occurred = None if day is None else DAY + timedelta(days=day)
    event = Event(event_id=f"{dataset}-{label}-{number}-{day}", text=words, occurred_at=occurred)
    return LabelledEvent(event, label, dataset)


def _corpus(name: str, *_: Any) -> list[LabelledEvent]:
    return [_row(name, number, label) for number in range(8) for label in ("spam", "ham")]


def _names(rows: Any) -> set[str]:
    return {row.dataset for row in rows}


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trials, "read_labelled", _corpus)


@pytest.mark.usefixtures("made")
@pytest.mark.parametrize("name", [name for name in trials.TRIALS if name.startswith("unseen")])
def test_no_row_of_what_is_judged_or_related_to_it_is_trained_on(name: str) -> None:
    trial = trials.TRIALS[name](load_settings())
    assert all(tested.rows for tested in trial.tests)
    judged = [row for tested in trial.tests for row in tested.rows]
    assert not _names(judged) & _names(trial.training)
    groups = group_related([*trial.training, *judged])
    assert not {*groups[: len(trial.training)]} & {*groups[len(trial.training) :]}


@pytest.mark.usefixtures("made")
def test_nothing_of_the_held_out_kind_is_trained_on() -> None:
    sms = trials.TRIALS["unseen SMS"](load_settings())
    assert not any("sms" in name for name in _names(sms.training))
    mail = trials.TRIALS["unseen mail"](load_settings())
    assert _names(mail.training) == {*trials.CORPORA} - {trials.MAIL}


def test_a_row_related_to_one_of_the_training_is_not_judged_but_counted() -> None:
    shared = "meet me at the usual place tomorrow at noon"
    rows = [
        _row("a", 0, "ham", written=shared), _row("a", 1, "spam"),
        _row("b", 0, "ham", written=shared + "!"), _row("b", 1, "spam", written="win a new car"),
    ]  # fmt: skip
    trained = np.array([True, True, False, False])
    trial = trials.divided(rows, group_related(rows), trained, ["b"])
    assert [row.event.text for row in trial.tests[0].rows] == ["win a new car"]
    assert trial.tests[0].left_out == 1
    assert trial.tests[0].labels.tolist() == [True]


def _days(rows: Sequence[LabelledEvent]) -> list[int | None]:
    times = [row.event.occurred_at for row in rows]
    return [None if time is None else (time - DAY).days for time in times]


def test_later_days_judge_only_what_came_after_the_training(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def read(name: str, *_: Any) -> list[LabelledEvent]:
        days: list[int | None] = [0, 1, 2, 3, 4, 5, 6, None]
        if name != trials.YOUTUBE:
            return _corpus(name)
        return [_row(name, day or 7, "spam", day=day) for day in days]

    monkeypatch.setattr(trials, "read_labelled", read)
    trial = trials.TRIALS["later days"](load_settings())
    learnt = [row for row in trial.training if row.dataset == trials.YOUTUBE]
    assert _days(learnt) == [0, 1, 2, 3, 4]
    assert _days(trial.tests[0].rows) == [5, 6]


def _compared(scores: list[float], theirs: list[float]) -> dict[str, Any]:
    rows = [_row("b", number, "spam" if number < 2 else "ham") for number in range(4)]
    tested = trials.Tested("b", rows, np.arange(4), 0)
    said = Answers(np.array(scores), np.array(scores) > 0.75)
    return bench.compared(tested, said, np.array(theirs))


def test_the_figures_of_both_systems_are_those_of_their_own_scores() -> None:
    row = _compared([0.9, 0.7, 0.8, 0.1], [0.1, 0.2, 0.3, 0.4])
    assert row["auc"]["value"] == 0.75
    assert row["tfidf_auc"]["value"] == 0.0
    assert row["auc_gain"]["value"] == 0.75
    assert row["recall_at_0.1%"]["value"] == 0.5
    assert row["false_positive_rate_reached"]["value"] == 0.5


@pytest.mark.parametrize(
    ("low", "value", "high", "met", "settled"),
    [
        (0.91, 0.93, 0.95, True, True),
        (0.89, 0.93, 0.95, True, False),
        (0.80, 0.89, 0.92, False, False),
        (0.80, 0.85, 0.90, False, True),
    ],
)
def test_a_goal_is_met_by_the_estimate_and_settled_by_the_interval(
    low: float, value: float, high: float, met: bool, settled: bool
) -> None:
    figure = {"low": low, "value": value, "high": high}
    row = {
        "trial": "unseen mail", "test": trials.MAIL, "goal": bench.GOAL,
        "auc": figure, "auc_gain": figure,
    }  # fmt: skip
    first = next(iter(bench.goals([row])))
    assert (first["met"], first["settled"]) == (met, settled)


def test_a_trial_without_its_data_is_left_out_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str, *_: Any) -> list[LabelledEvent]:
        raise MissingPart(f"dataset {name}: not there")

    monkeypatch.setattr(trials, "read_labelled", absent)
    said: list[str] = []
    assert list(bench._trial("unseen mail", load_settings(), said.append)) == []
    assert "left out" in said[0]


def test_the_picture_shows_every_row(tmp_path: Path) -> None:
    row = {**_compared([0.9, 0.7, 0.8, 0.1], [0.1, 0.2, 0.3, 0.4]), "trial": "unseen mail"}
    drawn = picture.draw(
        {"rows": [{**row, "goal": 0.9}, {**row, "goal": None}]}, tmp_path / "a.svg"
    )
    assert drawn.read_text().count("<svg") == 1
