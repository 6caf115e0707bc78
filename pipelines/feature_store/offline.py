"""Features of the past, built again from the lake: the online code over a replay of the log.

Memory holds the rows of two days at a time and the folded state, never the log. The lake keeps
no time of arrival: an event that came late online is replayed at its own time.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from data_contracts.actions import Action
from data_contracts.errors import FutureLeak
from data_contracts.events import ENRICHED_PREFIXES, Event
from pipelines import lake as tables
from pipelines.action_log import actions_of
from pipelines.enrichment import Enrichment, bare

PAST = pa.schema([pa.field("event_id", pa.string(), nullable=False), pa.field("past", pa.string())])
ROWS = 1024


def build(lake: Path, enrichment: Enrichment, target: Path) -> int:
    """Write the features of all the lake's events to one Parquet file; how many events.

    Columns: `event_id`, and `past`, a JSON object of the enriched keys (float64 to the last bit).
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    written = 0
    with pq.ParquetWriter(target, PAST, compression="zstd") as writer:
        for batch in _batches(replayed(lake, enrichment)):
            writer.write_batch(batch)
            written += batch.num_rows
    return written


def replayed(lake: Path, enrichment: Enrichment) -> Iterator[Event]:
    """The lake's events as they would have been enriched, in order of time."""
    return enrichment.replay(map(bare, events_of(lake)), actions_of(lake))


def past_of(event: Event) -> Mapping[str, float]:
    """What enrichment wrote into an event, by its whole key."""
    return {
        key: float(entry)
        for key, entry in event.context.items()
        if key.startswith(ENRICHED_PREFIXES) and isinstance(entry, bool | int | float)
    }


def events_of(lake: Path) -> Iterator[Event]:
    """All events of the lake, in order of time; a day is in memory at a time."""
    for day in tables.days(lake, "events"):
        yield from events_of_day(lake, day)


def days_of_log(lake: Path) -> list[str]:
    """The days that have events or actions, in order."""
    return sorted({*tables.days(lake, "events"), *tables.days(lake, "actions")})


def events_of_day(lake: Path, day: str) -> Iterator[Event]:
    """One day's events in order of time; none where the day has none."""
    rows = tables.read(lake, "events", [day])
    ordered = rows.sort_by([("occurred_at", "ascending"), ("event_id", "ascending")])
    yield from map(tables.event_of, _records(ordered))


def check_point_in_time(
    built: Sequence[Event],
    actions: Sequence[Action],
    fresh: Callable[[], Enrichment],
    *,
    sample: int,
    rng: np.random.Generator,
) -> None:
    """Compute a sample of built events again, each from the log cut off at its time.

    `built` are enriched events in order of time, `actions` the action log, `fresh` gives an
    enrichment that knows nothing; it is handed the log piece by piece, and asked about an event
    before it has seen that event or anything later. Raises FutureLeak at the first feature that
    differs, to the last bit.
    """
    ordered = sorted(actions, key=_at)
    enrichment, rows_told, actions_told = fresh(), 0, 0
    for row in _drawn(len(built), sample, rng):
        known = bisect_left(ordered, _known_time(built[row]), key=_at)
        piece = map(bare, built[rows_told:row])
        for _ in enrichment.replay(piece, ordered[actions_told:known]):
            pass  # a replay tells the enrichment of every event
        expected = past_of(enrichment.enriched(bare(built[row])))
        _compare(built[row], past_of(built[row]), expected)
        rows_told, actions_told = row, known


def _drawn(count: int, sample: int, rng: np.random.Generator) -> list[int]:
    chosen = rng.choice(count, size=min(sample, count), replace=False)
    return sorted(int(row) for row in chosen)


def _at(action: Action) -> datetime:
    return action.at


def _known_time(event: Event) -> datetime:
    if event.occurred_at is None:
        raise ValueError(f"event {event.event_id} has no time, so it has no past; leave it out")
    return event.occurred_at


def _compare(event: Event, built: Mapping[str, float], expected: Mapping[str, float]) -> None:
    for key in sorted(built.keys() | expected.keys()):
        if built.get(key) != expected.get(key):
            raise FutureLeak(
                f"event {event.event_id} at {event.occurred_at}: {key} = {built.get(key)}, but the "
                f"log up to then gives {expected.get(key)}; read every source before it is told "
                "of the event, and use nothing that is later"
            )


def _batches(events: Iterable[Event]) -> Iterator[pa.RecordBatch]:
    rows: list[dict[str, str]] = []
    for event in events:
        rows.append(
            {"event_id": event.event_id, "past": orjson.dumps(dict(past_of(event))).decode()}
        )
        if len(rows) == ROWS:
            yield pa.RecordBatch.from_pylist(rows, schema=PAST)
            rows = []
    if rows:
        yield pa.RecordBatch.from_pylist(rows, schema=PAST)


def _records(table: pa.Table) -> Iterator[dict[str, Any]]:
    for batch in table.to_batches(max_chunksize=ROWS):
        yield from batch.to_pylist()
