"""The one door to the state database: SQLite embedded, PostgreSQL in production.

Owners define their tables on a MetaData of their own and create them with `create_tables`.
Every `engine.begin()` is a writer; for reads that must not wait for one use `reading(engine)`.
Times are `UtcTime` columns: aware UTC in, aware UTC out, on both databases.

On SQLite a writer begins with BEGIN IMMEDIATE, so "read, decide, write" inside one
`engine.begin()` never loses an update. PostgreSQL (READ COMMITTED) needs a guarded UPDATE
(`WHERE state = expected`, then check the row count) or `one_writer_at_a_time`.
Open the engine after a fork, never before: connections do not survive one.
"""

from __future__ import annotations

import sqlite3
import time
import zlib
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import (
    URL,
    Connection,
    DateTime,
    Dialect,
    Engine,
    MetaData,
    TypeDecorator,
    create_engine,
    event,
    make_url,
    text,
)
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, OperationalError

from data_contracts.errors import ConfigurationError, ServiceUnavailable

BUSY_TIMEOUT_SECONDS = 30.0
CONNECT_TIMEOUT_SECONDS = 10
_READ_ONLY = "weir_read_only"


class UtcTime(TypeDecorator[datetime]):
    """An aware time, kept in UTC to the microsecond. A time without a zone is refused."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"time {value} has no zone; give an aware datetime, e.g. in UTC")
        moment = value.astimezone(UTC)
        return moment.replace(tzinfo=None) if dialect.name == "sqlite" else moment

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if dialect.name == "sqlite" else value.astimezone(UTC)


def open_state(url: str) -> Engine:
    """An engine for the state database at `url`, reached once to fail early.

    `url` is `sqlite:///FILE` (the parent folder is created) or `postgresql+psycopg://…`.
    Raises ConfigurationError for any other URL, ServiceUnavailable when it does not answer.
    """
    parsed = _checked(url)
    engine = _sqlite(parsed) if parsed.get_backend_name() == "sqlite" else _postgresql(parsed)
    try:
        with reading(engine) as connection:
            connection.execute(text("SELECT 1"))
    except OperationalError as error:
        engine.dispose()
        shown = parsed.render_as_string(hide_password=True)
        raise ServiceUnavailable(
            f"state database {shown} does not answer: {str(error.orig).strip()}; start it, or "
            "mend state.url (WEIR__STATE__URL)"
        ) from None
    return engine


def reading(engine: Engine) -> AbstractContextManager[Connection]:
    """A transaction that only reads: one snapshot on SQLite, and it waits for no writer."""
    read_only = engine.execution_options(**{_READ_ONLY: True})
    return read_only.begin()


def create_tables(engine: Engine, metadata: MetaData) -> None:
    """Create the tables that are missing; safe when several processes do it at once."""
    with engine.begin() as connection:
        one_writer_at_a_time(connection, "schema")
        metadata.create_all(connection)


def one_writer_at_a_time(connection: Connection, subject: str) -> None:
    """Wait until no other transaction holds `subject`, and hold it until this one ends.

    For read-then-append (a hash chain, a single leader). SQLite writers exclude each other anyway.
    """
    if connection.dialect.name == "postgresql":
        key = zlib.crc32(f"weir:{subject}".encode())
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": key})


def _checked(url: str) -> URL:
    remedy = "use sqlite:///FILE or postgresql+psycopg://USER@HOST/DATABASE (WEIR__STATE__URL)"
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise ConfigurationError(f"state.url = {url!r} is not a URL; {remedy}") from None
    shown = parsed.render_as_string(hide_password=True)
    if parsed.get_backend_name() == "postgresql":
        return parsed.set(drivername="postgresql+psycopg")
    if parsed.get_backend_name() != "sqlite":
        raise ConfigurationError(f"state.url = {shown!r}: unknown database; {remedy}")
    if parsed.database in (None, "", ":memory:"):
        raise ConfigurationError(f"state.url = {shown!r}: memory is not shared; {remedy}")
    return parsed


def _sqlite(url: URL) -> Engine:
    Path(str(url.database)).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(url, connect_args={"timeout": BUSY_TIMEOUT_SECONDS})
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _postgresql(url: URL) -> Engine:
    connect = {"connect_timeout": CONNECT_TIMEOUT_SECONDS, "options": "-c timezone=UTC"}
    try:
        return create_engine(url, pool_pre_ping=True, connect_args=connect)
    except (ImportError, NoSuchModuleError) as error:
        raise ConfigurationError(
            f"state.url needs psycopg ({error}); pip install 'psycopg[binary]'"
        ) from None


def _prepare_sqlite(connection: sqlite3.Connection, _record: Any) -> None:
    connection.isolation_level = None  # transactions begin where _begin_sqlite says, nowhere else
    connection.execute(f"PRAGMA busy_timeout = {int(BUSY_TIMEOUT_SECONDS * 1000)}")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA synchronous = FULL")  # a committed label survives a power cut
    _enter_write_ahead_log(connection)


def _enter_write_ahead_log(connection: sqlite3.Connection) -> None:
    """Switching the journal does not honour busy_timeout, so two first openers retry here."""
    deadline = time.monotonic() + BUSY_TIMEOUT_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def _begin_sqlite(connection: Connection) -> None:
    read_only = connection.get_execution_options().get(_READ_ONLY, False)
    connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")
