"""The process that acts on incidents: it takes alerts, mitigates, watches, and calls people.

Only the one that leads acts. What it is about to do is written before, and what came of it after;
where the second is missing, the world is asked. One incident that cannot be worked on keeps nobody
from the others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import Connection

from data_contracts.errors import WeirError
from serving.incidents.decisions import Action, Begin, Carry, Move, decide
from serving.incidents.mitigation import CannotMitigate, Case, Mitigation, Target
from serving.incidents.playbooks import MitigationName, Playbook, Playbooks, Step
from serving.incidents.store import Grouping, IncidentStore
from serving.incidents.triage import SEVERITIES, Incident
from serving.rollout.leadership import Leadership, LostLeadershipError

HOUR = timedelta(hours=1)
MOST_DECISIONS = 20  # about one incident in one step; more would be a loop in the tables


@dataclass(frozen=True)
class Patience:
    """Seconds: an alert that is not raised again is over; an incident is watched before its end."""

    quiet_seconds: float
    hold_seconds: float
    poll_seconds: float


class Responder:
    """Works on every incident that is not over, as long as it leads.

    `call` tells people (see `notifications.Notifications`), `say` gets a line for the log.
    """

    def __init__(
        self,
        store: IncidentStore,
        leadership: Leadership,
        playbooks: Playbooks,
        mitigations: Mapping[MitigationName, Mitigation],
        patience: Patience,
        grouping: Grouping,
        call: Callable[[Incident], None] = lambda _: None,
        say: Callable[[str], None] = print,
    ) -> None:
        self._store = store
        self._leadership = leadership
        self._playbooks = playbooks
        self._mitigations = mitigations
        self._patience = patience
        self._grouping = grouping
        self._call = call
        self._say = say
        self._said: dict[int, str] = {}

    def run(self, stopping: Callable[[], bool], sleep: Callable[[float], object]) -> None:
        """Step until `stopping`; a problem is said once and tried again at the next step."""
        while not stopping():
            try:
                if self._leadership.claim():
                    self.step()
                else:
                    self._complain(0, "another responder leads; waiting to take over")
            except LostLeadershipError:
                raise
            except Exception as error:
                self._complain(0, f"{type(error).__name__}: {error}; trying again")
            sleep(self._patience.poll_seconds)

    def step(self) -> None:
        """Take what was raised, then work on every incident, the gravest first."""
        self._store.take_alerts(self._grouping, self._leadership.fence)
        self._said.pop(0, None)
        for incident in sorted(
            self._store.to_do(), key=lambda one: (SEVERITIES.index(one.severity), one.id)
        ):
            try:
                self._work_on(incident)
                self._call(self._store.get(incident.id))
                self._said.pop(incident.id, None)
            except LostLeadershipError:
                raise
            except Exception as error:
                self._complain(incident.id, f"{type(error).__name__}: {error}")

    def _work_on(self, incident: Incident) -> None:
        for _ in range(MOST_DECISIONS):
            if not self._one_thing(self._store.get(incident.id)):
                return

    def _one_thing(self, incident: Incident) -> bool:
        """Do the next thing about it; False where there is none now."""
        playbook = self._playbook(incident)
        decision = decide(
            incident,
            playbook,
            self._store.actions(incident.id),
            firing=self._store.firing(incident.id, self._patience.quiet_seconds),
            now=self._store.clock(),
            hold_seconds=self._patience.hold_seconds,
        )
        if isinstance(decision, Move):
            self._store.move(incident, decision.signal, decision.reason, self._leadership.fence)
            self._say(f"incident {incident.id}: {decision.reason}")
        elif isinstance(decision, Carry):
            self._carry(incident, decision.action)
        elif isinstance(decision, Begin) and playbook is not None:
            self._begin(incident, playbook, decision.step)
        return decision is not None

    def _playbook(self, incident: Incident) -> Playbook | None:
        """The one that was chosen first stays, whatever joins the incident later."""
        if incident.playbook:
            return self._playbooks.named(incident.playbook)
        seen = [entry.alert for entry in self._store.alerts(incident.id) if entry.alert]
        found = self._playbooks.for_alerts(seen)
        if found is not None:
            self._store.choose_playbook(incident, found.name, self._leadership.fence)
        return found

    def _begin(self, incident: Incident, playbook: Playbook, number: int) -> None:
        step = playbook.steps[number]
        key = f"incident-{incident.id}-{incident.round}-{number}"
        target, problem = self._prepared(incident, step.mitigation, step.parameters, key)
        values = {
            "step": number, "mitigation": step.mitigation, "parameters": step.parameters,
            "target": target, "undo": step.undo, "reason": problem,
        }  # fmt: skip
        fresh = self._store.get(incident.id)
        action = self._store.intend(
            fresh, values, lambda connection: self._over_limit(connection, step),
            self._leadership.fence,
        )  # fmt: skip
        if not action.has_ended:
            self._do(action)

    def _carry(self, incident: Incident, action: Action) -> None:
        """From wherever it stopped."""
        if action.state == "asked":
            target, problem = self._prepared(
                incident, action.mitigation, action.parameters, action.key
            )
            fence = self._leadership.fence
            action = self._store.intend_asked(action, target, problem, fence)
        if action.state == "intended":
            self._do(action)
        elif action.state in ("undo_asked", "undo_intended"):
            self._undo(action)

    def _do(self, action: Action) -> None:
        """Once: what the world says was done is not done again."""
        fence, mitigation = self._leadership.fence, self._mitigations[action.mitigation]
        reason = ""
        try:
            if mitigation.is_done(action.target):
                reason = "found done"
            else:
                self._still_leads()
                mitigation.act(action.target, fence)
        except LostLeadershipError:
            raise
        except Exception as error:
            if not _is_done(mitigation, action.target):  # an answer may be lost after the act
                self._store.finish(action, "failed", _why(error), fence)
                self._say(f"incident {action.incident_id}: {action.mitigation} failed: {error}")
                return
            reason = f"done, although {_why(error)}"
        self._store.finish(action, "done", reason, fence)
        self._say(f"incident {action.incident_id}: {action.mitigation} done")

    def _undo(self, action: Action) -> None:
        fence = self._leadership.fence
        try:
            self._still_leads()
            self._mitigations[action.mitigation].undo(action.target, fence)
        except LostLeadershipError:
            raise
        except Exception as error:
            self._store.finish(action, "undo_failed", _why(error), fence)
            return
        self._store.finish(action, "undone", "", fence)

    def _prepared(
        self, incident: Incident, name: MitigationName, parameters: Mapping[str, object], key: str
    ) -> tuple[Target, str]:
        """What exactly is to be done, or why it cannot be."""
        seen = [entry.alert for entry in self._store.alerts(incident.id) if entry.alert]
        try:
            return self._mitigations[name].prepare(Case(incident, seen, parameters, key)), ""
        except CannotMitigate as error:
            return {}, str(error)
        except (WeirError, KeyError) as error:
            return {}, _why(error)

    def _over_limit(self, connection: Connection, step: Step) -> str | None:
        """Limits of an hour, over all incidents, for what no person asked for."""
        since = self._store.clock() - HOUR
        most = self._playbooks.mitigations[step.mitigation].per_hour
        if self._store.begun_since(connection, since, step.mitigation) >= most:
            return f"{step.mitigation} was begun {most} times within an hour, its limit"
        if self._store.begun_since(connection, since) >= self._playbooks.actions_per_hour:
            return (
                f"{self._playbooks.actions_per_hour} actions were begun within an hour, the limit "
                "of all together"
            )
        return None

    def _still_leads(self) -> None:
        """Right before the world is changed: who was paused for long may have a successor."""
        with self._store.engine.begin() as connection:
            self._leadership.fence(connection)

    def _complain(self, about: int, problem: str) -> None:
        if self._said.get(about) != problem:
            self._said[about] = problem
            self._say(problem if about == 0 else f"incident {about}: {problem}; trying again")


def _is_done(mitigation: Mitigation, target: Target) -> bool:
    """After an error: a world that cannot be asked either has not said yes."""
    try:
        return mitigation.is_done(target)
    except Exception:
        return False


def _why(error: Exception) -> str:
    """What went wrong, for people; an unforeseen error also by its type."""
    return str(error) if isinstance(error, WeirError) else f"{type(error).__name__}: {error}"
