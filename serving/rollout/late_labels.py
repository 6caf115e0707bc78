"""Labels of the lake as they arrive, days after the decision or never."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from data_contracts.tables import partition
from pipelines import lake

_COLUMNS = ("event_id", "label", "inclusion_probability", "observed_at")


class LateLabel(NamedTuple):
    """What people say of an event; `chance`: of its draw, None where it was chosen."""

    is_spam: bool
    chance: float | None


class LateLabels:
    """Labels of events since a moment; files are read again only when they changed."""

    def __init__(self, folder: Path, since: datetime) -> None:
        self._folder = folder
        self._first_day = since.date().isoformat()
        self._known: dict[str, LateLabel] = {}
        self._state: tuple[tuple[str, int, int], ...] = ()

    def read(self) -> Mapping[str, LateLabel]:
        """By event id; the latest label of an event counts."""
        state = self._parts()
        if state != self._state:
            days = [day for day, _, _ in state]
            rows = lake.read(self._folder, "labels", days, _COLUMNS).sort_by("observed_at")
            self._known = {
                row["event_id"]: LateLabel(row["label"] == "spam", row["inclusion_probability"])
                for row in rows.to_pylist()
            }
            self._state = state
        return self._known

    def _parts(self) -> tuple[tuple[str, int, int], ...]:
        found = []
        for day in lake.days(self._folder, "labels"):
            if day >= self._first_day:
                status = (partition(self._folder, "labels", day) / lake.PART).stat()
                found.append((day, status.st_mtime_ns, status.st_ino))
        return tuple(found)
