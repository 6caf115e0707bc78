"""Wellbeing: how many sensitive tasks a reviewer may still be given.

Given is given: a task that was handed back or ran out was looked at. Times ahead of `now` count
too, so a clock that goes back frees nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, delete, func, insert, select

from data_contracts.config import Labelling
from pipelines.labelling.queue_tables import EXPOSURES


@dataclass(frozen=True)
class ExposureLimit:
    """At most `cap` sensitive tasks for one reviewer within any `window`."""

    cap: int = 60
    window: timedelta = timedelta(hours=24)

    def __post_init__(self) -> None:
        if self.cap < 0 or self.window <= timedelta(0):
            raise ValueError(f"exposure cap {self.cap} in {self.window}: give 0 or more, in a time")

    @classmethod
    def of(cls, labelling: Labelling) -> ExposureLimit:
        """The limit that the configuration sets."""
        return cls(labelling.exposure_cap, timedelta(hours=labelling.exposure_window_hours))


def remaining(connection: Connection, reviewer: str, now: datetime, limit: ExposureLimit) -> int:
    """Sensitive tasks that the reviewer may be given now; the caller holds the reviewer's lock."""
    seen = select(func.count()).where(
        EXPOSURES.c.reviewer == reviewer, EXPOSURES.c.given_at > now - limit.window
    )
    return max(0, limit.cap - int(connection.scalar(seen) or 0))


def record(connection: Connection, reviewer: str, tasks: Sequence[int], now: datetime) -> None:
    """Keep that the reviewer was given these sensitive tasks; of one given again the latest."""
    if not tasks:
        return
    earlier = (EXPOSURES.c.reviewer == reviewer) & EXPOSURES.c.task.in_(tasks)
    kept = select(EXPOSURES.c.task, EXPOSURES.c.given_at).where(earlier)
    before = dict(connection.execute(kept).tuples().all())
    if before:
        connection.execute(delete(EXPOSURES).where(earlier))
    connection.execute(
        insert(EXPOSURES),
        [
            {"reviewer": reviewer, "task": task, "given_at": max(now, before.get(task, now))}
            for task in tasks
        ],
    )
