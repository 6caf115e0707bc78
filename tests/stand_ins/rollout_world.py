"""Everything around the rollout controller, in memory, and an oracle that looks at every instant.

`World` holds a state database, a traffic target, a registry, evidence and as many controllers as
it takes. The controllers are the real ones; what they call is watched (`crashing.py`). After every
call that changed something, `World` compares what stands in traffic with what the store says, and
writes down what must never be: `violations`.
"""

from __future__ import annotations

import secrets
import sqlite3
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from types import SimpleNamespace
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, delete, event
from sqlalchemy.pool import StaticPool

from data_contracts.config import Rollout as RolloutSettings
from data_contracts.config import RolloutStep, load_settings
from data_contracts.errors import BadInput, ServiceUnavailable
from serving.rollout import leadership as leadership_module
from serving.rollout import store as store_module
from serving.rollout.analysis import Analysis
from serving.rollout.controller import MAXIMUM_RESTARTS, Controller, Registry
from serving.rollout.leadership import Leadership, LostLeadershipError
from serving.rollout.phases import TABLE, TERMINAL, Request, Rollout, Transition
from serving.rollout.store import RolloutStore
from serving.rollout.targets.base import Counters, Deployment, Traffic
from tests.stand_ins.crashing import Instants, SimulatedCrash, watched
from tests.stand_ins.rollout_fleets import Fleet

SLOTS = ("a", "b", "c")
START = datetime(2026, 1, 5, 12, tzinfo=UTC)
FIRST = Deployment("models:/spam/1", "1")
REQUESTS_A_SECOND = 50
START_SECONDS = 20.0
ROLLBACK_SECONDS = 10  # from the decision to the end, as the project promises
STEPS = (
    RolloutStep(phase="shadow", weight=0, minimum_seconds=2, minimum_requests=50),
    RolloutStep(phase="canary", weight=10, minimum_seconds=1, minimum_requests=50),
    RolloutStep(phase="canary", weight=50, minimum_seconds=1, minimum_requests=50),
)
POLL_SECONDS = 1.0
PROGRESS_SECONDS = 30.0
CHANGES_TARGET = ("deploy", "restart", "remove", "set_traffic")
WHOLE_STEP = "a whole step"
CHANGES_STORE = ("applied", "unapplied", "advance", "set_stable")


@cache
def settings() -> RolloutSettings:
    """The configured ones, with short steps and deadlines."""
    changes = {
        "steps": STEPS,
        "poll_seconds": POLL_SECONDS,
        "progress_deadline_seconds": PROGRESS_SECONDS,
    }
    return load_settings({}).rollout.model_copy(update=changes)


@dataclass(frozen=True)
class Approval:
    approved: bool
    revoked: bool
    reason: str


@dataclass(frozen=True)
class Exposure:
    """What a version meets: percent of requests, copies, requests that a champion dropped."""

    share: int = 0
    mirror: int = 0
    fallback: int = 0

    def beyond(self, allowed: Exposure) -> Exposure:
        return Exposure(
            max(0, self.share - allowed.share),
            max(0, self.mirror - allowed.mirror),
            max(0, self.fallback - allowed.fallback),
        )

    def exceeds(self, other: Exposure) -> bool:
        return self.beyond(other) != Exposure()


@dataclass
class Actor:
    """A controller process: the controller, its claim, and what it was last told and read."""

    name: str
    leadership: Leadership
    controller: Controller | None = None
    consented: str | None = None
    evidence_since: datetime | None = None


@dataclass(frozen=True)
class Answers:
    """A sample for `verdict`: how many requests, and how good they were."""

    requests: int
    errors: int
    quality: str


@dataclass(frozen=True)
class Seen:
    """Evidence in memory: requests come at a steady rate from `since` on."""

    world: World
    actor: Actor
    since: datetime

    def live(self) -> tuple[Answers, Answers]:
        self.actor.evidence_since = self.since
        seconds = (self.world.now - self.since).total_seconds()
        silent = self.world.quality == "silent"
        requests = 0 if silent else int(seconds * REQUESTS_A_SECOND)
        errors = requests // 2 if self.world.quality == "bad" else 0
        return Answers(requests, errors, self.world.quality), Answers(requests, 0, "good")

    def mirrored(self, copies: Counters) -> tuple[Answers, Answers, None]:
        return *self.live(), None


