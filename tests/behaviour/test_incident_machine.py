"""Incident response under fault injection: its process dies at every instant that counts.

Two incidents at once, a mitigation that fails, an alert that flaps, calls to people. Wherever the
responder dies, the next one ends where one would that never died: nothing is done twice, no
incident and no alert is lost, and nobody remains uncalled.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from functools import cache

import pytest
from sqlalchemy import select

from pipelines import audit_trail
from pipelines.alert_inbox import ENTRIES
from pipelines.switches import HOLDS
from serving.incidents.triage import TABLE
from tests.stand_ins.crashing import SimulatedCrash
from tests.stand_ins.incident_world import IncidentWorld, Lever, alert

SLOW, SILENCED = alert("Slow", stage="ocr"), alert("Precision", slice="tr")
FAILS = "incident-2-0-0"
MOST_STEPS = 60


@dataclass(frozen=True)
class Ending:
    """What must be the same, wherever the responder died."""

    states: dict[int, str]
    flaps: list[int]
    outcomes: list[tuple[str, str]]
    pulled: list[str]
    held: list[tuple[str, bool]]
    called: frozenset[tuple[str, str]]


def die(where: str) -> None:
    raise SimulatedCrash(where)


def step(world: IncidentWorld) -> int:
    """One step of whoever leads; how often it died."""
    for deaths in range(MOST_STEPS):
        try:
            with world.instants.watching(True):
                world.responder.step()
        except SimulatedCrash:
            world.responder = world.new_responder()
        else:
            return deaths
    raise AssertionError("dies for ever")


def story(world: IncidentWorld) -> int:
    """Two incidents, one mitigation that fails, one alert that flaps; how often somebody died."""
    deaths = 0
    for seconds, seen, over in (
        (0, [SLOW, SILENCED], []),
        (20, [SILENCED], [SLOW]),
        (20, [SLOW, SILENCED], []),
        (20, [], [SLOW, SILENCED]),
        (900, [], []),
        (10, [], []),
    ):
        world.now += timedelta(seconds=seconds)
        world.see(*seen)
        world.clear(*over)
        deaths += step(world)
    return deaths


def ending(world: IncidentWorld) -> Ending:
    incidents = sorted(world.store.incidents(over_too=True), key=lambda one: one.id)
    with world.engine.begin() as connection:
        held = connection.execute(select(HOLDS.c.key, HOLDS.c.released_at).order_by(HOLDS.c.key))
        holds = [(row.key, row.released_at is not None) for row in held]
    return Ending(
        {one.id: one.state for one in incidents},
        [one.flaps for one in incidents],
        [pair for one in incidents for pair in world.outcomes(one.id)],
        sorted(world.lever.pulled),
        holds,
        frozenset((message.to, message.subject) for message in world.pager.arrived),
    )


def a_world() -> IncidentWorld:
    return IncidentWorld(lever=Lever(fails_for=frozenset({FAILS})))


@cache
def undisturbed() -> tuple[Ending, int, int]:
    """How it ends without a death, the instants on the way, and how many calls there were."""
    world = a_world()
    assert story(world) == 0
    return ending(world), world.instants.reached, len(world.pager.arrived)


def not_taken(world: IncidentWorld) -> int:
    with world.engine.begin() as connection:
        waiting = select(ENTRIES.c.id).where(ENTRIES.c.incident_id.is_(None))
        return len(connection.execute(waiting).all())


def test_the_story_holds_what_it_should() -> None:
    """Else the test below would show nothing."""
    found, instants, calls = undisturbed()
    assert found.states == {1: "resolved", 2: "resolved"}
    assert found.flaps == [1, 0]
    assert found.outcomes == [
        ("abort_rollout", "done"), ("abort_rollout", "failed"), ("freeze_training", "undone"),
    ]  # fmt: skip
    assert found.pulled == ["incident-1-0-0"]
    assert found.held == [("incident-2-0-2", True)]
    assert instants > 40
    assert calls == 3, "bo about both, ada about the failure"


def test_a_responder_killed_at_any_instant_does_nothing_twice_and_loses_nothing() -> None:
    expected, instants, calls = undisturbed()
    for number in range(instants):
        world = a_world()
        world.instants.plan(number, die, alone=False)
        assert story(world) == 1, number
        assert ending(world) == expected, (number, world.said)
        assert calls <= len(world.pager.arrived) <= calls + 1, number
        assert not_taken(world) == 0
        assert audit_trail.verify(world.engine) is None


@pytest.mark.parametrize("seed", range(3))
def test_in_a_storm_of_alerts_failures_and_deaths_nothing_is_done_twice_or_lost(seed: int) -> None:
    rng = random.Random(seed)
    alerts = [alert(f"Alert{number}", rng.choice(["page", "ticket"])) for number in range(4)]
    world, raised = IncidentWorld(), set[str]()
    for _ in range(25):
        world.now += timedelta(seconds=rng.choice([5, 30, 70]))
        world.lever.fails = rng.random() < 0.3
        seen = [one for one in alerts if rng.random() < 0.3]
        raised |= {one.fingerprint for one in seen}
        world.see(*seen)
        world.clear(*(one for one in alerts if rng.random() < 0.2))
        if rng.random() < 0.7:
            world.instants.plan(rng.randrange(30), die, alone=False)
        step(world)
    world.instants.forget()
    world.lever.fails = False
    world.now += timedelta(hours=1)
    step(world)
    world.now += timedelta(hours=1)
    step(world)
    assert max(Counter(world.lever.pulled).values(), default=0) <= 1
    assert not_taken(world) == 0
    found = {entry.fingerprint for number in world.states() for entry in world.store.alerts(number)}
    assert raised <= found
    assert set(world.states().values()) == {"resolved"}
    actions = [one for number in world.states() for one in world.store.actions(number)]
    assert all(one.has_ended for one in actions)
    done = [one.key for one in actions if one.mitigation == "abort_rollout" and one.state == "done"]
    assert sorted(done) == sorted(world.lever.pulled), "what is said to be done was done, and once"
    assert audit_trail.verify(world.engine) is None


def test_every_state_but_the_end_can_be_left_and_every_state_reached() -> None:
    targets = {target for row in TABLE.values() for target in row.values()}
    reached = targets - {"waiting", "before"} | {"open"}
    assert reached == set(TABLE)
    assert all(row for row in TABLE.values())
