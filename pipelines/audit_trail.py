"""The audit trail: who did what to which subject, on what evidence, when; append-only.

Every row holds the hash of the row before it, so a row that was changed, removed or slipped in
breaks the chain, and `verify` names it; triggers refuse changes at the database. Whoever can
rewrite the whole table can forge a whole chain: keep a `head` elsewhere and pass it to `verify`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import orjson
from sqlalchemy import (
    Column,
    Connection,
    Engine,
    Integer,
    MetaData,
    RowMapping,
    String,
    Table,
    event,
    insert,
    inspect,
    select,
    text,
)

from pipelines.state import UtcTime, create_tables, one_writer_at_a_time, reading

METADATA = MetaData()
ENTRIES = Table(
    "audit_trail",
    METADATA,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("at", UtcTime, nullable=False),
    Column("who", String(255), nullable=False),
    Column("what", String(255), nullable=False),
    Column("subject", String(512), nullable=False, index=True),
    Column("evidence", String(512), nullable=False),
    Column("previous", String(64), nullable=False),
    Column("hash", String(64), nullable=False),
)
BEFORE_THE_FIRST = "0" * 64


@dataclass(frozen=True)
class Entry:
    """One row. `number` counts from 1 without a gap; `hash` covers every other field."""

    number: int
    at: datetime
    who: str
    what: str
    subject: str
    evidence: str
    previous: str
    hash: str = ""

    def digest(self) -> str:
        """SHA-256 over the fields in their order; the time as ISO 8601 in UTC."""
        moment = self.at.astimezone(UTC).isoformat(timespec="microseconds")
        fields = [self.number, moment, self.who, self.what, self.subject, self.evidence]
        return hashlib.sha256(orjson.dumps([*fields, self.previous])).hexdigest()


@dataclass(frozen=True)
class Tampering:
    """The first row that does not fit, and why."""

    number: int
    problem: str

    def __str__(self) -> str:
        return f"audit trail row {self.number}: {self.problem}"


def prepare(engine: Engine) -> None:
    """Create the table and its triggers; idempotent."""
    create_tables(engine, METADATA)


def record(engine: Engine, who: str, what: str, subject: str, evidence: str, at: datetime) -> Entry:
    """Append one row and return it. `at` is an aware time; `evidence` is a hash or a reference."""
    prepare(engine)
    with engine.begin() as connection:
        return append(connection, who, what, subject, evidence, at)


def append(
    connection: Connection, who: str, what: str, subject: str, evidence: str, at: datetime
) -> Entry:
    """`record` inside a writer's transaction: what was done and the row about it stand together."""
    one_writer_at_a_time(connection, "audit_trail")
    last = _last(connection)
    previous = last.hash if last else BEFORE_THE_FIRST
    number = last.number + 1 if last else 1
    entry = Entry(number, at.astimezone(UTC), who, what, subject, evidence, previous)
    entry = replace(entry, hash=entry.digest())
    connection.execute(insert(ENTRIES), _columns(entry))
    return entry


def entries(engine: Engine, subject: str | None = None) -> list[Entry]:
    """Rows in their order, of one subject or all."""
    query = select(ENTRIES).order_by(ENTRIES.c.number)
    if subject is not None:
        query = query.where(ENTRIES.c.subject == subject)
    with reading(engine) as connection:
        if not _exists(connection):
            return []
        return [_entry(row) for row in connection.execute(query).mappings()]


def head(engine: Engine) -> Entry | None:
    """The newest row; kept elsewhere, it proves later that nothing before it was rewritten."""
    with reading(engine) as connection:
        return _last(connection) if _exists(connection) else None


def verify(engine: Engine, known: Entry | None = None) -> Tampering | None:
    """The first broken row, or None. `known` is a head noted earlier: it must still be there."""
    rows = entries(engine)
    return next(_breaks(rows), None) or _missing(rows, known)


def _breaks(rows: list[Entry]) -> Iterator[Tampering]:
    previous, number = BEFORE_THE_FIRST, 0
    for row in rows:
        number += 1
        if row.number != number:
            yield Tampering(number, f"is missing; row {row.number} follows row {number - 1}")
        elif row.previous != previous:
            yield Tampering(number, "does not continue the row before it")
        elif row.hash != row.digest():
            yield Tampering(number, "was changed after it was written")
        previous, number = row.hash, row.number


def _missing(rows: list[Entry], known: Entry | None) -> Tampering | None:
    if known is None or known in rows:
        return None
    return Tampering(known.number, "is not the row that was noted earlier")


def _exists(connection: Connection) -> bool:
    return inspect(connection).has_table(ENTRIES.name)


def _last(connection: Connection) -> Entry | None:
    query = select(ENTRIES).order_by(ENTRIES.c.number.desc()).limit(1)
    row = connection.execute(query).mappings().first()
    return None if row is None else _entry(row)


def _entry(row: RowMapping) -> Entry:
    return Entry(**dict(row))


def _columns(entry: Entry) -> dict[str, object]:
    return {column.name: getattr(entry, column.name) for column in ENTRIES.columns}


_REFUSAL = "the audit trail is append-only"
_GUARDS = {
    "sqlite": [
        f"CREATE TRIGGER audit_trail_no_{verb.lower()} BEFORE {verb} ON audit_trail "
        f"BEGIN SELECT RAISE(ABORT, '{_REFUSAL}'); END"
        for verb in ("UPDATE", "DELETE")
    ],
    "postgresql": [
        "CREATE FUNCTION audit_trail_refuse() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION '{_REFUSAL}'; END $$",
        "CREATE TRIGGER audit_trail_append_only BEFORE UPDATE OR DELETE OR TRUNCATE "
        "ON audit_trail FOR EACH STATEMENT EXECUTE FUNCTION audit_trail_refuse()",
    ],
}


@event.listens_for(ENTRIES, "after_create")
def _guard(_table: Table, connection: Connection, **_: object) -> None:
    """The database itself refuses to change or remove a row."""
    for statement in _GUARDS.get(connection.dialect.name, []):
        connection.execute(text(statement))
