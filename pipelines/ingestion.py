"""`ingest`: landed events, actions and decision records become days of the lake.

Events that the gateway decided and nobody landed come from their decision records. Every landed
line ends in exactly one place: the events or actions of the day it landed on, the quarantine with
the reason, or the count of identical duplicates. The lake's day is the day of landing: what
arrives late stays with the day on which it became known, what comes from the future is
quarantined. What a day's rows are does not depend on when ingestion runs: a second run writes the
same bytes. A day that is not over is not pending; by its name it is read so far, and again later.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import sys
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson

from data_contracts.config import Settings
from data_contracts.errors import ContractViolation
from data_contracts.events import MAX_EVENT_BYTES, Event, parse_event_line
from data_contracts.files import write_atomically
from data_contracts.secrets import ACCOUNT_KEY, secret
from pipelines import lake, landing, live_events
from pipelines.accounts import hash_account
from pipelines.action_log import ingest_actions
from pipelines.days import days_to_do, is_unfinished
from pipelines.decisions import Collected, collect_decisions, days_of_events
from pipelines.downloads import file_sha256
from pipelines.landing import Line

HASHED = re.compile(r"^[0-9a-f]{64}$")
SEEN_LIVE = b""  # in place of a digest: who lands the event later may know more of it

Row = dict[str, Any]


@dataclass(frozen=True)
class DayCount:
    """Of one day's lines: `lines == events + actions + quarantined + duplicates`."""

    lines: int
    events: int
    actions: int
    quarantined: int
    duplicates: int


@dataclass
class _Day:
    """The rows of one day as they are read."""

    day: str
    key: str
    seen: dict[str, bytes]  # the digest of every event id of this day and the week before
    events: list[Row] = field(default_factory=list)
    quarantine: list[Row] = field(default_factory=list)
    lines: int = 0
    duplicates: int = 0


def run(arguments: argparse.Namespace, settings: Settings) -> dict[str, Any]:
    """The verb `ingest`: the days asked for, then every new decision record."""
    home, lake_folder = settings.home, settings.lake
    limit = min(settings.data.maximum_event_bytes, MAX_EVENT_BYTES)
    with lake.only_writer(lake_folder):
        ledger = _Ledger(lake_folder)
        decisions = collect_decisions(home / "decisions", ledger.consumed)
        known = _known(home, lake_folder, ledger, decisions)
        landed = live_events.land(home, decisions.events, known)
        todo = _todo(arguments.day, ledger, home, decisions.found_any)
        key = secret(ACCOUNT_KEY, home) if todo else ""
        counts = {day: ingest_day(home, lake_folder, day, key, limit) for day in todo}
        verdicts = decisions.write(lake_folder, landed)
        ledger.save(landed={day: _fingerprint(home, day) for day in todo}, decisions=decisions)
    for where in decisions.unreadable:
        print(f"ingest: {where} is no decision record; skipped", file=sys.stderr)
    return {
        "days": sorted(set(todo) | set(verdicts)),
        "lines": sum(count.lines for count in counts.values()),
        "events": sum(count.events for count in counts.values()),
        "actions": sum(count.actions for count in counts.values()),
        "quarantined": sum(count.quarantined for count in counts.values()),
        "duplicates": sum(count.duplicates for count in counts.values()),
        "landed_live": len(landed),
        "verdicts": sum(verdicts.values()),
        "unreadable_decisions": len(decisions.unreadable),
    }


def ingest_day(home: Path, lake_folder: Path, day: str, key: str, maximum_bytes: int) -> DayCount:
    """Write one day's events, actions and quarantine from what landed on it."""
    state = _Day(day, key, _seen_before(lake_folder, day))
    paths = sorted(landing.files(home, day), key=_live_last)
    for path in paths:
        for line in landing.lines(path, maximum_bytes):
            state.lines += 1
            _take(line, path, state, maximum_bytes)
    rows = sorted(state.events, key=lambda row: (row["occurred_at"], row["event_id"]))
    if paths:  # a day of actions alone is no day without events
        lake.write(lake_folder, "events", day, lake.rows("events", rows))
    log = ingest_actions(home, lake_folder, day, key)
    quarantine = [*state.quarantine, *log.quarantine]
    lake.write(lake_folder, "quarantine", day, lake.rows("quarantine", quarantine))
    return DayCount(
        state.lines + log.lines, len(rows), len(log.actions), len(quarantine),
        state.duplicates + log.duplicates,
    )  # fmt: skip


