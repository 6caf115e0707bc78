"""`ingest`: landed events and decision records become days of the lake.

Every landed line ends in exactly one place: the events of the day it landed on, the quarantine
with the reason, or the count of identical duplicates. The lake's day is the day of landing: an
event that arrives late stays with the day on which it became known, one from the future is
quarantined. Nothing here depends on when ingestion runs, so a second run writes the same bytes.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson

from data_contracts.config import Settings
from data_contracts.errors import ContractViolation
from data_contracts.events import MAX_EVENT_BYTES, Event, parse_event_line
from data_contracts.files import write_atomically
from data_contracts.secrets import ACCOUNT_KEY, secret
from pipelines import lake, landing
from pipelines.accounts import hash_account
from pipelines.days import days_to_do
from pipelines.decisions import Collected, collect_decisions
from pipelines.downloads import file_sha256
from pipelines.landing import Line

RAW_KEPT_BYTES = 65_536
CLOCK_TOLERANCE = timedelta(days=1)
DUPLICATE_LOOKBACK_DAYS = 7

Row = dict[str, Any]


@dataclass
class DayCount:
    """What became of one day's lines: `lines == events + quarantined + duplicates`."""

    lines: int = 0
    events: int = 0
    quarantined: int = 0
    duplicates: int = 0


@dataclass
class _Day:
    """The rows of one day as they are read."""

    day: str
    key: str
    seen: dict[str, bytes]  # the digest of every event id of this day and the week before
    events: list[Row] = field(default_factory=list)
    quarantine: list[Row] = field(default_factory=list)
    count: DayCount = field(default_factory=DayCount)


def run(arguments: argparse.Namespace, settings: Settings) -> dict[str, Any]:
    """The verb `ingest`: the days asked for, then every new decision record."""
    home, lake_folder = settings.home, settings.lake
    known = landing.days(home)
    with lake.only_writer(lake_folder):
        ledger = _Ledger(lake_folder)
        decisions = collect_decisions(home / "decisions", ledger.consumed)
        todo = _todo(arguments.day, known, ledger, home, decisions.found_any)
        limit = min(settings.data.maximum_event_bytes, MAX_EVENT_BYTES)
        key = secret(ACCOUNT_KEY, home) if todo else ""
        counts = {day: ingest_day(home, lake_folder, day, key, limit) for day in todo}
        verdicts = decisions.write(lake_folder)
        ledger.save(landed={day: _fingerprint(home, day) for day in todo}, decisions=decisions)
    for where in decisions.unreadable:
        print(f"ingest: {where} is no decision record; skipped", file=sys.stderr)
    return {
        "days": sorted(set(todo) | set(verdicts)),
        "lines": sum(count.lines for count in counts.values()),
        "events": sum(count.events for count in counts.values()),
        "quarantined": sum(count.quarantined for count in counts.values()),
        "duplicates": sum(count.duplicates for count in counts.values()),
        "verdicts": sum(verdicts.values()),
        "unreadable_decisions": len(decisions.unreadable),
    }


def ingest_day(home: Path, lake_folder: Path, day: str, key: str, maximum_bytes: int) -> DayCount:
    """Write one day's events and quarantine from what landed on it; returns the counts."""
    state = _Day(day, key, _seen_before(lake_folder, day))
    for path in landing.files(home, day):
        for line in landing.lines(path, maximum_bytes):
            state.count.lines += 1
            _take(line, path, state, maximum_bytes)
    rows = sorted(state.events, key=lambda row: (row["occurred_at"], row["event_id"]))
    lake.write(lake_folder, "events", day, lake.rows("events", rows))
    lake.write(lake_folder, "quarantine", day, lake.rows("quarantine", state.quarantine))
    state.count.events = len(rows)
    state.count.quarantined = len(state.quarantine)
    return state.count


def _take(line: Line, path: Path, state: _Day, maximum_bytes: int) -> None:
    try:
        row = _row(_event(line, maximum_bytes), path.stem, state)
        _check_time(row, state.day)
        _keep(row, state)
    except ContractViolation as violation:
        state.quarantine.append(_quarantined(line, path, violation))


