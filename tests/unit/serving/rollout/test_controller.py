"""The controller on a target in memory: every phase, every loss, and a crash at every act."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import create_engine
from sqlalchemy.pool import StaticPool

from data_contracts.config import MetricBound, RatioBound, RolloutMetrics, RolloutStep
from data_contracts.config import Rollout as RolloutSettings
from data_contracts.errors import BadInput, ServiceUnavailable
from serving.rollout.analysis import Pairs, Sample
from serving.rollout.controller import Controller, Registry
from serving.rollout.leadership import Leadership
from serving.rollout.phases import Rollout, Stable
from serving.rollout.plan import plan
from serving.rollout.store import RolloutStore
from serving.rollout.targets.base import Counters, Deployment, Traffic
from tests.stand_ins.memory_target import MemoryTarget
from training.registry import NotInRegistry

SLOTS = ("a", "b", "c")
OLD, NEW = Deployment("models:/spam/1", "1"), Deployment("models:/spam/2", "2")
STEPS = (
    RolloutStep(phase="shadow", weight=0, minimum_seconds=0, minimum_requests=50),
    RolloutStep(phase="canary", weight=10, minimum_seconds=0, minimum_requests=50),
)
SETTINGS = RolloutSettings(
    steps=STEPS,
    poll_seconds=1,
    progress_deadline_seconds=60,
    confidence=0.95,
    metrics=RolloutMetrics(
        errors=MetricBound(tolerance=0.01, margin=0.2),
        latency_p50=RatioBound(tolerance=1.5, margin=2.0),
        latency_p95=RatioBound(tolerance=1.5),
        latency_p99=RatioBound(tolerance=1.5),
        disagreement=MetricBound(tolerance=0.1, margin=0.2),
        acted=MetricBound(tolerance=0.1),
        scores=MetricBound(tolerance=0.1),
        false_positives=MetricBound(tolerance=0.0),
        recall=MetricBound(tolerance=0.0),
    ),
    require_quality=False,
    minimum_slice_share=0.1,
    maximum_slices=8,
)


class CrashError(BaseException):
    """The process is gone: nothing in it may catch this."""


@dataclass
class Fuse:
    """Lets so many acts pass, then ends the process: before an act (even) or after it (odd)."""

    left: int = 1_000_000
    blown: bool = False

    def around(self, act: Callable[..., object]) -> Callable[..., object]:
        def guarded(*arguments: object, **named: object) -> object:
            self._burn()
            result = act(*arguments, **named)
            self._burn()
            return result

        return guarded

    def _burn(self) -> None:
        self.left -= 1
        if self.left < 0 and not self.blown:
            self.blown = True
            raise CrashError


@dataclass(frozen=True)
class Seen:
    """Evidence that is always there."""

    since: datetime
    canary: Callable[[], Sample]
    reference: Sample

    def live(self) -> tuple[Sample, Sample]:
        return self.canary(), self.reference

    def mirrored(self, copies: Counters) -> tuple[Sample, Sample, Pairs]:
        return replace(self.canary(), errors=0), self.reference, Pairs(100, 0)


@dataclass(frozen=True)
class Approval:
    approved: bool = True
    reason: str = ""
    revoked: bool = False


def answered(requests: int, errors: int = 0) -> Sample:
    return Sample(requests, errors, [10.0] * (requests - errors))


@dataclass
class World:
    """A store, a target, a registry, and as many controllers as it takes."""

    canary: Sample = field(default_factory=lambda: answered(100))
    approval: Approval = field(default_factory=Approval)
    fuse: Fuse = field(default_factory=Fuse)
    now: datetime = datetime(2026, 1, 5, 12, tzinfo=UTC)
    champion: Deployment | None = OLD
    champions: list[str] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    target: MemoryTarget = field(default_factory=MemoryTarget)

    def __post_init__(self) -> None:
        engine = create_engine(
            "sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False}
        )
        self.engine = engine
        self.store = RolloutStore(engine, self.clock)
        self.leadership = Leadership(engine, self.clock)
        self.store.prepare()
        self.leadership.prepare()
        assert self.leadership.claim()
        for part, names in (
            (self.target, ("deploy", "restart", "remove", "set_traffic")),
            (self.store, ("applied", "unapplied", "advance", "set_stable")),
        ):
            for name in names:
                setattr(part, name, self.fuse.around(getattr(part, name)))
        self.controller = self.new_controller()

    def clock(self) -> datetime:
        return self.now

    def new_controller(self) -> Controller:
        registry = Registry(
            approval=lambda version: self.approval,
            make_champion=self.fuse.around(self.champions.append),
            drop_challenger=self.fuse.around(self.dropped.append),
            champion=lambda: self.champion,
        )
        return Controller(
            self.target,
            self.store,
            self.leadership,
            registry,
            lambda since, version: Seen(since, lambda: self.canary, answered(100)),
            SETTINGS,
            slots=SLOTS,
            start_seconds=30,
            clock=self.clock,
            say=self.said.append,
        )

    def step(self, times: int = 1) -> None:
        for _ in range(times):
            self.now += timedelta(seconds=1)
            self.controller.step()

    def start(self) -> Rollout:
        return self.store.start(NEW, STEPS, SLOTS)

    def phase(self) -> str:
        latest = self.store.latest()
        return "none" if latest is None else latest.label

    def run_until(self, phase: str, most: int = 40) -> None:
        for _ in range(most):
            if self.phase() == phase:
                return
            self.step()
        raise AssertionError(f"{self.phase()}, not {phase}: {self.said}")

    def exposure(self) -> int:
        """Percent of requests that the new model answers; copies count as one."""
        traffic = self.target.in_force
        slot = next((slot for slot, model in self.target.models.items() if model == NEW), None)
        if traffic is None or slot is None:
            return 0
        return max(traffic.visible_share(slot), int(traffic.mirror == slot))

    def allowed_exposure(self) -> int:
        latest, stable = self.store.latest(), self.store.stable()
        wanted = plan(self.store.active(), stable).traffic
        if latest is None or wanted is None:
            return 0
        slot = latest.canary_slot
        return max(wanted.visible_share(slot), int(wanted.mirror == slot))


@pytest.fixture
def world() -> World:
    """With a champion in traffic."""
    made = World()
    made.step(3)
    return made


def test_at_its_start_it_makes_the_registrys_champion_stable(world: World) -> None:
    assert world.store.stable() == Stable("a", OLD)
    assert world.target.in_force == Traffic({"stable": "a"})


def test_without_champion_it_waits_and_lets_nobody_answer() -> None:
    world = World(champion=None)
    world.step(3)
    assert (world.target.models, world.target.in_force) == ({}, None)


def test_a_store_that_was_lost_takes_nobody_out_of_service() -> None:
    world = World(champion=None)
    world.target.models = {"b": OLD}
    world.target.in_force = Traffic({"stable": "b"})
    world.step(3)
    assert world.target.in_force == Traffic({"stable": "b"})
    world.champion = OLD
    world.step(40)
    assert world.store.stable() == Stable("b", OLD)
    assert world.target.models == {"b": OLD}


def test_a_first_version_goes_to_full_and_becomes_champion() -> None:
    world = World(champion=None)
    world.start()
    world.run_until("done")
    world.step(3)
    assert world.champions == ["2"]
    assert world.target.in_force == Traffic({"stable": "a"})


def test_a_good_version_replaces_the_champion_and_the_old_server_goes(world: World) -> None:
    world.start()
    world.run_until("done")
    world.step(3)
    assert world.champions == ["2"]
    assert world.target.models == {"b": NEW}
    assert world.target.in_force == Traffic({"stable": "b"})


def test_weight_comes_only_when_canary_and_baseline_are_ready(world: World) -> None:
    world.start()
    world.run_until("canary 10 %")
    assert world.exposure() <= 1
    world.step(3)
    assert world.exposure() in (10, 100)


def test_a_failing_canary_is_rolled_back_and_drops_the_alias(world: World) -> None:
    world.canary = answered(200, errors=120)
    world.start()
    world.run_until("rolled_back")
    world.step()
    assert (world.dropped, world.champions) == (["2"], [])
    assert world.target.models == {"a": OLD}
    latest = world.store.latest()
    assert latest is not None
    assert "error rate 60.00%" in latest.reason


def test_no_traffic_ends_in_a_rollback_that_says_so(world: World) -> None:
    world.canary = answered(0)
    world.start()
    world.run_until("rolled_back", most=100)
    latest = world.store.latest()
    assert latest is not None
    assert "no verdict within 60 s" in latest.reason


def test_a_dead_canary_server_is_restarted_once_and_its_evidence_begins_anew(world: World) -> None:
    world.start()
    world.run_until("shadow")
    world.step()
    world.target.dead.add("b")
    world.canary = answered(0)
    world.step()
    latest = world.store.latest()
    assert latest is not None
    assert (latest.restarts, world.target.alive("b")) == (1, True)
    world.target.dead.add("b")
    world.run_until("rolled_back")
    latest = world.store.latest()
    assert latest is not None
    assert "died again after a restart; its log ends: last words of b" in latest.reason


def test_dead_stable_and_baseline_servers_are_restarted_without_blame(world: World) -> None:
    world.canary = answered(20)
    rollout = world.start()
    world.run_until("shadow")
    world.canary = answered(100)
    world.run_until("canary 10 %")
    world.canary = answered(20)
    world.step(4)
    world.target.dead |= {"a", rollout.baseline_slot}
    world.step(2)
    assert not world.target.dead
    world.canary = answered(100)
    world.run_until("done")


def test_a_missing_approval_stops_a_rollout_before_anything_is_seen(world: World) -> None:
    world.approval = Approval(False, "revoked")
    world.start()
    world.run_until("rolled_back")
    assert world.exposure() == 0
    latest = world.store.latest()
    assert latest is not None
    assert latest.reason == "no approval stands: revoked"


@pytest.mark.parametrize("phase", ["shadow", "canary 10 %"])
def test_an_approval_that_is_taken_back_ends_a_rollout_that_waits(world: World, phase: str) -> None:
    world.start()
    world.run_until(phase)
    world.canary = answered(20)  # too few for a verdict
    world.approval = Approval(False, "reviewer removed the tag", revoked=True)
    world.run_until("rolled_back")
    world.step()
    latest = world.store.latest()
    assert latest is not None
    assert latest.reason == "no approval stands: reviewer removed the tag"
    assert (world.champions, world.dropped) == ([], ["2"])
    assert world.target.in_force == Traffic({"stable": "a"})


def test_a_former_champion_comes_back_although_its_approval_ran_out_since(world: World) -> None:
    world.start()
    world.run_until("done")
    world.champion = NEW
    world.approval = Approval(False, "ran out after 72 hours")
    world.store.start(OLD, (), SLOTS)
    world.run_until("rolled_back")  # OLD was champion before there was a store that knows of it
    world.approval = Approval()
    world.store.start(OLD, (), SLOTS)
    world.run_until("done")
    world.approval = Approval(False, "ran out after 72 hours")
    world.store.start(NEW, (), SLOTS)
    world.run_until("done")
    assert world.champions == ["2", "1", "2"]


def test_a_former_champion_whose_approval_was_revoked_stays_away(world: World) -> None:
    world.start()
    world.run_until("done")
    world.store.start(OLD, (), SLOTS)
    world.run_until("done")
    world.approval = Approval(False, "ada took it back", revoked=True)
    world.store.start(NEW, (), SLOTS)
    world.run_until("rolled_back")
    assert world.champions == ["2", "1"]


def test_an_approval_that_runs_out_meanwhile_lets_its_rollout_end(world: World) -> None:
    world.start()
    world.run_until("shadow")
    world.approval = Approval(False, "the approval is older than 72 hours")
    world.run_until("done")


def test_a_version_that_was_deleted_is_rolled_back(world: World) -> None:
    def gone(version: str) -> Approval:
        raise NotInRegistry("there is no version 2")

    world.canary = answered(20)
    world.start()
    world.run_until("shadow")
    world.controller._registry = replace(world.controller._registry, approval=gone)
    world.run_until("rolled_back")


def test_a_registry_that_is_down_takes_nothing_back(world: World) -> None:
    def down(version: str) -> Approval:
        raise ServiceUnavailable("MLflow does not answer")

    world.canary = answered(20)  # too few for a verdict
    world.start()
    world.run_until("shadow")
    world.controller._registry = replace(world.controller._registry, approval=down)
    world.step(20)
    assert world.phase() == "shadow"
    assert any("unknown: MLflow does not answer" in line for line in world.said)


def test_what_the_judge_said_on_the_way_is_kept_but_not_every_look(world: World) -> None:
    world.canary = answered(20)
    rollout = world.start()
    world.run_until("shadow")
    world.step(10)
    world.canary = answered(40)
    world.step(10)
    world.canary = answered(100)
    world.run_until("done")
    kept = [(one["phase"], one["requests"]) for one in world.store.measurements(rollout)]
    assert kept[:3] == [("shadow", 20), ("shadow", 40), ("shadow", 100)]
    assert len(kept) == len(set(kept))


def test_a_registry_that_is_down_holds_the_rollout_and_does_not_end_it(world: World) -> None:
    def down(version: str) -> Approval:
        raise ServiceUnavailable("MLflow does not answer")

    world.start()
    consent = world.controller._registry
    world.controller._registry = replace(consent, approval=down)
    for _ in range(5):
        with suppress(ServiceUnavailable):
            world.step()
    assert world.phase() == "pending"
    world.controller._registry = consent
    world.run_until("done")


def test_a_version_that_the_registry_refuses_at_the_end_is_rolled_back(world: World) -> None:
    def refuse(version: str) -> None:
        raise BadInput("its approval was revoked")

    world.controller._registry = replace(world.controller._registry, make_champion=refuse)
    world.start()
    world.run_until("rolled_back")
    world.step()
    assert world.target.in_force == Traffic({"stable": "a"})


def acts(outcome: str) -> int:
    """How often the fuse burns in one whole rollout with this outcome."""
    world = rollout_to(outcome, Fuse())
    return 1_000_000 - world.fuse.left


def rollout_to(outcome: str, fuse: Fuse) -> World:
    canary = answered(200, errors=120 if outcome == "rolled_back" else 0)
    world = World(canary=canary, fuse=Fuse())
    world.step(3)
    world.fuse.left = fuse.left
    world.start()
    for _ in range(60):
        try:
            world.step()
        except CrashError:
            assert world.exposure() <= world.allowed_exposure(), world.said
            world.controller = world.new_controller()
        assert world.exposure() <= world.allowed_exposure(), world.said
        if world.phase() == outcome:
            break
    for _ in range(4):
        try:
            world.step()
        except CrashError:
            world.controller = world.new_controller()
    return world


def every_crash() -> Iterator[tuple[str, int]]:
    for outcome in ("done", "rolled_back"):
        for number in range(acts(outcome)):
            yield outcome, number


def test_a_controller_killed_at_any_act_is_replaced_and_the_rollout_ends_as_it_would() -> None:
    """Never bolder than the store, one champion, nothing left behind."""
    crashes = list(every_crash())
    assert len(crashes) > 40
    for outcome, number in crashes:
        world = rollout_to(outcome, Fuse(number))
        assert world.fuse.blown, (outcome, number)
        assert world.phase() == outcome, (number, world.said)
        winner, slot = (NEW, "b") if outcome == "done" else (OLD, "a")
        assert world.target.models == {slot: winner}, (outcome, number)
        assert world.target.in_force == Traffic({"stable": slot}), (outcome, number)
        assert set(world.champions) == ({"2"} if outcome == "done" else set())
