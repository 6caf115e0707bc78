"""The state door: settings of the engine, and what concurrent processes may rely on."""

from __future__ import annotations

import multiprocessing
import threading
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from sqlalchemy import Column, ForeignKey, Integer, MetaData, Table, insert, select, text, update
from sqlalchemy.exc import IntegrityError, StatementError

from data_contracts.errors import ConfigurationError, ServiceUnavailable
from pipelines.state import UtcTime, create_tables, one_writer_at_a_time, open_state, reading

PROJECT = Path(__file__).resolve().parents[3]
FRESH = multiprocessing.get_context("forkserver")
METADATA = MetaData()
COUNTER = Table("counter", METADATA, Column("id", Integer, primary_key=True), Column("n", Integer))
CHILD = Table("child", METADATA, Column("parent", ForeignKey("counter.id")))
MOMENT = Table("moment", METADATA, Column("at", UtcTime))


def sqlite_url(folder: Path) -> str:
    return f"sqlite:///{folder}/deep/state.sqlite"


def add_one_many_times(url: str, times: int) -> None:
    engine = open_state(url)
    create_tables(engine, METADATA)
    for _ in range(times):
        with engine.begin() as connection:
            one_writer_at_a_time(connection, "counter")
            n = connection.scalar(select(COUNTER.c.n).where(COUNTER.c.id == 1))
            if n is None:
                connection.execute(insert(COUNTER).values(id=1, n=1))
            else:
                connection.execute(update(COUNTER).values(n=n + 1))
    engine.dispose()


def test_opening_creates_the_folder_and_sets_write_ahead_log_timeout_and_foreign_keys(
    tmp_path: Path,
) -> None:
    engine = open_state(sqlite_url(tmp_path))
    with reading(engine) as connection:
        assert connection.scalar(text("PRAGMA journal_mode")) == "wal"
        assert connection.scalar(text("PRAGMA foreign_keys")) == 1
        assert connection.scalar(text("PRAGMA busy_timeout")) == 30_000
    engine.dispose()


def test_a_row_that_points_nowhere_is_refused(tmp_path: Path) -> None:
    engine = open_state(sqlite_url(tmp_path))
    create_tables(engine, METADATA)
    with pytest.raises(IntegrityError), engine.begin() as connection:
        connection.execute(insert(CHILD).values(parent=9))
    engine.dispose()


def test_a_reader_does_not_wait_for_a_writer(tmp_path: Path) -> None:
    engine = open_state(sqlite_url(tmp_path))
    create_tables(engine, METADATA)
    with engine.begin() as writer:
        writer.execute(insert(COUNTER).values(id=1, n=7))
        with reading(engine) as connection:
            assert connection.scalar(select(COUNTER.c.n)) is None
    with reading(engine) as connection:
        assert connection.scalar(select(COUNTER.c.n)) == 7
    engine.dispose()


def test_processes_that_read_then_write_lose_no_update(tmp_path: Path) -> None:
    url = sqlite_url(tmp_path)
    children = [FRESH.Process(target=add_one_many_times, args=(url, 25)) for _ in range(2)]
    for child in children:
        child.start()
    for child in children:
        child.join(60)
    assert [child.exitcode for child in children] == [0, 0]
    engine = open_state(url)
    with reading(engine) as connection:
        assert connection.scalar(select(COUNTER.c.n)) == 50
    engine.dispose()


def test_threads_that_read_then_write_lose_no_update_on_postgresql(postgres_url: str) -> None:
    threads = [
        threading.Thread(target=add_one_many_times, args=(postgres_url, 25)) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    engine = open_state(postgres_url)
    with reading(engine) as connection:
        assert connection.scalar(select(COUNTER.c.n)) == 100
    engine.dispose()


def test_creating_tables_again_keeps_their_rows(state_url: str) -> None:
    engine = open_state(state_url)
    create_tables(engine, METADATA)
    with engine.begin() as connection:
        connection.execute(insert(COUNTER).values(id=1, n=1))
    create_tables(engine, METADATA)
    with reading(engine) as connection:
        assert connection.scalar(select(COUNTER.c.n)) == 1
    engine.dispose()


def test_a_time_comes_back_aware_and_in_utc(state_url: str) -> None:
    engine = open_state(state_url)
    create_tables(engine, METADATA)
    at = datetime(2026, 1, 5, 1, 30, 0, 123_456, tzinfo=timezone(timedelta(hours=3)))
    with engine.begin() as connection:
        connection.execute(insert(MOMENT).values(at=at))
        read = connection.scalar(select(MOMENT.c.at))
    assert read == datetime(2026, 1, 4, 22, 30, 0, 123_456, tzinfo=UTC)
    assert read is not None
    assert read.tzinfo is UTC or read.utcoffset() == timedelta(0)
    engine.dispose()


def test_a_time_without_a_zone_is_refused(tmp_path: Path) -> None:
    engine = open_state(sqlite_url(tmp_path))
    create_tables(engine, METADATA)
    naive = datetime(2026, 1, 5)  # noqa: DTZ001
    with pytest.raises(StatementError, match="has no zone"), engine.begin() as connection:
        connection.execute(insert(MOMENT).values(at=naive))
    engine.dispose()


@pytest.mark.parametrize("url", ["", "not a url", "sqlite://", "mysql://host/db"])
def test_a_wrong_url_is_a_configuration_error_that_names_the_setting(url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"state\.url"):
        open_state(url)


def test_an_absent_server_is_named_without_its_password() -> None:
    url = "postgresql://weir:hush@127.0.0.1:1/weir"
    with pytest.raises(ServiceUnavailable, match="does not answer") as caught:
        open_state(url)
    assert "hush" not in str(caught.value)


def test_no_other_module_creates_an_engine() -> None:
    folders = ("pipelines", "training", "evaluation", "serving", "infra", "dags")
    offenders = [
        str(path.relative_to(PROJECT))
        for folder in folders
        for path in (PROJECT / folder).rglob("*.py")
        if "create_engine" in path.read_text(encoding="utf-8")
    ]
    assert offenders == ["pipelines/state.py"]
