"""10,000 steps of the rollout controller over both targets' models, with a crash at any instant.

Hypothesis chooses what happens: versions that are good, never ready, refused or not approved;
people who pause, promote and abort, also in the middle of a step; servers, registry and database
that fail; somebody else who changes the traffic; a controller that dies at any instant, or sleeps
until another leads and then goes on. The oracle (`stand_ins/rollout_world.py`) compares traffic
and store after every call. When the faults end, every rollout must end too.
"""

from __future__ import annotations

import math
import sqlite3
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from functools import cache
from typing import ClassVar
from unittest import mock

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import Engine

from data_contracts.errors import ServiceUnavailable
from pipelines import audit_trail
from serving.rollout import controller, leadership
from serving.rollout.leadership import LEASE_SECONDS, Leadership
from serving.rollout.phases import Request
from serving.rollout.store import RolloutStore
from serving.rollout.targets.base import Traffic
from tests.stand_ins.crashing import Act, Instants, SimulatedCrash, database_error, watch_database
from tests.stand_ins.rollout_fleets import Fleet, KServeFleet, MemoryFleet
from tests.stand_ins.rollout_world import (
    FIRST,
    ROLLBACK_SECONDS,
    SLOTS,
    World,
    empty_database,
    memory_database,
    verdict,
)

STEPS = 5_000  # for each target
STEPS_A_RUN = 101
RUNS_A_ROUND = 25
QUIET_STEPS = 250  # enough for the lease, a hang, and every deadline, one after the other
INSTANTS = 130  # somewhat more than one step of the controller has
FLEETS: dict[str, Callable[[], Fleet]] = {"local": MemoryFleet, "kserve": KServeFleet}

PHASES = [Phase.generate, Phase.shrink]

Instant = tuple[str, int]
requests = st.sampled_from(("pause", "pause", "resume", "promote", "promote", "abort"))
picks = st.integers(0, 63)
ACTS = ("set_traffic", "advance", "applied", "unapplied", "restart", "deploy", "make_champion",
        "drop_challenger", "approval", "set_stable", "live", "fence", "remove")  # fmt: skip
NAMED = [f"{when} {name}" for name in ACTS for when in ("before", "after")]
# any instant of a step, by its number; or one of a kind that matters
instants = st.one_of(
    st.tuples(st.just(""), st.integers(0, INSTANTS)),
    st.tuples(st.sampled_from(NAMED), st.integers(0, 1)),
)
kinds = st.sampled_from(("good", "good", "good", "good", "never ready", "refused", "unapproved"))
how = st.sampled_from(("kill", "hang"))
FAILING = ("deploy", "restart", "ready", "remove", "set_traffic", "counters", "alive", "evidence")


