"""Kept scores are the model's own, and only what changed is scored again."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest

from data_contracts.config import load_settings
from data_contracts.events import Event, MediaReference
from data_contracts.verdicts import Assessment
from evaluation.gates import parallel_scoring
from evaluation.gates.parallel_scoring import ParallelAssessor, free_workers
from evaluation.gates.score_cache import ScoreCache, cache_file, content_key, forget_others
from tests import gate_cases as made


@dataclass
class Counting:
    """A model that remembers how many events it was asked."""

    asked: list[str] = field(default_factory=list)

    def assess(self, events: Sequence[Event]) -> list[Assessment]:
        self.asked += [event.event_id for event in events]
        return made.PERFECT.assess(events)


EVENTS = made.two_languages(5, 5).events


def test_a_second_gate_asks_the_model_nothing_and_hears_the_same(tmp_path: Path) -> None:
    first, second = Counting(), Counting()
    path = tmp_path / "scores.sqlite"
    assert ScoreCache(first, path).assess(EVENTS) == made.PERFECT.assess(EVENTS)
    kept = ScoreCache(second, path)
    assert kept.assess(EVENTS) == made.PERFECT.assess(EVENTS)
    assert (len(first.asked), second.asked) == (20, [])
    assert (kept.tally.known, kept.tally.scored) == (20, 0)


def test_only_what_changed_is_scored_again(tmp_path: Path) -> None:
    model = Counting()
    kept = ScoreCache(model, tmp_path / "scores.sqlite")
    kept.assess(EVENTS)
    changed = [EVENTS[0].model_copy(update={"text": "other words"}), *EVENTS[1:]]
    kept.assess(changed)
    assert model.asked[20:] == [EVENTS[0].event_id]
    assert kept.assess([]) == []


@pytest.mark.parametrize(
    "change",
    [
        {"text": "other"}, {"language": "tr"}, {"account": "b"}, {"context": {"device": "x"}},
        {"occurred_at": datetime(2026, 1, 5, tzinfo=UTC)},
        {"media": (MediaReference(kind="image", sha256="b" * 64, path="b.png"),)},
    ],
)  # fmt: skip
def test_the_key_is_everything_but_the_id(change: dict) -> None:
    event = Event(event_id="a", text="words", language="en", account="a")
    assert content_key(event.model_copy(update=change)) != content_key(event)
    assert content_key(event.model_copy(update={"event_id": "z"})) == content_key(event)


def test_a_corrupt_file_is_thrown_away_and_made_again(tmp_path: Path) -> None:
    path = tmp_path / "scores.sqlite"
    path.write_bytes(b"no database at all" * 100)
    model = Counting()
    kept = ScoreCache(model, path)
    assert kept.assess(EVENTS) == made.PERFECT.assess(EVENTS)
    assert kept.tally.unusable == 1
    assert kept.assess(EVENTS) == made.PERFECT.assess(EVENTS)
    assert len(model.asked) == 20


def test_gates_in_parallel_share_a_file(tmp_path: Path) -> None:
    path = tmp_path / "scores.sqlite"
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(lambda _: ScoreCache(made.PERFECT, path).assess(EVENTS), range(12)))
    assert all(one == made.PERFECT.assess(EVENTS) for one in found)


def test_other_files_of_a_model_have_another_cache(tmp_path: Path) -> None:
    one, other = (cache_file(tmp_path, "m", sums) for sums in (b"a", b"b"))
    assert one != other
    assert one == cache_file(tmp_path, "m", b"a")
    assert one.parent == tmp_path / "gate-scores"


def test_answers_by_other_code_are_deleted_and_other_models_keep_theirs(tmp_path: Path) -> None:
    path, older, other = (
        cache_file(tmp_path, model, sums) for model, sums in (("m", b"a"), ("m", b"b"), ("n", b"a"))
    )
    for one in (path, older, other):
        ScoreCache(made.PERFECT, one).assess(EVENTS)
    forget_others(path, "m")
    assert [one.is_file() for one in (path, older, other)] == [True, False, True]


def test_two_processes_answer_as_one_does(tmp_path: Path, monkeypatch) -> None:
    """The processes open what `_open` opens: here a model that needs no files."""
    monkeypatch.setattr(parallel_scoring, "_open", open_perfect)
    shared = ParallelAssessor(Counting(), tmp_path, load_settings(), workers=2, enough=10)
    events = EVENTS * 10
    try:
        assert shared.assess(events) == made.PERFECT.assess(events)
        assert shared._assessor.asked == []
    finally:
        shared.close()


def test_little_work_stays_in_this_process(tmp_path: Path) -> None:
    model = Counting()
    shared = ParallelAssessor(model, tmp_path, load_settings(), workers=2, enough=1000)
    assert shared.assess(EVENTS) == made.PERFECT.assess(EVENTS)
    assert len(model.asked) == 20


def test_busy_cores_are_left_alone(monkeypatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    monkeypatch.setattr(os, "getloadavg", lambda: (3.0, 0.0, 0.0))
    assert free_workers(4) == 1
    monkeypatch.setattr(os, "getloadavg", lambda: (0.1, 0.0, 0.0))
    assert free_workers(4) == 2


def open_perfect(directory: Path, settings: object) -> None:
    parallel_scoring._here[:] = [made.PERFECT]