def _take(line: Line, path: Path, state: _Day, maximum_bytes: int) -> None:
    try:
        row = _row(_event(line, maximum_bytes), path.stem, state)
        landing.check_time("occurred_at", row["occurred_at"], state.day)
        _keep(row, state)
    except ContractViolation as violation:
        state.quarantine.append(landing.quarantined(line, path, violation))


def _keep(row: Row, state: _Day) -> None:
    digest = _seen_as(row)
    known = state.seen.get(row["event_id"])
    if known is None:
        state.seen[row["event_id"]] = digest
        state.events.append(row)
    elif known == digest or SEEN_LIVE in (known, digest):
        state.duplicates += 1
    else:
        raise ContractViolation(
            "event_id",
            row["event_id"],
            "event_id seen with other content",
            "give every event an id of its own",
        )


def _event(line: Line, maximum_bytes: int) -> Event:
    if line.content is None:
        remedy = "send large media by path under the media root"
        raise landing.too_long(line, "event", maximum_bytes, remedy)
    return parse_event_line(line.content)


def _row(event: Event, source: str, state: _Day) -> Row:
    return {
        "event_id": event.event_id,
        "text": event.text,
        "occurred_at": event.occurred_at or landing.midnight(state.day),
        "account_hash": _account_hash(event, source, state.key),
        "language": event.language,
        "media": _json([media.model_dump(mode="json") for media in event.media]),
        "context": _json(event.context),
        "source": source,
    }


def _account_hash(event: Event, source: str, key: str) -> str | None:
    if event.account is None:
        return None
    if source == live_events.SOURCE and HASHED.match(event.account):
        return event.account  # by the server, before anything else saw it
    return hash_account(event.account, key)


def _seen_before(lake_folder: Path, day: str) -> dict[str, bytes]:
    """Events of the days before: a delivery that is repeated is recognised for a week."""
    lookback = timedelta(days=landing.LOOKBACK_DAYS)
    first = (landing.midnight(day) - lookback).date().isoformat()
    before = [known for known in lake.days(lake_folder, "events") if first <= known < day]
    return {
        row["event_id"]: _seen_as(row)
        for known in before
        for row in lake.read(lake_folder, "events", [known]).to_pylist()
    }


def _seen_as(row: Row) -> bytes:
    """What makes two deliveries of an event the same: everything but the file they came in."""
    if row["source"] == live_events.SOURCE:
        return SEEN_LIVE
    content = orjson.dumps({**row, "source": ""}, option=orjson.OPT_SORT_KEYS)
    return hashlib.blake2b(content, digest_size=16).digest()


def _json(value: object) -> str:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()


def _live_last(path: Path) -> tuple[bool, str]:
    """Whoever landed an event knows it better than the gateway."""
    return path.stem == live_events.SOURCE, path.name


def _known(home: Path, lake_folder: Path, ledger: _Ledger, decisions: Collected) -> set[str]:
    """Which of the decided events are in the lake, or have landed and wait to be."""
    decided = {event.event_id for event in decisions.events}
    if not decided:
        return set()
    waiting = [
        path
        for day in landing.days(home)
        for path in landing.files(home, day)
        if ledger.landed.get(day) != _fingerprint(home, day)
    ]
    landed = live_events.landed_ids(waiting, MAX_EVENT_BYTES)
    return landed | set(days_of_events(decided, lake_folder))


def _todo(wanted: str, ledger: _Ledger, home: Path, has_decisions: bool) -> list[str]:
    known = landing.days(home)

    def is_done(day: str) -> bool:
        return is_unfinished(day) or ledger.landed.get(day) == _fingerprint(home, day)

    if wanted == "pending" and has_decisions and all(is_done(day) for day in known):
        return []
    return days_to_do(wanted, known, is_done, where=f"{home / 'landing'}")


def _fingerprint(home: Path, day: str) -> dict[str, str]:
    folder = landing.folder(home, day)
    paths = landing.all_files(home, day)
    return {path.relative_to(folder).as_posix(): file_sha256(path) for path in paths}


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