class RolloutMachine(RuleBasedStateMachine):
    """Lets things happen to the controllers of one world, and looks."""

    engine: ClassVar[Engine]
    rows: ClassVar[sqlite3.Connection]
    instants: ClassVar[Instants]
    new_fleet: ClassVar[Callable[[], Fleet]]
    steps: ClassVar[int]
    seen: ClassVar[Counter[str]]

    def __init__(self) -> None:
        super().__init__()
        empty_database(self.engine)
        self.begun = False
        self.instants.forget()
        self.world = World(self.engine, self.rows, self.instants, type(self).new_fleet(), self.seen)

    @classmethod
    def open(cls, new_fleet: Callable[[], Fleet]) -> None:
        (cls.engine, cls.rows), cls.instants = memory_database(), Instants()
        cls.new_fleet = staticmethod(new_fleet)  # type: ignore[assignment]
        RolloutStore(cls.engine).prepare()
        Leadership(cls.engine).prepare()
        watch_database(cls.engine, cls.instants)
        cls.steps, cls.seen = 0, Counter()

    def teardown(self) -> None:
        self.faults_end()
        self.world.check_history()

    # What happens

    @initialize(champion=st.booleans(), lead=st.integers(0, 2))
    def begin(self, champion: bool, lead: int) -> None:
        self.world.champion = FIRST if champion else None
        self.turn(lead)

    @rule(kind=kinds, lead=st.integers(0, 2))
    def start(self, kind: str, lead: int) -> None:
        self.world.start(kind)
        self.turn(lead)

    @rule(n=st.integers(1, 3))
    def time_passes(self, n: int) -> None:
        self.turn(n)

    @rule(n=st.integers(2, 6))
    def all_goes_well(self, n: int) -> None:
        """So that many rollouts come to their late phases."""
        self.world.calm()
        self.world.failing.clear()
        self.world.quality = "good"
        self.world.start("good")
        self.turn(n)

    @rule(n=st.integers(1, 3))
    def turn(self, n: int) -> None:
        """The controllers that there are take turns; nothing disturbs them."""
        for i in range(n):
            self.world.step(self.world.actors[i % len(self.world.actors)])
            self.ensure_a_controller()

    @rule(request=requests, lead=st.integers(0, 2))
    def ask(self, request: Request, lead: int) -> None:
        self.world.request(request)
        self.turn(lead)

    @rule(
        when=instants,
        known=st.booleans(),
        then=st.sampled_from(("nothing", "nothing", "abort", "start", "revoke")),
    )
    def crash(self, when: Instant, known: bool, then: str) -> None:
        """At any instant; the successor waits for the lease, or knows that the process is gone."""

        def die(where: str) -> None:
            raise SimulatedCrash(where)

        crashed = self.disturb(when, die, alone=False)
        if crashed:
            self.seen["crash"] += 1
            if known:
                self.world.the_leader_is_known_to_be_gone()
            else:
                self.world.now += timedelta(seconds=LEASE_SECONDS / 2)
            self.meanwhile(then)

    @rule(when=instants, kind=st.sampled_from(("part", "database", "slow")))
    def trouble(self, when: Instant, kind: str) -> None:
        """One call fails, or takes long."""

        def fail(where: str) -> None:
            if kind == "database" and self.instants.in_transaction:
                database_error(where)
            if kind == "slow":
                self.world.now += timedelta(seconds=20)
                return
            raise ServiceUnavailable(f"injected at {where}")

        if self.disturb(when, fail, alone=False):
            self.seen[f"trouble: {kind}"] += 1

    @rule(
        when=instants,
        n=st.sampled_from((1, 2, 4)),
        between=st.sampled_from(("nothing", "nothing", "abort", "promote", "start", "revoke")),
    )
    def usurp(self, when: Instant, n: int, between: str) -> None:
        """The leader sleeps at some instant; another takes over; the first wakes and goes on."""
        world = self.world

        def sleep(where: str) -> None:
            world.now += timedelta(seconds=LEASE_SECONDS + 1)
            successor = world.new_actor()
            world.actors.insert(0, successor)
            for turn in range(n):
                world.step(successor, instants=False)
                if turn == n // 2:
                    self.meanwhile(between)

        if self.disturb(when, sleep, alone=True):
            self.seen["usurped"] += 1
        del world.actors[2:]

    @rule(
        when=instants,
        what=st.sampled_from(
            ("pause", "resume", "promote", "abort", "start", "revoke", "drift", "kill", "hang")
        ),
        pick=picks,
    )
    def in_the_middle(self, when: Instant, what: str, pick: int) -> None:
        """People and the world do not wait for the end of a step."""

        def happen(where: str) -> None:
            self.meanwhile(what, pick)

        if self.disturb(when, happen, alone=True):
            self.seen[f"in the middle: {what}"] += 1

    @rule(n=st.integers(1, 5))
    def second_controller(self, n: int) -> None:
        """Another one tries to lead at the same time."""
        if len(self.world.actors) < 2:
            self.world.actors.append(self.world.new_actor())
        self.turn(n)

    @rule(what=st.sampled_from(("approve", "revoke", "down", "up")))
    def registry(self, what: str) -> None:
        world = self.world
        if what in ("down", "up"):
            world.registry_down = what == "down"
        elif what == "revoke":
            world.revoke()
        else:
            world.unapproved.clear()

    @rule(quality=st.sampled_from(("good", "good", "bad", "silent")), lead=st.integers(0, 2))
    def evidence(self, quality: str, lead: int) -> None:
        self.world.quality = quality
        self.turn(lead)

    @rule(pick=st.integers(1, 7), how=how, lead=st.integers(0, 2))
    def servers_are_lost(self, pick: int, how: str, lead: int) -> None:
        """One, two or all of them."""
        self.world.lose([slot for i, slot in enumerate(SLOTS) if pick >> i & 1], how)
        self.turn(lead)

    @rule(pick=picks)
    def drift(self, pick: int) -> None:
        self.world.drift(pick)
        self.turn(1 + pick % 2)

    @rule(name=st.sampled_from(FAILING), n=st.integers(1, 6), stays=st.booleans())
    def a_part_fails(self, name: str, n: int, stays: bool) -> None:
        self.world.failing.add(name)
        self.seen[f"{name} fails"] += 1
        self.turn(n)
        if not stays:
            self.world.failing.discard(name)

    @rule(seconds=st.sampled_from((1, 5, 12, 31, 61, 400)))
    def nobody_acts(self, seconds: int) -> None:
        self.world.now += timedelta(seconds=seconds)

    @rule(often=st.integers(0, 7))
    def faults_end_now(self, often: int) -> None:
        if often == 0:
            self.faults_end()

    # What must hold

    @invariant()
    def nothing_that_must_never_be(self) -> None:
        if self.begun:  # Hypothesis looks before the first step too
            type(self).steps += 1
        self.begun = True
        self.world.check()

    def faults_end(self) -> None:
        """Then every rollout ends, in its time, and leaves nothing behind."""
        world = self.world
        world.calm()
        if world.quality == "silent" and self.steps % 2:
            world.quality = "good"
        world.request("resume")
        back = revoked = 0
        for _ in range(QUIET_STEPS):
            row = world.row()
            if row is None and self.at_rest():
                break
            if row is not None and row[2] == "paused":
                world.request("resume")
            self.turn(1)
            world.check()
            back = back + 1 if self.could_be_back() else 0
            assert back <= ROLLBACK_SECONDS, f"rolling back takes {back} s"
            revoked = revoked + 1 if row is not None and row[1] in world.revoked else 0
            if revoked > ROLLBACK_SECONDS and world.leads(world.actors[0]):
                share = world.exposures().get(row[1])
                assert share is None or not share.share, f"{row} was revoked long ago"
        assert world.row() is None, f"{world.row()} does not end: {world.story()}"
        assert self.at_rest(), f"{self.unrest()}: {world.story()}"

    def could_be_back(self) -> bool:
        """Whether a rollback is under way, led, and the champion there to go back to."""
        row, world = self.world.row(), self.world
        if row is None or row[2] != "rolling_back" or not world.leads(world.actors[0]):
            return False
        stable = world.store.stable()
        return stable is None or world.fleet.answering(stable.slot)

    def at_rest(self) -> bool:
        return not self.unrest()

    def unrest(self) -> str:
        """What differs from: the champion alone, in its slot, with every request, and its alias."""
        world = self.world
        stable = world.store.stable()
        slots = {} if stable is None else {stable.slot: stable.model}
        traffic = None if stable is None else Traffic({"stable": stable.slot})
        champion = world.champion if stable is None else stable.model
        wanted = (slots, traffic, champion)
        found = (dict(world.fleet.models()), world.fleet.in_force(), world.champion)
        if found != wanted:
            return f"{found} instead of {wanted}"
        if world.challengers & {v for v, (phase, _) in self.outcomes().items()}:
            return f"{world.challengers} are challengers still: {self.outcomes()}"
        return ""

    def outcomes(self) -> dict[str, tuple[str, int]]:
        rows = self.world.rows.execute("SELECT version, phase, id FROM rollouts").fetchall()
        return {version: (phase, number) for version, phase, number in rows}

    # Words the steps are made of

    def disturb(self, when: Instant, act: Act, *, alone: bool) -> bool:
        """Step until `act` has happened; whether it has."""
        at, after = when
        self.instants.plan(after, act, alone=alone, at=at)
        for _ in range(8 if at else 3):
            self.world.step(self.world.actors[0])
            self.ensure_a_controller()
            if not self.instants.planned:
                break
        happened = not self.instants.planned
        self.instants.forget()
        return happened

    def ensure_a_controller(self) -> None:
        if not self.world.actors:
            self.world.actors.append(self.world.new_actor())

    def meanwhile(self, what: str, pick: int = 0) -> None:
        world = self.world
        if what == "start":
            world.start("good")
        elif what == "revoke":
            world.revoke()
        elif what == "drift":
            world.drift(pick)
        elif what in ("kill", "hang"):
            world.lose([slot for i, slot in enumerate(SLOTS) if (1 + pick % 7) >> i & 1], what)
        elif what == "pause" or what == "resume" or what == "promote" or what == "abort":
            world.request(what)  # type: ignore[arg-type]


