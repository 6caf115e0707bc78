"""Decision records of the model servers become the verdicts of the lake.

Servers append lines to `{home}/decisions/*.jsonl`; ingestion reads what is new, up to the last
whole line, since a writer may be in the middle of one. A verdict stands on the day of its event.
Repeated decisions of one model about one event say the same and are kept once, the earliest;
every revision is kept.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from pipelines import lake
from pipelines.days import is_day
from pipelines.live_events import LiveEvent, live_event

Row = dict[str, Any]


@dataclass
class Collected:
    """New verdict rows, their events, how far each file was read, and lines that are no records."""

    rows: list[tuple[Row, str]] = field(default_factory=list)  # with the day of last resort
    events: list[LiveEvent] = field(default_factory=list)
    consumed: dict[str, int] = field(default_factory=dict)  # file name: bytes
    unreadable: list[str] = field(default_factory=list)
    found_any: bool = False

    def write(self, lake_folder: Path, landed: Mapping[str, str]) -> dict[str, int]:
        """Merge the rows into the lake; day and number of verdicts that were new to it.

        `landed` has the days of events that have just landed and may not be in the lake yet.
        """
        day_of = {**landed} | days_of_events({row["event_id"] for row, _ in self.rows}, lake_folder)
        by_day: dict[str, list[Row]] = defaultdict(list)
        for row, fallback in self.rows:
            by_day[day_of.get(row["event_id"], fallback)].append(row)
        added = {day: _merge(lake_folder, day, rows) for day, rows in sorted(by_day.items())}
        return {day: count for day, count in added.items() if count}


def collect_decisions(folder: Path, consumed: Mapping[str, int]) -> Collected:
    """Read the records that were appended since `consumed` (bytes a file)."""
    collected = Collected()
    for path in sorted(folder.glob("*.jsonl")):
        start = consumed.get(path.name, 0)
        if path.stat().st_size < start:
            start = 0  # the file was replaced: repeats are recognised by their content
        _read_new(path, start, collected)
    return collected


def _read_new(path: Path, start: int, collected: Collected) -> None:
    with path.open("rb") as file:
        file.seek(start)
        at = start
        for line in file:
            if not line.endswith(b"\n"):
                break  # torn: the rest comes with the next run
            collected.found_any = True
            try:
                record = orjson.loads(line)
                row, day = _row(record)
                event = live_event(record, row["decided_at"])
                collected.rows.append((row, day))
                collected.events += [] if event is None else [event]
            except (orjson.JSONDecodeError, AttributeError, KeyError, TypeError, ValueError):
                collected.unreadable.append(f"{path.name} byte {at}")
            at += len(line)
    collected.consumed[path.name] = at


def _row(record: Mapping[str, Any]) -> tuple[Row, str]:
    """The verdict's row, and the day it belongs to where its event is not in the lake."""
    verdict = record["verdict"]
    decided_at = datetime.fromisoformat(record["decided_at"])
    decided_at = decided_at.replace(tzinfo=decided_at.tzinfo or UTC).astimezone(UTC)
    row: Row = {
        "event_id": str(verdict["event_id"]),
        "revision": int(verdict["revision"]),
        "score": float(verdict["score"]),
        "action": str(verdict["action"]),
        "reasons": [str(reason) for reason in verdict["reasons"]],
        "stages": orjson.dumps(verdict["stages"], option=orjson.OPT_SORT_KEYS).decode(),
        "model_version": str(verdict["model_version"]),
        "threshold_version": str(verdict["threshold_version"]),
        "arm": str(verdict["arm"]),
        "mirrored": bool(record["mirrored"]),
        "decided_at": decided_at,
    }
    occurred = str(record["event"].get("occurred_at") or "")[:10]
    return row, occurred if is_day(occurred) else decided_at.date().isoformat()


def days_of_events(event_ids: set[str], lake_folder: Path) -> dict[str, str]:
    """The lake's day of each of these events that it has."""
    found: dict[str, str] = {}
    if event_ids:
        for day in lake.days(lake_folder, "events"):
            known = lake.read(lake_folder, "events", [day], ["event_id"])["event_id"]
            found.update(dict.fromkeys(event_ids.intersection(known.to_pylist()), day))
    return found


def _merge(lake_folder: Path, day: str, rows: Iterable[Row]) -> int:
    known = lake.read(lake_folder, "verdicts", [day]).to_pylist()
    earliest: dict[tuple[Any, ...], Row] = {}
    for row in sorted([*known, *rows], key=lambda row: (row["decided_at"], row["score"])):
        earliest.setdefault(_identity(row), row)
    merged = [earliest[identity] for identity in sorted(earliest)]
    lake.write(lake_folder, "verdicts", day, lake.rows("verdicts", merged))
    return len(merged) - len(known)


def _identity(row: Row) -> tuple[Any, ...]:
    names = ("event_id", "model_version", "threshold_version", "arm", "mirrored", "revision")
    return tuple(row[name] for name in names)
