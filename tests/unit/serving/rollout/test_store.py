"""Rollout state that survives: one rollout at a time, every transition kept, one leader."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine

from data_contracts.config import RolloutStep
from data_contracts.errors import BadInput, WeirError
from pipelines import audit_trail
from pipelines.state import open_state
from serving.rollout.analysis import Analysis
from serving.rollout.leadership import LEADER, LEASE_SECONDS, Leadership, LostLeadershipError
from serving.rollout.phases import Stable, Transition
from serving.rollout.store import RolloutStore
from serving.rollout.targets.base import Counters, Deployment

OLD, NEW = Deployment("models:/spam/1", "1"), Deployment("models:/spam/2", "2")
STEPS = (RolloutStep(phase="shadow", weight=0, minimum_seconds=1, minimum_requests=5),)
SLOTS = ("a", "b", "c")


def free(_connection: Connection) -> None:
    """Nobody else leads."""


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2026, 1, 5, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = open_state(f"sqlite:///{tmp_path / 'weir.sqlite'}")
    yield engine
    engine.dispose()


@pytest.fixture
def store(engine: Engine, clock: Clock) -> RolloutStore:
    store = RolloutStore(engine, clock)
    store.prepare()
    return store


def test_starting_the_same_version_twice_is_one_rollout(store: RolloutStore) -> None:
    assert store.start(NEW, STEPS, SLOTS) == store.start(NEW, STEPS, SLOTS)


def test_a_second_version_has_to_wait_and_is_told_for_whom(store: RolloutStore) -> None:
    store.start(OLD, STEPS, SLOTS)
    with pytest.raises(BadInput, match="version 2 cannot start: version 1 is at pending"):
        store.start(NEW, STEPS, SLOTS)


def test_slots_are_those_that_the_stable_model_leaves_free(store: RolloutStore) -> None:
    store.set_stable(Stable("b", OLD), free)
    rollout = store.start(NEW, STEPS, SLOTS)
    assert (rollout.canary_slot, rollout.baseline_slot, rollout.first) == ("a", "c", False)


def test_a_champion_of_the_registry_keeps_the_next_version_from_going_straight_to_full(
    store: RolloutStore,
) -> None:
    rollout = store.start(NEW, STEPS, SLOTS, champion=OLD)
    assert not rollout.first
    assert store.stable() == Stable("a", OLD)


def test_what_is_written_is_read_again_by_another_process(
    store: RolloutStore, engine: Engine, clock: Clock
) -> None:
    rollout = store.start(NEW, STEPS, SLOTS)
    applied = store.applied(rollout, Counters(7, 1), free)
    moved = store.advance(applied, Transition("shadow", 0, "ready"), None, free)
    again = RolloutStore(engine, clock)
    assert again.active() == moved
    assert again.counted(moved) == Counters(7, 1)


def test_every_transition_is_kept_with_its_reason_and_measurements(
    store: RolloutStore, clock: Clock
) -> None:
    rollout = store.start(NEW, STEPS, SLOTS)
    shadow = store.advance(rollout, Transition("shadow", 0, "ready"), None, free)
    shadow = store.applied(shadow, Counters(0, 0), free)
    clock.now += timedelta(seconds=15)
    analysis = Analysis("fail", "too many errors", 120, 30)
    store.advance(shadow, Transition("rolling_back", 0, "too many errors"), analysis, free)
    assert store.history(rollout)[1] == {
        "at": "2026-01-05T12:00:15+00:00", "phase": "shadow", "weight": 0, "mirror": True,
        "requests": 120, "errors": 30, "seconds": 15.0, "verdict": "fail",
        "to_phase": "rolling_back", "reason": "too many errors", "measurements": [],
    }  # fmt: skip


def test_done_makes_the_canary_stable_in_the_same_write(store: RolloutStore) -> None:
    store.set_stable(Stable("a", OLD), free)
    rollout = store.start(NEW, STEPS, SLOTS)
    store.advance(rollout, Transition("done", 0, "all well"), None, free)
    assert store.stable() == Stable("b", NEW)
    assert store.active() is None


def test_a_writer_that_saw_an_older_phase_changes_nothing(store: RolloutStore) -> None:
    rollout = store.start(NEW, STEPS, SLOTS)
    store.advance(rollout, Transition("shadow", 0, "ready"), None, free)
    with pytest.raises(WeirError, match="left pending meanwhile"):
        store.advance(rollout, Transition("full", 0, "late"), None, free)


def test_requests_that_make_no_sense_are_refused_with_the_state(store: RolloutStore) -> None:
    with pytest.raises(BadInput, match="no rollout is under way"):
        store.ask("abort")
    store.start(NEW, STEPS, SLOTS)
    with pytest.raises(BadInput, match="cannot resume: version 2 is at pending"):
        store.ask("resume")
    assert store.ask("abort").request == "abort"


def test_an_abort_outlives_the_transition_that_it_causes(store: RolloutStore) -> None:
    store.start(NEW, STEPS, SLOTS)
    asked = store.ask("abort")
    back = store.advance(asked, Transition("rolling_back", -1, "aborted"), None, free)
    assert back.request == "abort"
    assert store.active() == back


def test_only_one_controller_leads(engine: Engine, clock: Clock) -> None:
    first, second = Leadership(engine, clock), Leadership(engine, clock)
    first.prepare()
    assert first.claim()
    assert not second.claim()
    assert first.claim()
    first.resign()
    assert second.claim()


def test_a_lease_that_is_not_renewed_ends_and_its_holder_can_write_no_more(
    engine: Engine, clock: Clock, store: RolloutStore
) -> None:
    first, second = Leadership(engine, clock), Leadership(engine, clock)
    first.prepare()
    first.claim()
    clock.now += timedelta(seconds=LEASE_SECONDS + 1)
    assert second.claim()
    with pytest.raises(LostLeadershipError):
        store.set_stable(Stable("a", OLD), first.fence)
    assert store.stable() is None


def test_a_controller_that_died_on_this_machine_is_replaced_at_once(
    engine: Engine, clock: Clock
) -> None:
    dead, next_one = Leadership(engine, clock), Leadership(engine, clock)
    dead.prepare()
    dead.claim()
    with engine.begin() as connection:
        connection.execute(LEADER.update().values(process_started="0.0"))
    assert next_one.claim()
    leader = next_one.leader()
    assert leader is not None
    assert (leader.pid, leader.idle_seconds) == (os.getpid(), 0.0)


def test_a_lost_server_clears_the_evidence_and_counts_the_restart(store: RolloutStore) -> None:
    applied = store.applied(store.start(NEW, STEPS, SLOTS), Counters(0, 0), free)
    lost = store.unapplied(applied, free, restarts=1)
    assert store.active() == lost == replace(applied, applied_at=None, restarts=1)


def test_who_did_what_stands_in_the_audit_trail_with_the_hash_of_each_transition(
    engine: Engine, store: RolloutStore
) -> None:
    store.start(NEW, STEPS, SLOTS)
    rollout = store.ask("abort", by="ada")
    moved = store.advance(rollout, Transition("rolling_back", -1, "aborted"), None, free)
    store.advance(moved, Transition("aborted", -1, ""), None, free)
    rows = audit_trail.entries(engine, NEW.model_uri)
    assert [(row.who, row.what) for row in rows] == [
        ("weir", "rollout 1: started"),
        ("ada", "rollout 1: abort asked for at pending"),
        ("weir", "rollout 1: pending → rolling_back"),
        ("weir", "rollout 1: rolling_back → aborted"),
    ]
    assert len({row.evidence for row in rows[2:]}) == 2
    assert audit_trail.verify(engine) is None


def test_a_transition_that_fails_leaves_no_row_in_the_audit_trail(
    engine: Engine, store: RolloutStore
) -> None:
    rollout = store.start(NEW, STEPS, SLOTS)
    store.advance(rollout, Transition("shadow", 0, "ready"), None, free)
    with pytest.raises(WeirError, match="left pending meanwhile"):
        store.advance(rollout, Transition("shadow", 0, "ready"), None, free)
    assert len(audit_trail.entries(engine, NEW.model_uri)) == 2


def test_a_request_that_came_in_meanwhile_is_not_lost_with_the_transition(
    store: RolloutStore,
) -> None:
    rollout = store.start(NEW, STEPS, SLOTS)
    store.ask("abort")
    with pytest.raises(WeirError, match="got a request meanwhile"):
        store.advance(rollout, Transition("shadow", 0, "ready"), None, free)
    active = store.active()
    assert active is not None
    assert (active.phase, active.request) == ("pending", "abort")


def test_an_abort_is_never_taken_back(store: RolloutStore) -> None:
    rollout = store.start(NEW, STEPS, SLOTS)
    store.advance(rollout, Transition("shadow", 0, "ready"), None, free)
    store.ask("abort")
    with pytest.raises(BadInput, match="is being aborted"):
        store.ask("promote")