def _keep(row: Row, state: _Day) -> None:
    digest = _digest(row)
    known = state.seen.get(row["event_id"])
    if known is None:
        state.seen[row["event_id"]] = digest
        state.events.append(row)
    elif known == digest:
        state.count.duplicates += 1
    else:
        raise ContractViolation(
            "event_id",
            row["event_id"],
            "event_id seen with other content",
            "give every event an id of its own",
        )


def _event(line: Line, maximum_bytes: int) -> Event:
    if line.content is None:
        raise ContractViolation(
            "event",
            f"{line.size} bytes",
            f"the line has {line.size} bytes, an event at most {maximum_bytes}",
            "send large media by path under the media root",
        )
    return parse_event_line(line.content)


def _row(event: Event, source: str, state: _Day) -> Row:
    return {
        "event_id": event.event_id,
        "text": event.text,
        "occurred_at": event.occurred_at or _midnight(state.day),
        "account_hash": hash_account(event.account, state.key) if event.account else None,
        "language": event.language,
        "media": _json([media.model_dump(mode="json") for media in event.media]),
        "context": _json(event.context),
        "source": source,
    }


def _check_time(row: Row, day: str) -> None:
    if row["occurred_at"] >= _midnight(day) + timedelta(days=1) + CLOCK_TOLERANCE:
        raise ContractViolation(
            "occurred_at",
            row["occurred_at"].isoformat(),
            f"is over a day after the day it landed on ({day})",
            "mend the sender's clock",
        )


def _quarantined(line: Line, path: Path, violation: ContractViolation) -> Row:
    return {
        "source": f"{path.parent.name}/{path.name}",
        "line": line.number,
        "field": violation.field,
        "reason": f"{violation.problem}; {violation.remedy}",
        "raw": line.start[:RAW_KEPT_BYTES],
        "sha256": line.sha256,
    }


def _seen_before(lake_folder: Path, day: str) -> dict[str, bytes]:
    """Events of the days before: a delivery that is repeated is recognised for a week."""
    first = (_midnight(day) - timedelta(days=DUPLICATE_LOOKBACK_DAYS)).date().isoformat()
    before = [known for known in lake.days(lake_folder, "events") if first <= known < day]
    return {
        row["event_id"]: _digest(row)
        for known in before
        for row in lake.read(lake_folder, "events", [known]).to_pylist()
    }


def _digest(row: Row) -> bytes:
    """What makes two deliveries of an event the same: everything but the file they came in."""
    content = orjson.dumps({**row, "source": ""}, option=orjson.OPT_SORT_KEYS)
    return hashlib.blake2b(content, digest_size=16).digest()


def _midnight(day: str) -> datetime:
    return datetime.fromisoformat(day).replace(tzinfo=UTC)


def _json(value: object) -> str:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()


def _todo(
    wanted: str, known: list[str], ledger: _Ledger, home: Path, has_decisions: bool
) -> list[str]:
    def is_done(day: str) -> bool:
        return ledger.landed.get(day) == _fingerprint(home, day)

    if wanted == "pending" and has_decisions and all(is_done(day) for day in known):
        return []
    return days_to_do(wanted, known, is_done, where=f"{home / 'landing'}")


def _fingerprint(home: Path, day: str) -> dict[str, str]:
    return {path.name: file_sha256(path) for path in landing.files(home, day)}


class _Ledger:
    """What was ingested: the sha256 of every landed file, the bytes read of every decision file.

    Deleting it is safe: everything is read again, to the same lake.
    """

    def __init__(self, lake_folder: Path) -> None:
        self._path = lake_folder / "ingested.json"
        known = orjson.loads(self._path.read_bytes()) if self._path.is_file() else {}
        self.landed: dict[str, dict[str, str]] = known.get("landed", {})
        self.consumed: dict[str, int] = known.get("decisions", {})

    def save(self, landed: dict[str, dict[str, str]], decisions: Collected) -> None:
        content = {
            "landed": {**self.landed, **landed},
            "decisions": {**self.consumed, **decisions.consumed},
        }
        options = orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS
        write_atomically(self._path, orjson.dumps(content, option=options))
