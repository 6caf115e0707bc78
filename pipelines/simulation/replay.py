"""`replay`: catalogue sets become days of landed events, and truth that only the oracle reads.

The same configuration and files give the same bytes. Labels stand in `truth/` and nowhere else;
so does the original time of a row, which a landed event does not carry.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from data_contracts.config import Data, Settings, Traffic
from data_contracts.errors import ConfigurationError, MissingPart
from data_contracts.events import Event
from data_contracts.files import write_atomically
from data_contracts.labels import LabelledEvent
from pipelines import landing
from pipelines.catalogue import dataset, locate, read_labelled
from pipelines.days import is_day
from pipelines.near_duplicates import group_related
from pipelines.simulation.schedule import Placed, schedule
from pipelines.simulation.synthetic import synthetic_events

TRUTH = pa.schema(
    [
        pa.field("event_id", pa.string(), nullable=False),
        pa.field("label", pa.string(), nullable=False),
        pa.field("dataset", pa.string(), nullable=False),
        pa.field("group", pa.int64(), nullable=False),
        pa.field("original_time", pa.timestamp("us", tz="UTC")),
    ]
)


@dataclass(frozen=True)
class Replayed:
    """One row as it is landed, with what is known of it."""

    day: str
    event: Event
    row: LabelledEvent
    group: int


def run(arguments: argparse.Namespace, settings: Settings) -> dict[str, Any]:
    """The verb `replay`."""
    traffic = settings.traffic
    if arguments.days is not None:
        if arguments.days < 1:
            raise ConfigurationError(
                f"--days {arguments.days} is no number of days; give 1 or more"
            )
        traffic = traffic.model_copy(update={"days": arguments.days})
    rows, sources, missing = _gathered(arguments.dataset, traffic, settings.data, settings.cache)
    replayed = replay(rows, traffic)
    written = {
        path for day in _by_day(replayed).items() for path in _write_day(settings.home, *day)
    }
    _remove_former(settings.home, written)
    return {
        "days": sorted({item.day for item in replayed}),
        "events": len(replayed),
        "datasets": sorted({item.row.dataset for item in replayed}),
        "languages": sorted({item.event.language or "und" for item in replayed}),
        "synthetic": not sources,
        "sources": sources,
        "missing": missing,
    }


def replay(rows: Sequence[LabelledEvent], traffic: Traffic) -> list[Replayed]:
    """The rows that are landed, in order of time. Pure: nothing is written."""
    if not is_day(traffic.first_day):
        raise ConfigurationError(
            f"traffic.first_day = {traffic.first_day!r} is no day; write YYYY-MM-DD"
        )
    groups = group_related(rows)
    rng = np.random.default_rng(traffic.seed)
    placed = schedule(rows, groups, traffic.days, traffic.events_per_day, rng)
    start = datetime.fromisoformat(traffic.first_day).replace(tzinfo=UTC)
    replayed = [_replayed(item, rows[item.row], int(groups[item.row]), start) for item in placed]
    return sorted(replayed, key=lambda item: (item.event.occurred_at, item.event.event_id))


def _replayed(item: Placed, row: LabelledEvent, group: int, start: datetime) -> Replayed:
    time = start + timedelta(days=item.day, milliseconds=int(item.fraction * 86_400_000))
    return Replayed(
        day=time.date().isoformat(),
        event=row.event.model_copy(update={"occurred_at": time}),
        row=row,
        group=group,
    )


def _gathered(
    named: Sequence[str] | None, traffic: Traffic, data: Data, cache: Path
) -> tuple[list[LabelledEvent], list[dict[str, Any]], dict[str, str]]:
    """Rows, what is known of each set, and why the others are missing.

    A set that was named on the command line must be there; of the configured ones what is there
    is used, and with none the generator steps in and says so.
    """
    rows: list[LabelledEvent] = []
    sources: list[dict[str, Any]] = []
    missing: dict[str, str] = {}
    for name in dict.fromkeys(named or traffic.datasets):
        dataset(name)  # an unknown name is an error, absence is not
        try:
            found = read_labelled(name, data, cache)
        except MissingPart as error:
            if named:
                raise
            missing[name] = str(error)
            _say(f"replay: {error}")
            continue
        rows += found
        sources.append(_source(name, data, cache))
    if not rows:
        _say("replay: no dataset was found, so this traffic is SYNTHETIC (seeded generator)")
        enough = traffic.days * traffic.events_per_day * 5 // 4  # some repeats fit no day
        rows = synthetic_events(enough, traffic.seed)
    return rows, sources, missing


def _source(name: str, data: Data, cache: Path) -> dict[str, Any]:
    located, entry = locate(name, data, cache), dataset(name)
    return {
        "dataset": name,
        "sha256": list(located.sha256),
        "verified": located.verified,
        "origin": entry.origin.source,
        "licence": entry.licence,
        "licence_verified": entry.licence_verified,
    }


def _by_day(replayed: Sequence[Replayed]) -> dict[str, list[Replayed]]:
    days: dict[str, list[Replayed]] = defaultdict(list)
    for item in replayed:
        days[item.day].append(item)
    return days


def _write_day(home: Path, day: str, items: Sequence[Replayed]) -> list[Path]:
    """One landed file a set (its name is the events' source), and the day's truth."""
    by_dataset: dict[str, list[Replayed]] = defaultdict(list)
    for item in items:
        by_dataset[item.row.dataset].append(item)
    written = []
    for name, found in by_dataset.items():
        path = landing.folder(home, day) / f"{name}.jsonl"
        write_atomically(path, b"".join(_line(item.event) for item in found))
        written.append(path)
    truth = home / "truth" / f"day={day}.parquet"
    buffer = pa.BufferOutputStream()
    pq.write_table(_truth(items), buffer, compression="zstd")
    write_atomically(truth, buffer.getvalue().to_pybytes())
    return [*written, truth]


def _line(event: Event) -> bytes:
    fields = event.model_dump(mode="json", exclude_defaults=True)
    return orjson.dumps(fields, option=orjson.OPT_APPEND_NEWLINE)


def _truth(items: Sequence[Replayed]) -> pa.Table:
    return pa.Table.from_pylist(
        [
            {
                "event_id": item.event.event_id,
                "label": item.row.label,
                "dataset": item.row.dataset,
                "group": item.group,
                "original_time": item.row.event.occurred_at,
            }
            for item in items
        ],
        schema=TRUTH,
    )


def _remove_former(home: Path, written: set[Path]) -> None:
    """Delete what an earlier replay wrote and this one did not; other landed files stay."""
    ledger = home / "truth" / "replayed.json"
    former = orjson.loads(ledger.read_bytes()) if ledger.is_file() else []
    names = sorted(str(path.relative_to(home)) for path in written)
    for name in set(former) - set(names):
        (home / name).unlink(missing_ok=True)
    write_atomically(ledger, orjson.dumps(names, option=orjson.OPT_INDENT_2))


def _say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)
