"""review-quality over a small queue; the demo's reviewers, and labels that are taken back."""

from __future__ import annotations

import argparse
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data_contracts.config import Settings, load_settings
from data_contracts.errors import BadInput, NothingToDo
from data_contracts.secrets import ACCOUNT_KEY
from pipelines import lake
from pipelines.labelling import collect, oracle, review_quality
from pipelines.labelling.gold_questions import gold_tasks
from pipelines.labelling.queue import LabelQueue, NewTask, open_label_queue
from pipelines.labelling.samplers import Draw

MONDAY, TUESDAY = "2026-01-05", "2026-01-06"
NOON = datetime(2026, 1, 6, 12, 0, tzinfo=UTC)


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv(ACCOUNT_KEY, "k")
    return load_settings({"WEIR_HOME": str(tmp_path)})


@pytest.fixture
def queue(settings: Settings) -> LabelQueue:
    return open_label_queue(settings.state_url, 60)


def day_of(day: str, n: int, **changes: Any) -> list[NewTask]:
    return [
        NewTask(Draw(f"{day}-{i:03d}", "audit", 0.5), day, 0.5, "3", **changes) for i in range(n)
    ]


def answer_all(queue: LabelQueue, reviewer: str, wrong: int = 0) -> None:
    """Odd events are spam; the reviewer calls the first `wrong` ones otherwise."""
    for i, task in enumerate(queue.lease(reviewer, 500, NOON)):
        spam = bool(int(task.event_id[-3:]) % 2) != (i < wrong)
        queue.submit(task.id, reviewer, "spam" if spam else "ham", NOON)


def write_truth(settings: Settings, day: str, n: int) -> None:
    path = oracle.truth_file(settings.home, day)
    path.parent.mkdir(parents=True, exist_ok=True)
    ids = [f"{day}-{i:03d}" for i in range(n)]
    labels = ["spam" if i % 2 else "ham" for i in range(n)]
    pq.write_table(pa.table({"event_id": ids, "label": labels}), path)


def quality(settings: Settings, day: str | None = None) -> dict[str, Any]:
    return review_quality.run(argparse.Namespace(day=day), settings)


def test_agreement_reliability_and_counts_appear_without_a_name(
    settings: Settings, queue: LabelQueue
) -> None:
    queue.enqueue(day_of(MONDAY, 40, answers_wanted=2), NOON)
    queue.enqueue([replace(day_of(TUESDAY, 1)[0], gold="ham")], NOON)
    answer_all(queue, "ana")
    answer_all(queue, "ben", wrong=4)
    found = quality(settings)
    assert found["days"] == [MONDAY, TUESDAY]
    assert (found["tasks"]["contested"], found["tasks"]["labelled"]) == (4, 37)
    assert found["krippendorff_alpha"]["tasks"] == 40
    (pair,) = found["cohen_kappa"]
    assert pair["value"] == pytest.approx(0.8)
    assert {one["answers"] for one in found["reviewers"]} == {40, 41}
    assert "ana" not in str(found)
    assert "ben" not in str(found)
    assert [one["gold"]["of"] for one in found["reviewers"] if one["gold"]] == [1]
    assert quality(settings) == found
    assert quality(settings, TUESDAY)["krippendorff_alpha"]["value"] is None


def test_removed_batches_do_not_count(settings: Settings, queue: LabelQueue) -> None:
    queue.enqueue(day_of(MONDAY, 4), NOON)
    answer_all(queue, "ana")
    queue.set_batch_state(f"{MONDAY}/ana", "removed", "test", "eve", NOON)
    with pytest.raises(NothingToDo, match="nobody has answered anything of any day"):
        quality(settings)
    with pytest.raises(BadInput, match="nothing in the label queue"):
        quality(settings, TUESDAY)


def test_the_demo_gives_second_opinions_and_answers_gold_of_earlier_days(
    settings: Settings, queue: LabelQueue
) -> None:
    for day in (MONDAY, TUESDAY):
        write_truth(settings, day, 30)
    queue.enqueue(day_of(MONDAY, 30, answers_wanted=2, sensitive=True), NOON)
    assert oracle.run(argparse.Namespace(day="pending"), settings)["labels"] == 60
    known = queue.known_answers(TUESDAY)
    assert len(known) == 30
    queue.enqueue(gold_tasks(day_of(TUESDAY, 9), known, 0.1, np.random.default_rng(1)), NOON)
    assert oracle.run(argparse.Namespace(day="pending"), settings)["labels"] == 10
    assert [answer.label == answer.gold for answer in queue.answers(TUESDAY) if answer.gold] == [
        True
    ]
    assert len(queue.labels(TUESDAY)) == 9


def test_labels_that_were_taken_back_leave_the_lake(settings: Settings, queue: LabelQueue) -> None:
    queue.enqueue(day_of(MONDAY, 4), NOON)
    answer_all(queue, "ana")
    collected = collect.run(argparse.Namespace(day="pending"), settings)
    assert collected == {"days": [MONDAY], "labels": 4, "total": 4}
    queue.set_batch_state(f"{MONDAY}/ana", "removed", "test", "eve", NOON)
    collected = collect.run(argparse.Namespace(day="pending"), settings)
    assert collected == {"days": [MONDAY], "labels": -4, "total": 0}
    assert lake.read(settings.lake, "labels", [MONDAY]).num_rows == 0
    with pytest.raises(NothingToDo):
        collect.run(argparse.Namespace(day="pending"), settings)
