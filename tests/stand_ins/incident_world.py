"""Incidents on a clock of their own: a store, alerts, mitigations in memory, a responder that dies.

What mitigations do is real where it is `pipelines.switches`; `Lever` stands in for the rest of the
world and counts what was done to it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.pool import StaticPool

from data_contracts.alerts import Alert, SeverityHint
from data_contracts.errors import ServiceUnavailable
from pipelines import alert_inbox, switches
from serving.incidents.escalation import OnCall
from serving.incidents.held_switch import HeldSwitch
from serving.incidents.mitigation import Case, Mitigation, Target
from serving.incidents.notifications import Notifications
from serving.incidents.notifiers import Message
from serving.incidents.playbooks import MitigationName, Playbooks
from serving.incidents.responder import Patience, Responder
from serving.incidents.store import Grouping, IncidentStore
from serving.incidents.triage import Incident
from serving.rollout.leadership import Leadership
from serving.rollout.store import Fence
from tests.stand_ins.crashing import Instants, watched

START = datetime(2026, 1, 5, 12, tzinfo=UTC)
A_WEEK_BEFORE = START - timedelta(days=7)
PATIENCE = Patience(quiet_seconds=60, hold_seconds=120, poll_seconds=1)
GROUPING = Grouping(same_cause_seconds=600, reopen_seconds=3600)
HELPS_WITHIN = 90
COMPILED: dict[Any, Any] = {}  # statements of all worlds: half of a short world's time


def playbooks(**changes: Any) -> Playbooks:
    """Two automatic steps, one by hand, for alerts of every name."""
    steps = [
        {"mitigation": "abort_rollout", "automatic": True, "helps_within_seconds": HELPS_WITHIN},
        {"mitigation": "prefilter_only", "helps_within_seconds": HELPS_WITHIN},
        {"mitigation": "freeze_training", "automatic": True, "helps_within_seconds": HELPS_WITHIN,
         "undo": "on_resolve"},
    ]  # fmt: skip
    limits = {name: {"per_hour": 10} for name in
              ("abort_rollout", "prefilter_only", "freeze_training")}  # fmt: skip
    book = {
        "name": "all", "match": [{}], "first_look": "look", "runbook": "runbook.md#x",
        "steps": steps,
    }  # fmt: skip
    given = {"actions_per_hour": 20, "mitigations": limits, "playbooks": [book], **changes}
    return Playbooks.model_validate(given)


def on_call() -> OnCall:
    levels = [
        {"after_seconds": 0, "who": "on_call", "by": ["webhook"]},
        {"after_seconds": 300, "who": "next_in_turn", "by": ["webhook"]},
        {"after_seconds": 900, "who": "fallback", "by": ["webhook"]},
    ]
    return OnCall.model_validate(
        {
            "people": {"ada": {}, "bo": {}, "lead": {}},
            "rotation": {"begins": A_WEEK_BEFORE, "hours": 168, "people": ["ada", "bo"]},
            "fallback": "lead", "quiet_seconds": 1800, "retry_seconds": 60, "attempts": 3,
            "escalation": {"critical": levels, "major": levels, "minor": levels[:1], "notice": []},
        }
    )  # fmt: skip


def alert(
    name: str = "Slow",
    hint: SeverityHint = "page",
    cause: str = "",
    at: datetime = START,
    **subject: str,
) -> Alert:
    return Alert(name, hint, subject, 3.0, 1.0, 0.5, 2.0, at, f"{name} is high", cause)


@dataclass
class Lever:
    """One thing in the world that can be done and undone; it knows how often it was pulled."""

    fails: bool = False
    fails_for: frozenset[str] = frozenset()  # keys
    pulled: list[str] = field(default_factory=list)
    released: list[str] = field(default_factory=list)

    def prepare(self, case: Case) -> Target:
        return {"key": case.key}

    def is_done(self, target: Target) -> bool:
        return target["key"] in self.pulled

    def act(self, target: Target, fence: Fence, /) -> None:
        if self.fails or target["key"] in self.fails_for:
            raise ServiceUnavailable("the lever does not move")
        self.pulled.append(target["key"])

    def undo(self, target: Target, fence: Fence, /) -> None:
        if target["key"] in self.pulled and target["key"] not in self.released:
            self.released.append(target["key"])


@dataclass
class Pager:
    """A notifier in memory."""

    fails_for: frozenset[str] = frozenset()
    arrived: list[Message] = field(default_factory=list)

    def send(self, message: Message) -> None:
        if message.to in self.fails_for:
            raise ServiceUnavailable("no answer")
        self.arrived.append(message)

    def called(self) -> list[str]:
        return [message.to for message in self.arrived]


def watch_writes(engine: Engine, instants: Instants) -> None:
    """Every commit of a transaction that wrote is an instant; a death within it is one before."""
    wrote = False

    def statement(*arguments: Any) -> None:
        nonlocal wrote
        wrote = wrote or not arguments[2].startswith("SELECT")

    def commit(_connection: Connection) -> None:
        nonlocal wrote
        if wrote:
            wrote = False
            instants.reach("commit")

    def rolled_back(_connection: Connection) -> None:
        nonlocal wrote
        wrote = False

    event.listen(engine, "before_cursor_execute", statement)
    event.listen(engine, "commit", commit)
    event.listen(engine, "rollback", rolled_back)


@dataclass
class IncidentWorld:
    """As many responders as it takes, on one database."""

    tables: Playbooks = field(default_factory=playbooks)
    instants: Instants = field(default_factory=Instants)
    now: datetime = START
    lever: Lever = field(default_factory=Lever)
    pager: Pager = field(default_factory=Pager)
    said: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.engine = create_engine(
            "sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False}
        )
        self.engine.update_execution_options(compiled_cache=COMPILED)
        self.store = IncidentStore(self.engine, self.clock)
        self.store.prepare()
        switches.prepare(self.engine)
        self.leadership = Leadership(self.engine, self.clock, seat="incidents")
        self.leadership.prepare()
        watch_writes(self.engine, self.instants)
        self.responder = self.new_responder()

    def clock(self) -> datetime:
        return self.now

    def new_responder(self) -> Responder:
        """Which leads: whoever led before is gone."""
        self.leadership.resign()
        self.leadership = Leadership(self.engine, self.clock, seat="incidents")
        assert self.leadership.claim()

        def held(switch: switches.Name) -> HeldSwitch:
            return HeldSwitch(self.engine, switch, dict, self.clock)

        acts: dict[MitigationName, Mitigation] = {
            "abort_rollout": watched(self.lever, self.instants),
            "prefilter_only": held(switches.PREFILTER_ONLY),
            "freeze_training": held(switches.FREEZE_TRAINING),
        }
        calls = Notifications(
            self.store, on_call(), {"webhook": watched(self.pager, self.instants)},
            self.leadership.fence,
        )  # fmt: skip
        return Responder(
            self.store, self.leadership, self.tables, acts, PATIENCE, GROUPING, calls,
            self.said.append,
        )  # fmt: skip

    def see(self, *alerts: Alert) -> None:
        alert_inbox.put(self.engine, alerts, self.now)

    def clear(self, *alerts: Alert) -> None:
        alert_inbox.clear(self.engine, [one.fingerprint for one in alerts], self.now)

    def wait(self, seconds: float, *still: Alert, every: float = 10) -> None:
        """Time passes, step after step; `still`: alerts that are raised all the while."""
        for _ in range(round(seconds / every)):
            self.now += timedelta(seconds=every)
            self.see(*still)
            self.leadership.claim()
            self.responder.step()

    def step(self) -> None:
        self.leadership.claim()
        self.responder.step()

    def only(self) -> Incident:
        (incident,) = self.store.incidents(over_too=True)
        return incident

    def states(self) -> dict[int, str]:
        return {one.id: one.state for one in self.store.incidents(over_too=True)}

    def outcomes(self, incident_id: int) -> Sequence[tuple[str, str]]:
        return [(one.mitigation, one.state) for one in self.store.actions(incident_id)]

    def until(self, done: Callable[[], bool], most: int = 200) -> None:
        for _ in range(most):
            if done():
                return
            self.wait(10)
        raise AssertionError(f"never: {self.states()}, {self.said}")