def walk(new_fleet: Callable[[], Fleet], steps: int, first_seed: int = 0) -> Counter[str]:
    """Run the machine until so many steps were taken; what happened on the way."""
    machine = RolloutMachine
    machine.open(new_fleet)
    number = first_seed
    # every controller lives in this process: when that began is asked of the system once
    started = mock.patch.object(leadership, "_started", cache(leadership._started))
    with mock.patch.object(controller, "judge", verdict), started:
        while machine.steps < steps:
            missing_runs = math.ceil((steps - machine.steps) / STEPS_A_RUN)
            profile = profile_of(min(missing_runs, RUNS_A_ROUND))
            run_state_machine_as_test(seed(number)(machine), settings=profile)
            number += 1
    assert audit_trail.verify(machine.engine) is None
    machine.engine.dispose()
    return machine.seen


def profile_of(runs: int) -> settings:
    return settings(
        max_examples=runs,
        stateful_step_count=STEPS_A_RUN,
        deadline=None,
        database=None,
        phases=PHASES,
        suppress_health_check=list(HealthCheck),
        report_multiple_bugs=False,
    )


@pytest.mark.timeout(900)  # a loaded machine; alone it takes half a minute
@pytest.mark.parametrize("fleet", FLEETS)
def test_no_fault_at_any_instant_makes_traffic_bolder_than_the_store(fleet: str) -> None:
    seen = walk(FLEETS[fleet], STEPS)
    assert RolloutMachine.steps >= STEPS
    happened = [
        "to shadow", "to canary", "to paused", "to full", "to done", "to rolling_back",
        "to rolled_back", "to aborted", "crash", "usurped", "fenced off", "drift", "revoked",
        "kill server", "hang server", "canary restarted", "start never ready", "start refused",
        "asked abort", "asked pause", "asked promote", "trouble: database", "trouble: slow",
    ]  # fmt: skip
    missed = [name for name in happened if not seen[name]]
    assert not missed, f"the walk never met {missed}"
