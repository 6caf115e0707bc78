"""Switches as a server reads them, also while the state database is away."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from data_contracts.errors import ServiceUnavailable
from pipelines import switches
from pipelines.state import open_state
from pipelines.switch_reader import SwitchReader

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)


def test_the_last_answer_holds_while_the_database_is_away(tmp_path: Path) -> None:
    engine = open_state(f"sqlite:///{tmp_path}/state.sqlite")
    reader = SwitchReader(lambda: engine, [switches.PREFILTER_ONLY], "server-1", lambda: NOW)
    assert reader.holds(switches.PREFILTER_ONLY) == ()
    reader.ask()
    assert switches.readers(engine, switches.PREFILTER_ONLY, NOW) == ["server-1"]
    held = switches.Hold(switches.PREFILTER_ONLY, "k", {}, "ada", "incident 1", NOW)
    with engine.begin() as connection:
        assert switches.hold(connection, held)
    reader.ask()
    assert reader.holds(switches.PREFILTER_ONLY) == (held,)
    engine.dispose()
    (tmp_path / "state.sqlite").rename(tmp_path / "away.sqlite")
    (tmp_path / "state.sqlite").mkdir()
    reader.ask()
    assert "OperationalError" in reader.problem
    assert reader.holds(switches.PREFILTER_ONLY) == (held,)


def test_a_database_that_was_never_there_leaves_every_switch_off() -> None:
    def away() -> None:
        raise ServiceUnavailable("the state database does not answer")

    reader = SwitchReader(away, [switches.PREFILTER_ONLY], "server-1", lambda: NOW)  # type: ignore[arg-type, return-value]
    reader.ask()
    assert reader.holds(switches.PREFILTER_ONLY) == ()
    assert "does not answer" in reader.problem


def test_a_reader_that_fell_silent_is_forgotten_at_the_next_hold(tmp_path: Path) -> None:
    engine = open_state(f"sqlite:///{tmp_path}/state.sqlite")
    switches.prepare(engine)
    switches.asked(engine, [switches.PREFILTER_ONLY], "gone", NOW)
    later = NOW + switches.FORGOTTEN_AFTER + timedelta(seconds=1)
    switches.asked(engine, [switches.PREFILTER_ONLY], "new", later)
    with engine.begin() as connection:
        switches.hold(
            connection, switches.Hold(switches.PREFILTER_ONLY, "k", {}, "ada", "incident 1", later)
        )
    assert switches.readers(engine, switches.PREFILTER_ONLY, NOW) == ["new"]
