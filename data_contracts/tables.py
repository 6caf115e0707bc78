"""The lake's tables as Arrow schemas, and their paths: `{lake}/{table}/day=YYYY-MM-DD/`.

Accounts stand here only as keyed hashes. Lists and maps are JSON text where their keys vary,
so that every engine (DuckDB, Spark, pandas) reads the same columns.
"""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

_TIME = pa.timestamp("us", tz="UTC")

EVENTS = pa.schema(
    [
        pa.field("event_id", pa.string(), nullable=False),
        pa.field("text", pa.string(), nullable=False),
        pa.field("occurred_at", _TIME, nullable=False),
        pa.field("account_hash", pa.string()),
        pa.field("language", pa.string()),
        pa.field("media", pa.string(), nullable=False),  # JSON list
        pa.field("context", pa.string(), nullable=False),  # JSON object
        pa.field("source", pa.string(), nullable=False),  # dataset or gateway
    ]
)
VERDICTS = pa.schema(
    [
        pa.field("event_id", pa.string(), nullable=False),
        pa.field("revision", pa.int32(), nullable=False),
        pa.field("score", pa.float64(), nullable=False),
        pa.field("action", pa.string(), nullable=False),
        pa.field("reasons", pa.list_(pa.string()), nullable=False),
        pa.field("stages", pa.string(), nullable=False),  # JSON list
        pa.field("model_version", pa.string(), nullable=False),
        pa.field("threshold_version", pa.string(), nullable=False),
        pa.field("arm", pa.string(), nullable=False),
        pa.field("mirrored", pa.bool_(), nullable=False),
        pa.field("decided_at", _TIME, nullable=False),
    ]
)
LABELS = pa.schema(
    [
        pa.field("event_id", pa.string(), nullable=False),
        pa.field("label", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("reviewer", pa.string(), nullable=False),
        pa.field("strategy", pa.string(), nullable=False),
        pa.field("inclusion_probability", pa.float64()),
        pa.field("observed_at", _TIME, nullable=False),
        pa.field("batch", pa.string(), nullable=False),
    ]
)
ACTIONS = pa.schema(  # of `data_contracts.actions`; account and target are keyed hashes
    [
        pa.field("account", pa.string(), nullable=False),
        pa.field("kind", pa.string(), nullable=False),
        pa.field("target", pa.string(), nullable=False),
        pa.field("at", _TIME, nullable=False),
        pa.field("device", pa.string()),
    ]
)
FEATURES = pa.schema(
    [
        pa.field("event_id", pa.string(), nullable=False),
        pa.field("language", pa.string()),
        pa.field(
            "embedding", pa.list_(pa.float32()), nullable=False
        ),  # frozen encoder, unit length
        pa.field("encoder", pa.string(), nullable=False),  # sha256 of its file
    ]
)
QUARANTINE = pa.schema(
    [
        pa.field("source", pa.string(), nullable=False),
        pa.field("line", pa.int64(), nullable=False),
        pa.field("field", pa.string(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("raw", pa.binary(), nullable=False),
        pa.field("sha256", pa.string(), nullable=False),
    ]
)
TABLES = {
    "events": EVENTS,
    "verdicts": VERDICTS,
    "labels": LABELS,
    "actions": ACTIONS,
    "features": FEATURES,
    "quarantine": QUARANTINE,
}
DERIVED = frozenset({"features"})  # made again from the others at any time: not versioned


def partition(lake: Path, table: str, day: str) -> Path:
    """The folder of one day of one table."""
    if table not in TABLES:
        raise ValueError(f"table {table!r} is none of {', '.join(TABLES)}")
    return lake / table / f"day={day}"
