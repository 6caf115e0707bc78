"""Alerts on their way to incident response: written here first, and only then acted upon.

Whoever watches (monitoring, detectors, a webhook of Alertmanager) puts what it saw into a table of
the state database; incident response takes it from there. An entry that nobody took yet is waiting,
so neither a dead watcher nor a dead responder loses one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import (
    JSON,
    Column,
    Connection,
    Engine,
    Index,
    Integer,
    MetaData,
    Row,
    String,
    Table,
    select,
)

from data_contracts.alerts import Alert
from pipelines.state import UtcTime, create_tables, reading

METADATA = MetaData()
ENTRIES = Table(
    "alert_inbox",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("fingerprint", String(64), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("received_at", UtcTime, nullable=False),
    Column("alert", JSON, nullable=False),
    Column("incident_id", Integer, index=True),  # who took it; 0: it changed nothing
    Index("alert_inbox_by_fingerprint", "fingerprint", "id"),
)
Kind = Literal["raised", "cleared"]
CHANGED_NOTHING = 0
MOST_AT_ONCE = 500  # entries that are taken in one transaction


@dataclass(frozen=True)
class Entry:
    """One observation: an alert was raised, or the last one of its fingerprint is over."""

    id: int
    kind: Kind
    fingerprint: str
    received_at: datetime
    alert: Alert | None


def prepare(engine: Engine) -> None:
    """Create the table where it is missing."""
    create_tables(engine, METADATA)


def put(engine: Engine, alerts: Iterable[Alert], now: datetime) -> int:
    """Write what was seen, all of it or nothing; how many there were.

    The same alert may be put again and again while it holds: that is how it stays open.
    """
    rows = [_row(alert.fingerprint, "raised", now, alert.as_record()) for alert in alerts]
    return _insert(engine, rows)


def clear(engine: Engine, fingerprints: Iterable[str], now: datetime) -> int:
    """Say that alerts are over, for who knows it; else they end when they are put no more."""
    return _insert(engine, [_row(one, "cleared", now, {}) for one in fingerprints])


def waiting(connection: Connection) -> list[Entry]:
    """The oldest entries that nobody took, at most MOST_AT_ONCE."""
    query = select(ENTRIES).where(ENTRIES.c.incident_id.is_(None)).order_by(ENTRIES.c.id)
    return [_entry(row) for row in connection.execute(query.limit(MOST_AT_ONCE))]


def taken(connection: Connection, entry: Entry, incident_id: int) -> None:
    """It belongs to this incident now, in the transaction that made it so."""
    connection.execute(
        ENTRIES.update().where(ENTRIES.c.id == entry.id).values(incident_id=incident_id)
    )


def of_incident(engine: Engine, incident_id: int) -> list[Entry]:
    """Every entry of an incident, oldest first."""
    query = select(ENTRIES).where(ENTRIES.c.incident_id == incident_id).order_by(ENTRIES.c.id)
    with reading(engine) as connection:
        return [_entry(row) for row in connection.execute(query)]


def newest_of_incident(connection: Connection, incident_id: int) -> dict[str, Entry]:
    """The newest entry of every fingerprint of an incident."""
    query = select(ENTRIES).where(ENTRIES.c.incident_id == incident_id).order_by(ENTRIES.c.id)
    return {row.fingerprint: _entry(row) for row in connection.execute(query)}


def _insert(engine: Engine, rows: Sequence[dict[str, object]]) -> int:
    if rows:
        with engine.begin() as connection:
            connection.execute(ENTRIES.insert(), rows)
    return len(rows)


def _row(fingerprint: str, kind: Kind, now: datetime, alert: dict[str, Any]) -> dict[str, object]:
    return {"fingerprint": fingerprint, "kind": kind, "received_at": now, "alert": alert}


def _entry(row: Row[Any]) -> Entry:
    alert = Alert.from_record(row.alert) if row.alert else None
    return Entry(row.id, row.kind, row.fingerprint, row.received_at, alert)
