"""The lake: Parquet tables by day, `{lake}/{table}/day=YYYY-MM-DD/part-0.parquet`.

The same rows give the same bytes; a day is replaced in one step, and left alone when unchanged.
"""

from __future__ import annotations

import fcntl
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from data_contracts.errors import BadInput
from data_contracts.events import Event
from data_contracts.files import write_atomically
from data_contracts.labels import LabelledEvent, parse_label
from data_contracts.tables import TABLES, partition

PART = "part-0.parquet"
_DAY = re.compile(r"^\d{4}-\d{2}-\d{2}$")


def days(lake: Path, table: str) -> list[str]:
    """The days of a table, sorted; empty where it has none."""
    folder = partition(lake, table, "").parent
    found = (path.parent.name.removeprefix("day=") for path in folder.glob(f"day=*/{PART}"))
    return sorted(day for day in found if _DAY.match(day))


def has(lake: Path, table: str, day: str) -> bool:
    """Whether a day of a table is written."""
    return (partition(lake, table, day) / PART).is_file()


def read(
    lake: Path,
    table: str,
    wanted: Iterable[str] | None = None,
    columns: Sequence[str] | None = None,
) -> pa.Table:
    """The rows of these days (None: of all), in day order; a day that is absent has no rows.

    `columns` (None: all) are read and nothing else. Raises BadInput where a file is not readable
    as this table.
    """
    schema = TABLES[table]
    if columns is not None:
        schema = pa.schema([schema.field(column) for column in columns])
    chosen = days(lake, table) if wanted is None else sorted(set(wanted))
    paths = [partition(lake, table, day) / PART for day in chosen]
    return pa.concat_tables(
        [schema.empty_table(), *(_read_part(path, schema) for path in paths if path.is_file())]
    )


def write(lake: Path, table: str, day: str, rows: pa.Table) -> bool:
    """Replace a day of a table atomically. True when its bytes changed.

    Raises ValueError for a day that is not YYYY-MM-DD, or rows that do not fit the table.
    """
    if not _DAY.match(day):
        raise ValueError(f"day {day!r} is not YYYY-MM-DD")
    schema = TABLES[table]
    try:
        content = _parquet(rows.select(schema.names).cast(schema))
    except (pa.ArrowInvalid, KeyError) as error:
        raise ValueError(f"rows do not fit table {table}: {error}") from None
    path = partition(lake, table, day) / PART
    if path.is_file() and path.read_bytes() == content:
        return False
    write_atomically(path, content)
    return True


@contextmanager
def only_writer(folder: Path, name: str = ".lock") -> Iterator[None]:
    """Hold a lock in the folder, by default the lake's: steps that change several tables wait for
    each other. It holds on one machine; on a cluster the DAG runs a step once at a time.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / name).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def rows(table: str, records: Sequence[dict[str, Any]]) -> pa.Table:
    """Records as the Arrow table of that name; ValueError where one does not fit."""
    try:
        return pa.Table.from_pylist(list(records), schema=TABLES[table])
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise ValueError(f"records do not fit table {table}: {error}") from None


def labelled_events(lake: Path, wanted: Sequence[str] | None = None) -> list[LabelledEvent]:
    """Events of these days (None: all) that people labelled, in order of time.

    Where an event has several labels the latest counts. `dataset` is the event's source, the
    account is its keyed hash, which is also the group that splits keep together.
    """
    events = read(lake, "events", wanted)
    labels = _latest_labels(read(lake, "labels", wanted))
    known = pa.array(list(labels), type=pa.string())
    chosen = events.filter(pc.is_in(events["event_id"], value_set=known))
    chosen = chosen.sort_by([("occurred_at", "ascending"), ("event_id", "ascending")])
    return [
        LabelledEvent(
            event=event_of(row),
            label=parse_label(labels[row["event_id"]]["label"]),
            dataset=row["source"],
            group=row["account_hash"],
            inclusion_probability=labels[row["event_id"]]["inclusion_probability"],
        )
        for row in chosen.to_pylist()
    ]


def event_of(row: dict[str, Any]) -> Event:
    """The event that a row of the events table holds; its account is the keyed hash.

    >>> row = {"event_id": "e", "text": "hi", "occurred_at": None, "account_hash": None,
    ...        "language": "en", "media": "[]", "context": "{}", "source": "gateway"}
    >>> event_of(row).language
    'en'
    """
    return Event.model_validate(
        {
            "event_id": row["event_id"],
            "text": row["text"],
            "occurred_at": row["occurred_at"],
            "account": row["account_hash"],
            "language": row["language"],
            "media": orjson.loads(row["media"]),
            "context": orjson.loads(row["context"]),
        }
    )


def _latest_labels(labels: pa.Table) -> dict[str, dict[str, Any]]:
    """Event to its latest label with the chance of its draw; after adjudication, that one."""
    ordered = labels.select(["event_id", "label", "inclusion_probability", "observed_at"]).sort_by(
        [("observed_at", "ascending"), ("label", "ascending")]
    )
    return {row["event_id"]: row for row in ordered.to_pylist()}


def _read_part(path: Path, schema: pa.Schema) -> pa.Table:
    try:
        return pq.ParquetFile(path).read(columns=schema.names).cast(schema)
    except (pa.ArrowInvalid, OSError) as error:
        raise BadInput(
            f"{path} is not a readable part of its table ({error}); delete its folder and run "
            "`python -m pipelines ingest` for that day again"
        ) from None


def _parquet(table: pa.Table) -> bytes:
    buffer = pa.BufferOutputStream()
    pq.write_table(table, buffer, compression="zstd", write_statistics=True, store_schema=False)
    content: bytes = buffer.getvalue().to_pybytes()
    return content