def verdict(canary: Answers, *_others: object) -> Analysis:
    """In the judge's place, whose figures are not the matter here: pass, fail, or not enough."""
    requests, errors = canary.requests, canary.errors
    if requests < REQUESTS_A_SECOND:
        return Analysis("not_enough_evidence", f"{requests} requests", requests, errors)
    return Analysis("fail" if errors else "pass", f"{canary.quality} answers", requests, errors)


def memory_database() -> tuple[Engine, sqlite3.Connection]:
    """One in memory, as `pipelines.state` begins transactions; and a connection to look at it.

    SQLAlchemy gives up a connection in which a process died; the second one keeps the data.
    """
    name = f"file:rollout-{secrets.token_hex(4)}?mode=memory&cache=shared"

    def connect() -> sqlite3.Connection:
        return sqlite3.connect(name, uri=True, check_same_thread=False, isolation_level=None)

    engine = create_engine("sqlite://", poolclass=StaticPool, creator=connect)

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN")

    return engine, connect()


@dataclass
class World:
    """See the module. `champion`: the registry has one at the start."""

    engine: Engine
    rows: sqlite3.Connection
    instants: Instants
    fleet: Fleet
    seen: Counter[str]
    champion: Deployment | None = FIRST
    now: datetime = START
    quality: str = "good"
    registry_down: bool = False
    failing: set[str] = field(default_factory=set)
    refused: set[str] = field(default_factory=set)
    revoked: set[str] = field(default_factory=set)
    unapproved: set[str] = field(default_factory=set)
    challengers: set[str] = field(default_factory=set)
    violations: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    asked: dict[int, Request] = field(default_factory=dict)
    aborted: set[int] = field(default_factory=set)
    promoted: Counter[int] = field(default_factory=Counter)
    ended: dict[int, tuple[str, int]] = field(default_factory=dict)
    restarts: Counter[int] = field(default_factory=Counter)
    champions: set[str] = field(default_factory=set)
    lost: set[str] = field(default_factory=set)  # slots whose server was lost in this step
    drifted: bool = False  # in this step
    started: dict[str, datetime] = field(default_factory=dict)
    excess: dict[str, Exposure] = field(default_factory=dict)
    weights: dict[str, int] = field(default_factory=dict)
    actor: Actor | None = None
    actors: list[Actor] = field(default_factory=list)
    versions: int = 1
    names: int = 0

    def __post_init__(self) -> None:
        self.store = RolloutStore(self.engine, self.clock)
        self.actors.append(self.new_actor())

    def clock(self) -> datetime:
        return self.now

    # Controllers

    def new_actor(self) -> Actor:
        self.names += 1
        leadership = Leadership(self.engine, self.clock)
        actor = Actor(f"controller {self.names}", leadership)

        def on_target(name: str, arguments: tuple[Any, ...], _result: Any = None) -> None:
            self.after_target(actor, name, arguments)

        def on_store(name: str, arguments: tuple[Any, ...], result: Any) -> None:
            self.after_store(actor, name, arguments)

        actor.controller = Controller(
            watched(
                self.fleet.new_target(self.instants), self.instants, self.before_target, on_target
            ),
            watched(self.store, self.instants, after=on_store),
            watched(leadership, self.instants),
            self.registry_for(actor),
            self.evidence_for(actor),
            settings(),
            slots=SLOTS,
            start_seconds=START_SECONDS,
            clock=self.clock,
            say=self.said.append,
        )
        return actor

    def registry_for(self, actor: Actor) -> Registry:
        def approval(version: str) -> Approval:
            self.ask_registry()
            revoked = version in self.revoked
            approved = not revoked and version not in self.unapproved
            if actor.consented != version or not approved:
                actor.consented = version if approved else None
            return Approval(approved, revoked, "" if approved else "nobody approved it")

        def make_champion(version: str) -> None:
            self.ask_registry()
            if version in self.revoked | self.unapproved and version not in self.champions:
                raise BadInput(f"version {version} cannot become champion: not approved")
            self.champion = _deployment(version)
            self.challengers.discard(version)

        def drop_challenger(version: str) -> None:
            self.ask_registry()
            self.challengers.discard(version)

        def champion() -> Deployment | None:
            self.ask_registry()
            return self.champion

        calls = SimpleNamespace(
            approval=approval,
            make_champion=make_champion,
            drop_challenger=drop_challenger,
            champion=champion,
        )
        asked = watched(calls, self.instants)
        return Registry(asked.approval, asked.make_champion, asked.drop_challenger, asked.champion)

    def evidence_for(self, actor: Actor) -> Callable[[datetime, str], Any]:
        def open_evidence(since: datetime, version: str) -> Any:
            return watched(Seen(self, actor, since), self.instants, self.before_evidence)

        return open_evidence

    def ask_registry(self) -> None:
        if self.registry_down:
            raise ServiceUnavailable("injected: the registry is down")

    def before_target(self, name: str, arguments: tuple[Any, ...]) -> None:
        if name in self.failing:
            raise ServiceUnavailable(f"injected: {name} fails")
        if name == "deploy" and arguments[2] in self.refused:
            raise BadInput(f"injected: the target refuses version {arguments[2]}")

    def before_evidence(self, name: str, _arguments: tuple[Any, ...]) -> None:
        if "evidence" in self.failing:
            raise OSError("injected: the access log cannot be read")

    def step(self, actor: Actor, instants: bool = True) -> bool:
        """One turn of the controller's own loop. False where the process ended."""
        turns = iter((False, True))
        before, self.actor, self.lost, self.drifted = self.actor, actor, set(), False
        actor.consented = None
        said = len(self.said)
        alive = True
        try:
            with self.instants.watching(instants):
                assert actor.controller is not None
                actor.controller._last_problem = ""  # each problem is said here, for `unexpected`
                actor.controller.run(lambda: next(turns), lambda _seconds: None)
        except SimulatedCrash:
            alive = False
            self.instants.in_transaction = False
        except LostLeadershipError:
            alive = False
            self.seen["fenced off"] += 1
        finally:
            self.actor = before
        self.now += timedelta(seconds=POLL_SECONDS)
        if alive:
            self.look_at_a_step(actor, self.said[said:])
        elif actor in self.actors:
            self.actors.remove(actor)
        return alive

    def look_at_a_step(self, actor: Actor, lines: list[str]) -> None:
        trouble = [line for line in lines if "trying again" in line or "injected" in line]
        known = ("injected", "meanwhile; read it again")
        unexpected = [line for line in trouble if not any(word in line for word in known)]
        if not self.leads(actor):  # it saw the store of two times: another wrote between
            unexpected = []
        self.violations.extend(f"unexpected: {line}" for line in unexpected)
        if not trouble and self.leads(actor) and not self.drifted:
            self.look(actor, WHOLE_STEP, strict=True)

    # What the oracle sees

    def row(self) -> Any:
        """(id, version, phase, step, canary slot, baseline slot) of the rollout under way."""
        return self.rows.execute(
            "SELECT id, version, phase, step, canary_slot, baseline_slot FROM rollouts "
            "WHERE phase NOT IN ('done', 'rolled_back', 'aborted')"
        ).fetchone()

    def stable_version(self) -> str | None:
        found = self.rows.execute("SELECT version FROM rollout_stable").fetchall()
        if len(found) > 1:
            self.violations.append(f"{len(found)} stable models")
        return found[0][0] if found else None

    def leads(self, actor: Actor | None) -> bool:
        if actor is None:
            return False
        found = self.rows.execute("SELECT owner FROM rollout_leader").fetchall()
        return found == [(actor.leadership._owner,)]

    def allowed(self, version: str) -> Exposure:
        """The most that the store grants the version now."""
        if version == self.stable_version():
            return Exposure(100, 1, 1)
        row = self.row()
        fallback = int(version in self.champions)
        if row is None or row[1] != version or row[2] in ("pending", "rolling_back"):
            return Exposure(0, 0, fallback)
        if row[2] == "full":
            return Exposure(100, 1, fallback)
        return Exposure(STEPS[row[3]].weight, 1, fallback)  # copies are less than requests

    def exposures(self) -> dict[str, Exposure]:
        traffic = self.fleet.in_force()
        found: dict[str, Exposure] = {}
        if traffic is None:
            return found
        stand_ins = {traffic.slots.get("stable"), traffic.slots.get("baseline")}
        for slot, model in self.fleet.models().items():
            had = found.get(model.version, Exposure())
            found[model.version] = Exposure(
                had.share + traffic.visible_share(slot),
                max(had.mirror, int(traffic.mirror == slot)),
                max(had.fallback, int(slot in stand_ins)),
            )
        return found

    def look(self, actor: Actor | None, what: str, *, strict: bool = False) -> None:
        """No act of a leader may leave a version with more than the store grants it.

        What somebody else did (drift, a leader of the past) is no leader's fault, until it has
        taken a whole step or set the traffic (`strict`); it may never make that worse.
        """
        stable = self.stable_version()
        if stable is not None:
            self.champions.add(stable)
        excess = {}
        for version, exposure in self.exposures().items():
            beyond = exposure.beyond(self.allowed(version))
            excess[version] = beyond
            before = Exposure() if strict else self.excess.get(version, Exposure())
            if what == WHOLE_STEP:  # who stands in where a server fails waits for the weights
                before = replace(before, fallback=1)
            if self.leads(actor) and beyond.exceeds(before):
                self.violations.append(
                    f"{what}: version {version} has {exposure}, {beyond} too much; "
                    f"rollout {self.row()}, stable {stable}"
                )
        self.excess = excess
        traffic = self.fleet.in_force()
        shares = {} if traffic is None else {s: traffic.visible_share(s) for s in SLOTS}
        if traffic is not None and sum(traffic.weights.values()) != 100:
            self.violations.append(f"{what}: weights {traffic.weights}")
        self.weights = shares

    def after_target(self, actor: Actor, name: str, arguments: tuple[Any, ...]) -> None:
        if name not in CHANGES_TARGET:
            return
        if name == "restart" and self.leads(actor):
            self.started[arguments[0]] = self.now
        if name == "restart" and self.leads(actor):
            self.look_at_a_restart(arguments[0])
        if name == "set_traffic" and self.leads(actor):
            self.look_at_servers(arguments[0])
        self.look(actor, f"{actor.name} {name} {arguments}", strict=name == "set_traffic")

    def look_at_a_restart(self, slot: str) -> None:
        """A canary's server gets one more chance in its rollout, whoever has led meanwhile."""
        row = self.row()
        if row is None or row[4] != slot:
            return
        self.restarts[row[0]] += 1
        self.seen["canary restarted"] += 1
        if self.restarts[row[0]] > MAXIMUM_RESTARTS:
            self.violations.append(f"restart {self.restarts[row[0]]} of the canary; {row}")

    def look_at_servers(self, traffic: Traffic | None) -> None:
        """Nobody is sent to a server that does not answer, unless it was lost just now, or all
        that happens is that requests go from a new model back to the champion."""
        if traffic is None:
            return
        row, stable = self.row(), self.stable_version()
        models = self.fleet.models()
        new = [s for s, model in models.items() if model.version != stable]
        lowered = any(self.weights.get(s, 0) > traffic.visible_share(s) for s in new)
        for slot in SLOTS:
            rises = traffic.visible_share(slot) > self.weights.get(slot, 0)
            if not rises or self.fleet.answering(slot) or slot in self.lost:
                continue
            if models.get(slot) is None or not lowered:
                self.violations.append(f"requests go to slot {slot}, which answers none; {row}")

    def after_store(self, actor: Actor, name: str, arguments: tuple[Any, ...]) -> None:
        if name not in CHANGES_STORE:
            return
        if not self.leads(actor):
            self.violations.append(f"{actor.name} wrote {name} and leads no more")
        if name == "advance":
            rollout, to, analysis = arguments[0], arguments[1], arguments[2]
            self.moved(actor, rollout, to, analysis)
        # somebody else changed the traffic between the leader's look at it and this write
        self.look(None if self.drifted else actor, f"{actor.name} {name}")

    def moved(
        self, actor: Actor, rollout: Rollout, to: Transition, analysis: Analysis | None
    ) -> None:
        """One transition: consent, requests of people, evidence."""
        where = f"rollout {rollout.id} {rollout.label} → {to.phase} ({to.reason})"
        self.seen[f"to {to.phase}"] += 1
        raises = to.phase in ("shadow", "canary", "full")
        if raises and actor.consented != rollout.version:
            self.violations.append(f"{where}: the registry was not asked, or refused")
        asked = self.asked.pop(rollout.id, None)
        forward = (raises and to.step > rollout.step) or to.phase in ("full", "done")
        expected = {
            None: True,
            "pause": to.phase in ("paused", "rolling_back"),
            "resume": to.phase in (STEPS[rollout.step].phase, "rolling_back"),
            "promote": forward or to.phase == "rolling_back",
            "abort": to.phase in ("rolling_back", "aborted"),
        }[asked]
        if not expected:
            self.violations.append(f"{where}: {asked} was asked for and is not honoured")
        if to.phase == "paused" and asked != "pause":
            self.violations.append(f"{where}: nobody asked for a pause")
        if to.reason.startswith("promote on request"):
            if asked != "promote":
                self.violations.append(f"{where}: promoted on a request that is no more")
            self.seen["promoted on request"] += 1
        passed = analysis is not None and analysis.verdict == "pass"
        if passed and forward and asked != "promote" and to.phase != "done":
            self.look_at_evidence(actor, rollout, where)
        if rollout.id in self.ended:
            self.violations.append(f"{where}: it had ended")
        if to.phase in TERMINAL:
            moves = len(self.store.history(rollout))
            self.ended[rollout.id] = (to.phase, moves)
            if (to.phase == "aborted") != (rollout.id in self.aborted):
                self.violations.append(f"{where}: aborted is what somebody asks for, no more")

    def look_at_evidence(self, actor: Actor, rollout: Rollout, where: str) -> None:
        """What a phase passes on was seen from servers that run since, and for long enough."""
        since = actor.evidence_since
        judged = [rollout.canary_slot]
        if rollout.phase == "canary":
            judged.append(rollout.baseline_slot)
        step = STEPS[rollout.step]
        if since is None or (self.now - since).total_seconds() < step.minimum_seconds:
            self.violations.append(f"{where}: passed too early")
            return
        for slot in judged:
            if slot not in self.lost and self.started.get(slot, START) > since:
                self.violations.append(
                    f"{where}: evidence since {since:%H:%M:%S}, but slot {slot} was started "
                    f"{self.started[slot]:%H:%M:%S}"
                )

    # What people and the world do

    def start(self, kind: str) -> None:
        """A new version: good, never ready, refused by the target, or not approved."""
        version = str(self.versions + 1)
        if self.row() is not None:
            try:
                self.store.start(_deployment(version), STEPS, SLOTS)
            except BadInput:
                return
            self.violations.append("two rollouts at once")
        self.versions += 1
        self.challengers = {version}
        if kind == "never ready":
            self.fleet.never_ready(version)
        elif kind == "refused":
            self.refused.add(version)
        elif kind == "unapproved":
            self.unapproved.add(version)
        champion = None if self.stable_version() else self.champion
        self.store.start(_deployment(version), STEPS, SLOTS, champion)
        self.seen[f"start {kind}"] += 1

    def request(self, request: Request) -> bool:
        try:
            rollout = self.store.ask(request)
        except BadInput:
            return False
        if self.asked.get(rollout.id) != "abort":
            self.asked[rollout.id] = request
        if request == "abort":
            self.aborted.add(rollout.id)
        self.seen[f"asked {request}"] += 1
        return True

    def revoke(self) -> None:
        row = self.row()
        if row is not None:
            self.revoked.add(row[1])
            self.seen["revoked"] += 1

    def lose(self, slots: list[str], how: str) -> None:
        for slot in slots:
            if slot in self.fleet.models():
                (self.fleet.kill if how == "kill" else self.fleet.hang)(slot)
                self.lost.add(slot)
                self.seen[f"{how} server"] += 1

    def drift(self, pick: int) -> None:
        """Somebody else sends requests, or copies, where nothing allows it."""
        slots = sorted(self.fleet.models())
        if len(slots) < 2:
            return
        one, other = slots[pick % len(slots)], slots[(pick + 1) % len(slots)]
        share = (0, 20, 60, 100)[pick % 4]
        mirror = other if share == 0 else None
        traffic = Traffic({"stable": one, "canary": other}, {"stable": 100 - share,
                          "canary": share}, mirror)  # fmt: skip
        self.fleet.drift(traffic)
        self.drifted = True
        self.look(None, "drift")
        self.seen["drift"] += 1

    def the_leader_is_known_to_be_gone(self) -> None:
        """A crash on this machine: the lease's holder is a process that is no more."""
        self.rows.execute("UPDATE rollout_leader SET process_started = 'gone'")

    def calm(self) -> None:
        """Faults of servers outside end; a log that cannot be read and a bad model remain."""
        self.instants.forget()
        self.registry_down = False
        self.failing &= {"evidence"}

    # What must hold

    def check(self) -> None:
        assert not self.violations, "\n".join([*self.violations, self.story()])

    def story(self) -> str:
        """The last lines that controllers said, each once, and how the target stands."""
        lines = list(dict.fromkeys(line[:160] for line in self.said[-300:]))[-12:]
        answering = {slot: self.fleet.answering(slot) for slot in self.fleet.models()}
        return "\n".join(["…", *lines, f"{self.fleet.models()} {answering}",
                          f"{self.fleet.in_force()} stable {self.stable_version()}"])  # fmt: skip

    def check_history(self) -> None:
        """Every rollout's transitions are one path in the table, and what ended stays ended."""
        rollouts = self.rows.execute("SELECT id, phase FROM rollouts").fetchall()
        assert sum(phase not in TERMINAL for _, phase in rollouts) <= 1
        for number, phase in rollouts:
            moves = self.rows.execute(
                "SELECT phase, weight, to_phase FROM rollout_transitions "
                "WHERE rollout_id = ? ORDER BY id",
                (number,),
            ).fetchall()
            if number in self.ended:
                assert self.ended[number] == (phase, len(moves)), "an ended rollout moved"
            at = "pending"
            for left, _weight, to in moves:
                assert left == at, f"rollout {number}: {moves}"
                assert to in _successors(left), f"rollout {number}: {left} → {to}"
                at = to
            assert at == phase, f"rollout {number} is at {phase} after {moves}"
            assert _never_skips([weight for left, weight, _ in moves if left == "canary"])


def _never_skips(weights: list[int]) -> bool:
    """Canary steps are met in their order, each at least once."""
    order = [step.weight for step in STEPS if step.phase == "canary"]
    met = list(dict.fromkeys(weights))
    return met == order[: len(met)] and weights == sorted(weights)


def _successors(phase: str) -> set[str]:
    names = {"forward": {"shadow", "canary", "full"}, "back": {"shadow", "canary"},
             "end": {"rolled_back", "aborted"}}  # fmt: skip
    return set().union(*(names.get(to, {to}) for to in TABLE[phase].values()))  # type: ignore[index]


def _deployment(version: str) -> Deployment:
    return Deployment(f"models:/spam/{version}", version)


def empty_database(engine: Engine) -> None:
    """But for the audit trail, which nobody may empty."""
    with engine.begin() as connection:
        for metadata in (store_module.METADATA, leadership_module.METADATA):
            for table in metadata.sorted_tables:
                connection.execute(delete(table))
