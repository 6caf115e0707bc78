"""Mitigations on a real rollout store, and a roll-back carried out by the real controller."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Connection, create_engine
from sqlalchemy.pool import StaticPool

from data_contracts.config import RolloutStep, load_settings
from pipelines import audit_trail, switches
from serving.incidents.mitigation import CannotMitigate, Case
from serving.incidents.mitigations import mitigations
from serving.incidents.playbooks import Limits, MitigationName
from serving.incidents.releases import AbortRollout, RollBackRelease, ShadowForInvestigation
from serving.incidents.triage import Incident
from serving.rollout.controller import Controller, Registry
from serving.rollout.leadership import Leadership
from serving.rollout.phases import Rollout, Stable, Transition
from serving.rollout.store import RolloutStore
from serving.rollout.targets.base import Deployment, Traffic
from tests.stand_ins.incident_world import START, alert
from tests.stand_ins.memory_target import MemoryTarget
from training.promotion import CHAMPION_SET

SLOTS = ("a", "b", "c")
GOOD, BAD = Deployment("models:/spam/1", "1"), Deployment("models:/spam/2", "2")
STEPS = (RolloutStep(phase="shadow", weight=0, minimum_seconds=0, minimum_requests=1),)


def no_fence(_connection: Connection) -> None: ...


@dataclass(frozen=True)
class Approval:
    approved: bool = True
    revoked: bool = False
    reason: str = ""


@dataclass
class World:
    now: datetime = START
    target: MemoryTarget = field(default_factory=MemoryTarget)

    def __post_init__(self) -> None:
        self.engine = create_engine(
            "sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False}
        )
        self.store = RolloutStore(self.engine, self.clock)
        self.store.prepare()
        switches.prepare(self.engine)
        self.abort = AbortRollout(self.store)
        self.why_not: str | None = None
        self.back = RollBackRelease(
            self.store, self.engine, SLOTS, timedelta(hours=72), lambda version: self.why_not
        )
        self.shadow = ShadowForInvestigation(self.store, SLOTS)

    def clock(self) -> datetime:
        return self.now

    def release(self, model: Deployment, *, slot: str = "a") -> None:
        """It is champion from now on."""
        self.store.set_stable(Stable(slot, model), no_fence)
        audit_trail.record(self.engine, "weir", CHAMPION_SET, model.model_uri, "", self.now)

    def start(self, model: Deployment = BAD) -> Rollout:
        return self.store.start(model, STEPS, SLOTS)

    def end(self, phase: str) -> None:
        active = self.store.active()
        assert active is not None
        self.store.advance(active, Transition(phase, 0, "ended"), None, no_fence)  # type: ignore[arg-type]

    def case(self, key: str = "k", began: datetime | None = None, **subject: str) -> Case:
        at = began or self.now
        incident = Incident(1, "Bad", "c", "major", "open", at, at, at, at)
        return Case(incident, [alert(at=at, **subject)], {}, key)


@pytest.fixture
def world() -> World:
    made = World()
    made.release(GOOD)
    made.now += timedelta(hours=10)
    return made


def released(world: World) -> World:
    """With the bad one in traffic for an hour."""
    world.release(BAD, slot="b")
    world.now += timedelta(hours=1)
    return world


def test_a_rollout_is_aborted_once_and_the_next_incident_about_it_finds_it_done(
    world: World,
) -> None:
    world.start()
    target = world.abort.prepare(world.case())
    assert not world.abort.is_done(target)
    world.abort.act(target, no_fence)
    assert world.abort.is_done(target)
    world.end("aborted")
    world.now += timedelta(minutes=5)
    second = world.abort.prepare(world.case())
    assert world.abort.is_done(second)
    asked = [row for row in audit_trail.entries(world.engine) if "abort asked" in row.what]
    assert len(asked) == 1


def test_the_rollout_of_another_version_than_the_alert_names_is_let_alone(world: World) -> None:
    world.start()
    with pytest.raises(CannotMitigate, match="of version 2, the alert is about version 1"):
        world.abort.prepare(world.case(model_version="1"))


def test_a_rollout_that_ended_long_ago_is_not_to_blame(world: World) -> None:
    world.start()
    world.end("rolled_back")
    world.now += timedelta(hours=2)
    with pytest.raises(CannotMitigate, match="no rollout is under way"):
        world.abort.prepare(world.case())


def test_a_version_that_became_champion_before_the_abort_came_is_a_failure_not_a_success(
    world: World,
) -> None:
    world.start()
    target = world.abort.prepare(world.case())
    world.end("done")
    assert not world.abort.is_done(target)
    with pytest.raises(CannotMitigate, match="version 2 became champion meanwhile"):
        world.abort.act(target, no_fence)


def test_a_bad_release_is_rolled_back_by_the_rollout_controller(
    world: World,
) -> None:
    """The former champion serves everything, by the same controller as any rollout."""
    leadership = Leadership(world.engine, world.clock)
    leadership.prepare()
    assert leadership.claim()
    champions: list[str] = []
    registry = Registry(
        lambda version: Approval(), champions.append, lambda version: None, lambda: BAD
    )
    released(world)
    controller = Controller(
        world.target, world.store, leadership, registry, lambda since, version: None,  # type: ignore[arg-type, return-value]
        load_settings({}).rollout, slots=SLOTS, start_seconds=60, clock=world.clock,
        say=lambda line: None,
    )  # fmt: skip
    for _ in range(3):
        controller.step()
    assert world.target.in_force == Traffic({"stable": "b"})
    world.back.act(world.back.prepare(world.case()), no_fence)
    for _ in range(20):
        world.now += timedelta(seconds=3)
        controller.step()
    stable = world.store.stable()
    assert stable is not None
    assert stable.model == GOOD
    assert champions == ["1"]
    assert world.target.in_force == Traffic({"stable": stable.slot})


def test_two_incidents_about_one_release_roll_it_back_once(world: World) -> None:
    released(world)
    first, second = world.case("k1"), world.case("k2")
    target = world.back.prepare(first)
    world.back.act(target, no_fence)
    assert world.back.is_done(target)
    assert world.back.is_done(world.back.prepare(second)), "under way"
    world.end("done")
    world.now += timedelta(minutes=10)
    assert world.back.is_done(world.back.prepare(world.case("k3"))), "done"


def test_a_former_champion_whose_approval_does_not_stand_is_not_brought_back(world: World) -> None:
    released(world)
    world.why_not = "its approval ran out"
    with pytest.raises(CannotMitigate, match="its approval ran out; a reviewer approves it"):
        world.back.prepare(world.case())


def test_a_roll_back_that_was_itself_taken_back_is_a_failure_not_a_success(world: World) -> None:
    released(world)
    target = world.back.prepare(world.case())
    world.back.act(target, no_fence)
    world.end("rolled_back")
    assert not world.back.is_done(target)
    with pytest.raises(CannotMitigate, match="the roll-back to version 1 ended"):
        world.back.act(target, no_fence)


def test_a_roll_back_never_goes_forward_again_to_what_was_bad(world: World) -> None:
    released(world)
    world.back.act(world.back.prepare(world.case()), no_fence)
    world.end("done")
    audit_trail.record(world.engine, "weir", CHAMPION_SET, GOOD.model_uri, "", world.now)
    world.now += timedelta(hours=5)
    with pytest.raises(CannotMitigate, match="version 1 came back by a roll-back itself"):
        world.back.prepare(world.case())


def test_a_release_after_the_trouble_began_or_long_before_it_is_not_rolled_back(
    world: World,
) -> None:
    released(world)
    with pytest.raises(CannotMitigate, match="after it began"):
        world.back.prepare(world.case(began=world.now - timedelta(hours=2)))
    world.now += timedelta(hours=72)
    with pytest.raises(CannotMitigate, match="more than 72 hours older"):
        world.back.prepare(world.case())


def test_a_version_that_is_not_in_traffic_and_a_first_champion_are_not_rolled_back(
    world: World,
) -> None:
    with pytest.raises(CannotMitigate, match="version 1 is the first champion"):
        world.back.prepare(world.case())
    with pytest.raises(CannotMitigate, match="version 9 is not in traffic"):
        world.back.prepare(world.case(model_version="9"))


def test_what_was_taken_back_is_shadowed_and_never_passes_by_itself(world: World) -> None:
    world.start()
    world.end("rolled_back")
    target = world.shadow.prepare(world.case())
    world.shadow.act(target, no_fence)
    active = world.store.active()
    assert active is not None
    assert (active.version, active.steps[0].phase) == ("2", "shadow")
    assert active.steps[0].minimum_seconds > timedelta(days=3000).total_seconds()
    world.shadow.undo(target, no_fence)
    world.shadow.undo(target, no_fence)
    asked = world.store.active()
    assert asked is not None
    assert asked.request == "abort"


LIMITS: dict[MitigationName, Limits] = {
    "loosen_thresholds": Limits(per_hour=1, strongest_log_odds=1.0),
    "tighten_thresholds": Limits(per_hour=1, strongest_log_odds=0.5),
    "shed": Limits(per_hour=1, least_shares={"bulk": 0.0, "normal": 0.3}),
}


@pytest.mark.parametrize(
    ("name", "parameters", "problem"),
    [
        ("loosen_thresholds", {"log_odds": 1.5}, "no stronger than 1.0"),
        ("tighten_thresholds", {"log_odds": 0.3}, "give below 0"),
        ("tighten_thresholds", {"log_odds": -0.6}, "no stronger than 0.5"),
        ("shed", {"shares": {"normal": 0.1}}, "from its least share 0.3"),
        ("shed", {"shares": {"interactive": 0.5}}, "class interactive"),
        ("shed", {}, "takes"),
    ],
)
def test_safety_limits_hold_whoever_asks(
    world: World, name: MitigationName, parameters: dict[str, object], problem: str
) -> None:
    made = mitigations(world.engine, world.store, SLOTS, LIMITS, world.clock, lambda version: None)[
        name
    ]
    case = world.case()
    with pytest.raises(CannotMitigate, match=problem):
        made.prepare(Case(case.incident, case.alerts, parameters, "k"))


def test_a_switch_is_held_once_a_key_and_a_key_that_let_go_never_holds_again(world: World) -> None:
    switches.asked(world.engine, [switches.THRESHOLD_SHIFT], "server-1", world.now)
    made = mitigations(world.engine, world.store, SLOTS, LIMITS, world.clock, lambda version: None)[
        "loosen_thresholds"
    ]
    case = world.case()
    target = made.prepare(Case(case.incident, case.alerts, {"log_odds": 0.5}, "k"))
    for _ in range(2):
        made.act(target, no_fence)
    (held,) = switches.holds(world.engine, switches.THRESHOLD_SHIFT)
    assert switches.threshold_shift([held]) == 0.5
    for _ in range(2):
        made.undo(target, no_fence)
    made.act(target, no_fence)
    assert switches.holds(world.engine, switches.THRESHOLD_SHIFT) == []


def test_a_switch_that_no_server_reads_is_not_held_for_show(world: World) -> None:
    switches.asked(world.engine, [switches.THRESHOLD_SHIFT], "server-1", world.now)
    world.now += timedelta(minutes=3)
    limits = {**LIMITS, "freeze_training": Limits(per_hour=1)}
    made = mitigations(world.engine, world.store, SLOTS, limits, world.clock, lambda version: None)
    case = world.case()
    with pytest.raises(CannotMitigate, match="no model server has asked for the switch threshold"):
        made["loosen_thresholds"].prepare(Case(case.incident, case.alerts, {"log_odds": 0.5}, "k"))
    assert made["freeze_training"].prepare(case), "a step asks as it begins"


def test_holds_come_to_the_strongest_one_and_loosening_wins_over_tightening() -> None:
    def hold(**value: float) -> switches.Hold:
        return switches.Hold("s", "k", dict(value), "w", "r", datetime(2026, 1, 5, tzinfo=UTC))

    assert switches.threshold_shift([]) == 0.0
    assert switches.threshold_shift([hold(log_odds=0.5), hold(log_odds=0.3)]) == 0.5
    assert switches.threshold_shift([hold(log_odds=-0.5), hold(log_odds=-0.3)]) == -0.5
    assert switches.threshold_shift([hold(log_odds=-0.5), hold(log_odds=0.1)]) == 0.1
    assert switches.admission_shares([hold(bulk=0.5, shadow=0.0), hold(bulk=0.2)]) == {
        "bulk": 0.2, "shadow": 0.0,
    }  # fmt: skip
