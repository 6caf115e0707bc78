"""The demo reviewer: answers from the truth of the replayed sets, and says so on every label.

Only this module reads `{home}/truth`; training and gates never do. Its labels carry the
reviewer "demo-oracle" and the source "oracle"; what wants two answers gets its second from
"demo-oracle-2".
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from data_contracts.config import Settings
from data_contracts.errors import BadInput, NothingToDo
from data_contracts.labels import LabelName, parse_label
from pipelines.days import days_to_do
from pipelines.labelling.queue import ExposureLimit, LabelQueue, open_label_queue

REVIEWERS = ("demo-oracle", "demo-oracle-2")
SOURCE = "oracle"
TASKS_AT_ONCE = 25  # what a killed oracle keeps until its leases run out


def run(arguments: argparse.Namespace, settings: Settings) -> dict[str, Any]:
    """`python -m pipelines review`: answer the open tasks of every pending day, or of one.

    Raises NothingToDo where no truth was replayed: then people answer.
    """
    labelling = settings.labelling
    limit = ExposureLimit.of(labelling)
    queue = open_label_queue(settings.state_url, labelling.lease_seconds, limit)
    progress = queue.progress()
    days = days_to_do(
        arguments.day,
        list(progress),
        lambda day: progress[day]["open"] + progress[day]["leased"] == 0,
        where="the label queue",
    )
    known = [day for day in days if truth_file(settings.home, day).is_file()]
    if not known:
        raise NothingToDo(f"{settings.home}/truth has none of the days {', '.join(days)}")
    answered, unknown = 0, 0
    truth: dict[str, LabelName] = {}
    for path in sorted((settings.home / "truth").glob("day=*.parquet")):
        truth |= read_truth(path)  # gold questions are events of earlier days
    for day in known:
        labels, released = review_day(
            queue, day, truth, lambda: datetime.now(UTC), _pause(labelling.review_delay_seconds)
        )
        answered, unknown = answered + labels, unknown + released
    if not answered:
        raise NothingToDo(f"no open task is answered by the truth ({unknown} are not in it)")
    return {
        "days": known,
        "labels": answered,
        "unknown": unknown,
        "reviewer": REVIEWERS[0],
        "source": SOURCE,
    }


def review_day(
    queue: LabelQueue,
    day: str,
    truth: Mapping[str, LabelName],
    clock: Callable[[], datetime],
    pause: Callable[[], None],
) -> tuple[int, int]:
    """Answer the day's open tasks; how many, and how many the truth does not know.

    Those are given back at the end. `pause` is called before each answer. The exposure limit
    is for people: nobody looks here.
    """
    answered, unknown = 0, set[int]()
    for reviewer in REVIEWERS:
        released = []
        while tasks := queue.lease(reviewer, TASKS_AT_ONCE, clock(), day=day, capped=False):
            for task in tasks:
                if task.event_id not in truth:
                    released.append(task.id)
                    continue
                pause()
                queue.submit(task.id, reviewer, truth[task.event_id], clock(), source=SOURCE)
                answered += 1
        for task_id in released:
            queue.release(task_id, reviewer)
        unknown.update(released)
    return answered, len(unknown)


def truth_file(home: Path, day: str) -> Path:
    """Where the replay leaves the labels of a day."""
    return home / "truth" / f"day={day}.parquet"


def read_truth(path: Path) -> dict[str, LabelName]:
    """Label by event. Raises BadInput for a file without `event_id` and `label`."""
    try:
        table = pq.ParquetFile(path).read(columns=["event_id", "label"])
        pairs = zip(table["event_id"].to_pylist(), table["label"].to_pylist(), strict=True)
    except (OSError, KeyError, ValueError) as error:
        raise BadInput(f"{path}: not the truth of a day ({error}); replay the day again") from None
    return {event_id: parse_label(label, where=str(path)) for event_id, label in pairs}


def _pause(seconds: float) -> Callable[[], None]:
    return lambda: time.sleep(seconds) if seconds else None
