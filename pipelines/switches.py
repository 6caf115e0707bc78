"""Switches that incident response sets and running parts read: freeze training, prefilter only, …

A switch is on while somebody holds it. A hold is written once under the key of the action that
wants it, so an action that is done twice holds once; two incidents hold the same switch apart, and
it is off when both let go. Rows are never removed: the table is the switch's history, and the
number of the newest change is the version to stamp into what it changed.

A switch that nobody reads changes nothing, so who reads one says so (`switch_reader`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy import JSON, Column, Connection, Engine, Integer, MetaData, String, Table, select
from sqlalchemy import inspect as inspected

from pipelines import audit_trail
from pipelines.state import UtcTime, create_tables, one_writer_at_a_time, reading

METADATA = MetaData()
HOLDS = Table(
    "switch_holds",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("switch", String(64), nullable=False, index=True),
    Column("key", String(128), nullable=False, unique=True),
    Column("value", JSON, nullable=False),
    Column("by", String(255), nullable=False),
    Column("reason", String(512), nullable=False),
    Column("since", UtcTime, nullable=False),
    Column("released_at", UtcTime),
)
READERS = Table(
    "switch_readers",
    METADATA,
    Column("switch", String(64), primary_key=True),
    Column("reader", String(255), primary_key=True),
    Column("asked_at", UtcTime, nullable=False),
)
Name = Literal["freeze_training", "prefilter_only", "threshold_shift", "admission_shares"]
FREEZE_TRAINING: Name = "freeze_training"
PREFILTER_ONLY: Name = "prefilter_only"
THRESHOLD_SHIFT: Name = "threshold_shift"  # in log-odds; above 0 fewer events are acted upon
ADMISSION_SHARES: Name = "admission_shares"  # of the waiting room, by class
LONGEST_REASON = 512
FORGOTTEN_AFTER = timedelta(days=1)


@dataclass(frozen=True)
class Hold:
    """Who holds a switch, with what value, why and since when; `released_at` None: still."""

    switch: str
    key: str
    value: dict[str, Any]
    by: str
    reason: str
    since: datetime
    released_at: datetime | None = None

    def __str__(self) -> str:
        return f"{self.reason} (since {self.since:%Y-%m-%d %H:%M} UTC, by {self.by})"


def prepare(engine: Engine) -> None:
    """Create the tables where they are missing."""
    create_tables(engine, METADATA)
    audit_trail.prepare(engine)


def hold(connection: Connection, wanted: Hold) -> bool:
    """Hold the switch, once a key; False where that key held it before, even if it let go since."""
    one_writer_at_a_time(connection, "switches")
    if _by_key(connection, wanted.key) is not None:
        return False
    gone = READERS.c.asked_at < wanted.since - FORGOTTEN_AFTER
    connection.execute(READERS.delete().where(gone))  # readers may not delete
    connection.execute(
        HOLDS.insert().values(
            switch=wanted.switch, key=wanted.key, value=wanted.value, by=wanted.by,
            reason=wanted.reason[:LONGEST_REASON], since=wanted.since,
        )
    )  # fmt: skip
    audit_trail.append(
        connection, wanted.by, f"switch held: {wanted.switch}", wanted.key, "", wanted.since
    )
    return True


def release(connection: Connection, key: str, by: str, at: datetime) -> bool:
    """Let go; False where there is nothing that this key still holds."""
    one_writer_at_a_time(connection, "switches")
    found = _by_key(connection, key)
    if found is None or found.released_at is not None:
        return False
    connection.execute(HOLDS.update().where(HOLDS.c.key == key).values(released_at=at))
    audit_trail.append(connection, by, f"switch released: {found.switch}", key, "", at)
    return True


def held_by(engine: Engine, key: str) -> Hold | None:
    """The hold of this key, whether or not it was released."""
    with reading(engine) as connection:
        return _by_key(connection, key) if _exists(connection) else None


def holds(engine: Engine, *names: Name) -> list[Hold]:
    """Who holds these switches now, oldest first; empty: they are off, or were never used here."""
    query = (
        select(HOLDS).where(HOLDS.c.switch.in_(names), HOLDS.c.released_at.is_(None))
        .order_by(HOLDS.c.id)
    )  # fmt: skip
    with reading(engine) as connection:
        if not _exists(connection):
            return []
        return [_hold(row) for row in connection.execute(query)]


def asked(engine: Engine, names: Iterable[Name], reader: str, at: datetime) -> None:
    """The reader heeds these switches, and asks for them now and then."""
    with engine.begin() as connection:
        for name in names:
            mine = (READERS.c.switch == name) & (READERS.c.reader == reader)
            if connection.execute(READERS.update().where(mine).values(asked_at=at)).rowcount == 0:
                row = {"switch": name, "reader": reader, "asked_at": at}
                connection.execute(READERS.insert().values(row))


def readers(engine: Engine, switch: Name, since: datetime) -> list[str]:
    """Who has asked for the switch since then."""
    query = select(READERS.c.reader).where(READERS.c.switch == switch, READERS.c.asked_at >= since)
    with reading(engine) as connection:
        return sorted(connection.execute(query).scalars())


def threshold_shift(held: Sequence[Hold]) -> float:
    """What holds of THRESHOLD_SHIFT come to: the strongest, never a sum.

    Where one loosens and another tightens, the loosening counts: a false positive silences a
    person.
    """
    shifts = [float(one.value["log_odds"]) for one in held]
    return max(shifts) if any(shift > 0 for shift in shifts) else min(shifts, default=0.0)


def admission_shares(held: Sequence[Hold]) -> dict[str, float]:
    """What holds of ADMISSION_SHARES come to: the least share of every class that one names."""
    least: dict[str, float] = {}
    for one in held:
        for name, share in one.value.items():
            least[name] = min(float(share), least.get(name, 1.0))
    return least


def _by_key(connection: Connection, key: str) -> Hold | None:
    row = connection.execute(select(HOLDS).where(HOLDS.c.key == key)).first()
    return None if row is None else _hold(row)


def _exists(connection: Connection) -> bool:
    return inspected(connection).has_table(HOLDS.name)


def _hold(row: Any) -> Hold:
    return Hold(row.switch, row.key, row.value, row.by, row.reason, row.since, row.released_at)
