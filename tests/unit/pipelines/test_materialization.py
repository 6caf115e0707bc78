"""Days of the lake go into the online store once, in order, whatever happens on the way."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path

import pytest

from data_contracts.config import load_settings
from data_contracts.errors import BadInput, NothingToDo, ServiceUnavailable, WeirError
from pipelines import lake as tables
from pipelines.action_log import actions_of
from pipelines.enrichment import Enrichment
from pipelines.feature_store import materialization
from pipelines.feature_store.freshness import newest_event
from pipelines.feature_store.lmdb import LmdbStates
from pipelines.feature_store.materialization import Count, days_to_fold, materialize
from pipelines.feature_store.offline import days_of_log, events_of
from pipelines.feature_store.opening import enrichment_over
from pipelines.feature_store.states import MemoryStates, StateStore
from tests.performance import bench_feature_parity as bench

EVENTS = 200
BOOKKEEPING = ("materialized", "newest")


class Kept(MemoryStates):
    """Memory that shows what it keeps, and stops after so many writes."""

    def __init__(self, writes: int | None = None) -> None:
        super().__init__()
        self.writes = writes

    def put_many(self, states: Mapping[str, bytes]) -> None:
        if self.writes == 0:
            raise ServiceUnavailable("the store went away; start it")
        self.writes = None if self.writes is None else self.writes - 1
        super().put_many(states)

    @property
    def folded(self) -> dict[str, bytes]:
        """Without the notes of progress."""
        return {key: kept for key, kept in self._states.items() if not key.startswith(BOOKKEEPING)}


@pytest.fixture(scope="module")
def log() -> bench.Log:
    return bench.simulated(EVENTS, seed=7)


@pytest.fixture
def lake(log: bench.Log, tmp_path: Path) -> Path:
    bench.write_lake(log, tmp_path / "lake")
    return tmp_path / "lake"


def over(states: StateStore) -> Enrichment:
    return enrichment_over(states, bench.NO_MEDIA)


def fold(
    lake: Path, states: MemoryStates, first: str | None = None, last: str | None = None
) -> Count:
    days = days_to_fold(lake, states, first, last)
    return materialize(lake, states, over, days, lambda message: None)


def replayed(lake: Path) -> dict[str, bytes]:
    """The states after the offline replay of the whole log."""
    states = Kept()
    for _ in over(states).replay(events_of(lake), actions_of(lake)):
        pass
    return states.folded


def test_the_store_then_holds_what_a_replay_of_the_log_leads_to(lake: Path, log: bench.Log) -> None:
    states = Kept()
    assert fold(lake, states) == Count(EVENTS, len(log.actions))
    assert states.folded == replayed(lake)
    assert newest_event(states) == max(log.events[-1].occurred_at, log.actions[-1].at)


def test_a_second_run_changes_nothing(lake: Path) -> None:
    states = Kept()
    fold(lake, states)
    before = dict(states._states)
    with pytest.raises(NothingToDo, match="5 in this range"):
        fold(lake, states, days_of_log(lake)[0], days_of_log(lake)[-1])
    assert states._states == before


def test_day_after_day_is_the_same_as_all_at_once(lake: Path) -> None:
    states = Kept()
    for day in days_of_log(lake):
        fold(lake, states, day, day)
    assert states.folded == replayed(lake)


@pytest.mark.parametrize("writes", [1, 2, 7])
def test_a_run_that_was_cut_short_goes_on_where_it_was(
    lake: Path, writes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(materialization, "FOLDED_AT_ONCE", 50)
    states = Kept(writes)
    with pytest.raises(ServiceUnavailable, match="went away"):
        fold(lake, states)
    states.writes = None
    fold(lake, states)
    assert states.folded == replayed(lake)


def test_a_source_that_fails_stops_the_run_and_leaves_no_half_day(lake: Path) -> None:
    states = Kept()

    def broken(kept: StateStore) -> Enrichment:
        return Enrichment(Broken(), over(kept)._sources["surroundings"], bench.NO_MEDIA)  # type: ignore[arg-type]

    with pytest.raises(WeirError, match="nothing of this part is kept"):
        materialize(lake, states, broken, days_of_log(lake), lambda message: None)
    assert states._states == {}


class Broken:
    """A source that cannot fold."""

    def observe_event(self, event: object) -> None:
        raise ValueError("a fault")

    observe_action = observe_event

    def features(self, event: object) -> dict[str, float]:
        return {}


def test_a_folded_day_that_changed_is_refused_with_the_remedy(lake: Path) -> None:
    states = Kept()
    fold(lake, states)
    day = days_of_log(lake)[1]
    rows = tables.read(lake, "events", [day])
    tables.write(lake, "events", day, rows.slice(1))
    with pytest.raises(BadInput, match=f"day {day} changed after .* empty the online store"):
        fold(lake, states, day, day)


def test_a_day_before_one_that_was_folded_is_refused(lake: Path) -> None:
    states = Kept()
    first, second, *_ = days_of_log(lake)
    fold(lake, states, second, second)
    with pytest.raises(BadInput, match=f"day {first} was not folded, and {second} was"):
        fold(lake, states, first, first)


def test_without_a_first_day_a_run_begins_where_the_last_one_ended(lake: Path) -> None:
    states = Kept()
    days = days_of_log(lake)
    fold(lake, states, days[1], days[1])
    assert days_to_fold(lake, states, None, None) == days[2:]


def test_a_name_that_is_no_day_is_bad_input(lake: Path) -> None:
    with pytest.raises(BadInput, match="--to-day 'today' is no day"):
        days_to_fold(lake, Kept(), None, "today")


def test_the_step_fills_the_store_of_the_configuration(lake: Path) -> None:
    settings = load_settings({"WEIR_HOME": str(lake.parent)})
    result = materialization.run(Namespace(from_day=None, to_day=None), settings)
    assert (result["engine"], result["events"]) == ("lmdb", EVENTS)
    assert result["days"] == days_of_log(lake)
    with LmdbStates(lake.parent / "features") as states:
        assert newest_event(states).isoformat() == result["newest"]
        kept = replayed(lake)
        assert {key: states.get(key) for key in kept} == kept
    with pytest.raises(NothingToDo):
        materialization.run(Namespace(from_day=None, to_day=None), settings)
