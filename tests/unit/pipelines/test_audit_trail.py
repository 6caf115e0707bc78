"""The audit trail chains its rows, refuses changes, and finds those made behind its back."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from pipelines import audit_trail
from pipelines.state import open_state

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)


@pytest.fixture
def engine(state_url: str) -> Engine:
    return open_state(state_url)


def _write(engine: Engine, count: int) -> list[audit_trail.Entry]:
    return [
        audit_trail.record(
            engine, "reviewer", f"step {n}", "models:/spam/1", "sha256:ab", NOON + timedelta(n)
        )
        for n in range(count)
    ]


def _behind_its_back(engine: Engine, statement: str) -> None:
    """What someone with rights on the database could do: drop the guard, then change rows."""
    with engine.begin() as connection:
        if engine.dialect.name == "sqlite":
            connection.execute(text("DROP TRIGGER audit_trail_no_update"))
            connection.execute(text("DROP TRIGGER audit_trail_no_delete"))
        else:
            connection.execute(text("DROP TRIGGER audit_trail_append_only ON audit_trail"))
        connection.execute(text(statement))


def test_rows_come_back_as_written_and_the_chain_holds(engine: Engine) -> None:
    written = _write(engine, 3)
    assert audit_trail.entries(engine) == written
    assert [row.number for row in written] == [1, 2, 3]
    assert written[1].previous == written[0].hash
    assert audit_trail.head(engine) == written[2]
    assert audit_trail.verify(engine) is None


def test_an_empty_trail_is_sound(engine: Engine) -> None:
    assert audit_trail.entries(engine) == []
    assert audit_trail.verify(engine) is None


def test_entries_are_found_by_subject(engine: Engine) -> None:
    _write(engine, 2)
    other = audit_trail.record(engine, "weir", "champion", "models:/spam/2", "", NOON)
    assert audit_trail.entries(engine, "models:/spam/2") == [other]


@pytest.mark.parametrize(
    "statement", ["UPDATE audit_trail SET who = 'other'", "DELETE FROM audit_trail"]
)
def test_the_database_refuses_changes(engine: Engine, statement: str) -> None:
    _write(engine, 1)
    with pytest.raises(DBAPIError, match="append-only"), engine.begin() as connection:
        connection.execute(text(statement))


@pytest.mark.parametrize("column", ["who", "what", "subject", "evidence"])
def test_a_changed_row_is_named(engine: Engine, column: str) -> None:
    _write(engine, 3)
    _behind_its_back(engine, f"UPDATE audit_trail SET {column} = 'x' WHERE number = 2")  # noqa: S608
    assert str(audit_trail.verify(engine)) == (
        "audit trail row 2: was changed after it was written"
    )


def test_a_removed_row_is_named(engine: Engine) -> None:
    _write(engine, 3)
    _behind_its_back(engine, "DELETE FROM audit_trail WHERE number = 2")
    tampering = audit_trail.verify(engine)
    assert tampering is not None
    assert tampering.number == 2


def test_a_row_replaced_with_a_fitting_hash_breaks_the_next(engine: Engine) -> None:
    rows = _write(engine, 3)
    forged = audit_trail.Entry(2, rows[1].at, "forger", *_rest(rows[1]))
    _behind_its_back(
        engine,
        f"UPDATE audit_trail SET who = 'forger', hash = '{forged.digest()}' WHERE number = 2",  # noqa: S608
    )
    tampering = audit_trail.verify(engine)
    assert tampering is not None
    assert tampering.number == 3


def test_rows_cut_off_at_the_end_are_found_by_a_noted_head(engine: Engine) -> None:
    rows = _write(engine, 3)
    _behind_its_back(engine, "DELETE FROM audit_trail WHERE number = 3")
    assert audit_trail.verify(engine) is None
    tampering = audit_trail.verify(engine, known=rows[2])
    assert tampering is not None
    assert tampering.number == 3


def test_writers_at_the_same_time_make_one_chain(engine: Engine) -> None:
    audit_trail.prepare(engine)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: _write(engine, 5), range(4)))
    assert len(audit_trail.entries(engine)) == 20
    assert audit_trail.verify(engine) is None


def _rest(row: audit_trail.Entry) -> tuple[str, str, str, str]:
    return row.what, row.subject, row.evidence, row.previous
