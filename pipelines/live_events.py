"""Events that only the gateway saw: decision records carry them, and here they land.

A platform may land its events itself, or leave it to the records of its verdicts. What nobody
landed is appended to `{home}/landing/day=YYYY-MM-DD/live.jsonl`, on the day of its first verdict,
so that an event in the lake never depends on who brought it. Accounts in records are hashed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson

from data_contracts.events import ENRICHED_PREFIXES
from pipelines import landing

SOURCE = "live"  # of these events in the lake, and the name of their landed file
WARM_UP = "weir-warm-up-"  # event ids of what a rollout warms a new server with
ID_FIELDS = ("event_id", "id")


@dataclass(frozen=True)
class LiveEvent:
    """An event as its first verdict saw it, without what the filter added; `day` is that day."""

    day: str
    fields: Mapping[str, Any]

    @property
    def event_id(self) -> str:
        return str(self.fields["event_id"])


def live_event(record: Mapping[str, Any], decided_at: datetime) -> LiveEvent | None:
    """The event of a decision record; None of copies, later revisions and warm-ups.

    An event without a time happened when it was decided upon.
    """
    event: Mapping[str, Any] = record["event"]
    if record["mirrored"] or record["verdict"]["revision"]:
        return None
    if str(event["event_id"]).startswith(WARM_UP):
        return None
    context = {
        name: value
        for name, value in (event.get("context") or {}).items()
        if not name.startswith(ENRICHED_PREFIXES)
    }
    told = {"occurred_at": decided_at.isoformat(), **event, "context": context}
    return LiveEvent(decided_at.date().isoformat(), told)


def land(home: Path, events: Iterable[LiveEvent], known: Iterable[str]) -> dict[str, str]:
    """Append what is not `known` yet, each event once; the day of each that was appended."""
    seen, day_of = set(known), dict[str, str]()
    by_day: dict[str, list[bytes]] = defaultdict(list)
    for event in events:
        if event.event_id not in seen:
            seen.add(event.event_id)
            day_of[event.event_id] = event.day
            line = orjson.dumps(event.fields, option=orjson.OPT_APPEND_NEWLINE)
            by_day[event.day].append(line)
    for day, lines in sorted(by_day.items()):
        _append(landing.folder(home, day) / f"{SOURCE}.jsonl", lines)
    return day_of


def landed_ids(paths: Iterable[Path], maximum_bytes: int) -> set[str]:
    """The ids of the events in landed files; lines that are no events have none."""
    found: set[str] = set()
    for path in paths:
        for line in landing.lines(path, maximum_bytes):
            with suppress(orjson.JSONDecodeError, AttributeError):
                raw = orjson.loads(line.content or b"")
                found.update(str(raw[name]) for name in ID_FIELDS if name in raw)
    return found


def _append(path: Path, lines: Sequence[bytes]) -> None:
    """Half a line that a crash left behind is ended first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab+") as file:
        if file.tell():
            file.seek(-1, 2)
            torn = file.read(1) != b"\n"
            file.write(b"\n" if torn else b"")
        file.write(b"".join(lines))
