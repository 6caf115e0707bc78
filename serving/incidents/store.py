"""Durable incident state: what is wrong, what was done about it, and every word of how it went.

An alert becomes part of an incident in the transaction that takes it from the inbox, so none is
lost between the two. Every change stands in the incident's time line and, where something was
decided or done, in the audit trail, written with it. Writes of the responder check in the same
transaction that it still leads.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Engine, func, or_, select

from data_contracts.alerts import Alert
from data_contracts.errors import BadInput
from pipelines import alert_inbox, audit_trail
from pipelines.alert_inbox import CHANGED_NOTHING, Entry
from pipelines.state import create_tables, one_writer_at_a_time, reading
from serving.incidents.decisions import BY_HAND, ENDED, IN_FORCE, Action, ActionState, has_acted
from serving.incidents.playbooks import MitigationName, Undo
from serving.incidents.rows import (
    action_of,
    actions_of,
    change_action,
    get_incident,
    incident_of,
    incident_of_cause,
    incident_of_fingerprint,
    update_incident,
)
from serving.incidents.tables import ACTIONS, INCIDENTS, METADATA, TIME_LINE
from serving.incidents.triage import (
    Incident,
    Severity,
    Signal,
    Who,
    cause_key,
    graver,
    is_firing,
    move,
    severity_of,
    title,
)
from serving.rollout.store import Clock, Fence, utc_now

WEIR = "weir"
LONGEST_ENTRY = 255  # characters of the audit trail's `what`


@dataclass(frozen=True)
class Grouping:
    """Seconds within which alerts of one cause are one incident, and one reopens."""

    same_cause_seconds: float
    reopen_seconds: float


@dataclass(frozen=True)
class Line:
    """One line of an incident's time line."""

    at: datetime
    who: str
    what: str


class IncidentStore:
    """Incidents behind the few questions and writes that there are."""

    def __init__(self, engine: Engine, clock: Clock = utc_now) -> None:
        self.engine = engine
        self.clock = clock

    def prepare(self) -> None:
        """Create the tables where they are missing."""
        create_tables(self.engine, METADATA)
        alert_inbox.prepare(self.engine)
        audit_trail.prepare(self.engine)

    # Questions

    def get(self, incident_id: int) -> Incident:
        """Raises BadInput for a number that no incident has."""
        with reading(self.engine) as connection:
            return get_incident(connection, incident_id)

    def incidents(self, *, over_too: bool = False, most: int = 100) -> list[Incident]:
        """Newest first; those that are resolved only where asked for."""
        query = select(INCIDENTS).order_by(INCIDENTS.c.id.desc()).limit(most)
        if not over_too:
            query = query.where(INCIDENTS.c.state != "resolved")
        with reading(self.engine) as connection:
            return [incident_of(row) for row in connection.execute(query)]

    def to_do(self) -> list[Incident]:
        """Every incident that is not over, or has an action that has not ended; oldest first."""
        pending = select(ACTIONS.c.incident_id).where(ACTIONS.c.state.not_in(ENDED))
        query = select(INCIDENTS).where(
            or_(INCIDENTS.c.state != "resolved", INCIDENTS.c.id.in_(pending))
        )
        with reading(self.engine) as connection:
            return [incident_of(row) for row in connection.execute(query.order_by(INCIDENTS.c.id))]

    def alerts(self, incident_id: int) -> list[Entry]:
        """Everything that was seen of it, oldest first."""
        return alert_inbox.of_incident(self.engine, incident_id)

    def firing(self, incident_id: int, quiet_seconds: float) -> bool:
        """Whether any alert of it still holds."""
        with reading(self.engine) as connection:
            newest = alert_inbox.newest_of_incident(connection, incident_id)
        seen = {one: (entry.kind, entry.received_at) for one, entry in newest.items()}
        return is_firing(seen, self.clock(), quiet_seconds)

    def actions(self, incident_id: int) -> list[Action]:
        with reading(self.engine) as connection:
            return actions_of(connection, incident_id)

    def time_line(self, incident_id: int) -> list[Line]:
        query = select(TIME_LINE).where(TIME_LINE.c.incident_id == incident_id)
        with reading(self.engine) as connection:
            rows = connection.execute(query.order_by(TIME_LINE.c.id))
            return [Line(row.at, row.who, row.what) for row in rows]

    # What alerts do

    def take_alerts(self, grouping: Grouping, fence: Fence) -> list[int]:
        """Give every waiting alert to its incident, new or known; the incidents' numbers."""
        touched: list[int] = []
        while True:
            with self.engine.begin() as connection:
                one_writer_at_a_time(connection, "incidents")
                fence(connection)
                entries = alert_inbox.waiting(connection)
                for entry in entries:
                    found = self._place(connection, entry, grouping)
                    alert_inbox.taken(connection, entry, found)
                    touched.append(found)
            if not entries:
                return sorted(set(touched) - {CHANGED_NOTHING})

    # What people do

    def acknowledge(self, incident_id: int, by: str) -> Incident:
        """Somebody looks at it: nobody else is called. Once is enough; the first one counts."""
        with self.engine.begin() as connection:
            one_writer_at_a_time(connection, "incidents")
            incident = get_incident(connection, incident_id)
            if incident.acknowledged_by:
                return incident
            return self._move(
                connection, incident, "acknowledge", "person", f"acknowledged by {by}", by,
                acknowledged_by=by,
            )  # fmt: skip

    def resolve(self, incident_id: int, by: str, reason: str) -> Incident:
        """It is over, a person says; what was to be undone at its end is undone next."""
        with self.engine.begin() as connection:
            one_writer_at_a_time(connection, "incidents")
            incident = get_incident(connection, incident_id)
            return self._move(connection, incident, "resolve", "person", reason, by)

    def note(self, incident_id: int, by: str, text: str) -> None:
        """A line of a person in the time line."""
        with self.engine.begin() as connection:
            self._say(connection, get_incident(connection, incident_id).id, text, by)

    def ask(
        self,
        incident_id: int,
        mitigation: MitigationName,
        parameters: Mapping[str, Any],
        undo: Undo,
        by: str,
        step: int = BY_HAND,
    ) -> Action:
        """Leave a mitigation for the responder to carry out.

        Raises BadInput where the incident is over, or the mitigation is under way or in force.
        """
        with self.engine.begin() as connection:
            one_writer_at_a_time(connection, "incidents")
            incident = get_incident(connection, incident_id)
            if incident.is_over:
                raise BadInput(f"incident {incident.id} is resolved: there is nothing to mitigate")
            actions = actions_of(connection, incident_id)
            for one in actions:
                if one.mitigation == mitigation and (not one.has_ended or one.state in IN_FORCE):
                    raise BadInput(
                        f"incident {incident.id}: {mitigation} is {one.state} already (action "
                        f"{one.id}); see `incidents show {incident.id}`"
                    )
            values = {
                "step": step, "mitigation": mitigation, "parameters": dict(parameters),
                "target": {}, "state": "asked", "undo": undo, "by": by,
                "key": f"incident-{incident.id}-asked-{len(actions)}",
            }  # fmt: skip
            self._say(connection, incident.id, f"{mitigation} asked for", by, audited=True)
            return self._insert_action(connection, incident, values)

    def ask_undo(self, action_id: int, by: str) -> Action:
        """Leave the undoing of an action for the responder. Raises BadInput where it holds not."""
        with self.engine.begin() as connection:
            found = connection.execute(select(ACTIONS).where(ACTIONS.c.id == action_id)).first()
            if found is None:
                raise BadInput(f"there is no action {action_id}; see `incidents show`")
            action = action_of(found)
            if action.state not in ("done", "undo_failed"):
                raise BadInput(f"action {action.id} ({action.mitigation}) is {action.state}: only "
                               "what is done can be undone")  # fmt: skip
            text = f"undoing of {action.mitigation} asked for"
            self._say(connection, action.incident_id, text, by, audited=True)
            return change_action(
                connection, action, state="undo_asked", reason=f"asked for by {by}"
            )

    # What the responder does

    def move(self, incident: Incident, signal: Signal, reason: str, fence: Fence) -> Incident:
        """The state that follows, with its reason; `exhausted` also calls the next person."""
        with self.engine.begin() as connection:
            fence(connection)
            changes: dict[str, object] = {}
            if signal == "again":
                changes = {"flaps": incident.flaps + 1, "firing_since": self.clock()}
            if signal == "exhausted":
                changes = {"attention": incident.attention + 1}
            return self._move(connection, incident, signal, "responder", reason, WEIR, **changes)

    def choose_playbook(self, incident: Incident, name: str, fence: Fence) -> Incident:
        with self.engine.begin() as connection:
            fence(connection)
            self._say(connection, incident.id, f"playbook {name}", WEIR)
            return update_incident(connection, incident, playbook=name)

    def intend(
        self,
        incident: Incident,
        values: Mapping[str, Any],
        refusal: Callable[[Connection], str | None],
        fence: Fence,
    ) -> Action:
        """Write a step's intent, or that it is refused and why; the incident is mitigating now.

        `values`: step, mitigation, parameters, target, undo, reason of the new action.
        """
        with self.engine.begin() as connection:
            fence(connection)
            problem = values["reason"] or refusal(connection)
            incident = self._mitigating(connection, incident, str(values["mitigation"]))
            named = {
                **values, "by": WEIR, "state": "refused" if problem else "intended",
                "reason": problem or "",
                "key": f"incident-{incident.id}-{incident.round}-{values['step']}",
            }  # fmt: skip
            action = self._insert_action(connection, incident, named, begun=not problem)
            self._tell(connection, action, incident)
            return action

    def intend_asked(
        self, action: Action, target: Mapping[str, Any], problem: str, fence: Fence
    ) -> Action:
        """What a person asked for: its intent, or that it cannot be."""
        with self.engine.begin() as connection:
            fence(connection)
            incident = get_incident(connection, action.incident_id)
            problem = "the incident is over" if incident.is_over else problem
            if problem:
                changed = change_action(
                    connection, action, state="refused", reason=problem, ended_at=self.clock()
                )
            else:
                self._mitigating(connection, incident, action.mitigation)
                changed = change_action(
                    connection, action, state="intended", target=dict(target), begun_at=self.clock()
                )
            self._tell(connection, changed, incident)
            return changed

    def finish(self, action: Action, state: ActionState, reason: str, fence: Fence) -> Action:
        """How an action ended. A failure calls the next person at once."""
        with self.engine.begin() as connection:
            fence(connection)
            incident = get_incident(connection, action.incident_id)
            if state == "done" and incident.is_over and action.undo == "on_resolve":
                state = "undo_asked"
            ended = self.clock() if state in ENDED else None
            changed = change_action(connection, action, state=state, reason=reason, ended_at=ended)
            self._tell(connection, changed, incident)
            return changed

    def begun_since(
        self, connection: Connection, since: datetime, mitigation: str | None = None
    ) -> int:
        """How many actions were begun without a person, of one mitigation or all."""
        query = select(func.count()).where(ACTIONS.c.begun_at > since, ACTIONS.c.by == WEIR)
        if mitigation is not None:
            query = query.where(ACTIONS.c.mitigation == mitigation)
        return int(connection.execute(query).scalar_one())

    # Within a transaction

    def _place(self, connection: Connection, entry: Entry, grouping: Grouping) -> int:
        """The incident that an entry belongs to."""
        known = incident_of_fingerprint(connection, entry)
        if entry.alert is None:
            if known is None:
                return CHANGED_NOTHING
            self._say(connection, known.id, "an alert was cleared", WEIR)
            return known.id
        now = self.clock()
        if known is not None and not known.is_over:
            return self._join(connection, known, entry.alert, entry)
        if known is not None and now - known.entered_at <= timedelta(
            seconds=grouping.reopen_seconds
        ):
            return self._reopen(connection, known, entry)
        related = incident_of_cause(connection, entry.alert, now, grouping.same_cause_seconds)
        if related is not None:
            said = f"also {title(entry.alert)}: the same cause"
            self._say(connection, related.id, said, WEIR)
            return self._join(connection, related, entry.alert, entry)
        return self._open(connection, entry.alert, entry)

    def _open(self, connection: Connection, alert: Alert, entry: Entry) -> int:
        values = {
            "title": title(alert), "cause": cause_key(alert), "severity": severity_of(alert),
            "state": "open", "round": 0, "flaps": 0, "attention": 0, "acknowledged_by": "",
            "playbook": "", "last_alert_at": entry.received_at,
            **dict.fromkeys(("opened_at", "entered_at", "firing_since", "round_began_at"),
                            self.clock()),
        }  # fmt: skip
        row = connection.execute(INCIDENTS.insert().values(values).returning(INCIDENTS)).one()
        said = f"opened, {row.severity}: {row.title}"
        self._say(connection, row.id, said, WEIR, audited=True)
        return int(row.id)

    def _join(self, connection: Connection, incident: Incident, alert: Alert, entry: Entry) -> int:
        severity: Severity = graver(incident.severity, severity_of(alert))
        if severity != incident.severity:
            said = f"now {severity}: {title(alert)}"
            self._say(connection, incident.id, said, WEIR, audited=True)
        update_incident(connection, incident, severity=severity, last_alert_at=entry.received_at)
        return incident.id

    def _reopen(self, connection: Connection, incident: Incident, entry: Entry) -> int:
        """What was seen before the resolution and taken after it changes nothing."""
        if entry.received_at <= incident.entered_at:
            return incident.id
        now = self.clock()
        self._move(
            connection, incident, "again", "responder", "an alert came back", WEIR,
            round=incident.round + 1, round_began_at=now, firing_since=now, attention=0,
            flaps=incident.flaps + 1, acknowledged_by="", last_alert_at=entry.received_at,
        )  # fmt: skip
        return incident.id

    def _move(
        self,
        connection: Connection,
        incident: Incident,
        signal: Signal,
        who: Who,
        reason: str,
        by: str,
        **changes: Any,
    ) -> Incident:
        acted = has_acted(incident, actions_of(connection, incident.id))
        state = move(incident, signal, who, has_acted=acted)
        if state != incident.state:
            changes = {**changes, "state": state, "entered_at": self.clock()}
            reason = f"{incident.state} → {state}: {reason}"
        moved = update_incident(connection, incident, **changes)
        self._say(connection, incident.id, reason, by, audited=True)
        if state == "resolved":
            self._undo_at_the_end(connection, incident)
        return moved

    def _undo_at_the_end(self, connection: Connection, incident: Incident) -> None:
        for action in actions_of(connection, incident.id):
            if action.undo == "on_resolve" and action.state == "done":
                change_action(connection, action, state="undo_asked", reason="the incident is over")

    def _mitigating(self, connection: Connection, incident: Incident, what: str) -> Incident:
        if incident.state == "mitigating":
            return incident
        return self._move(connection, incident, "begin", "responder", what, WEIR)

    def _insert_action(
        self,
        connection: Connection,
        incident: Incident,
        values: Mapping[str, Any],
        *,
        begun: bool = False,
    ) -> Action:
        now = self.clock()
        row = {
            "incident_id": incident.id, "round": incident.round, "at": now, "reason": "",
            "begun_at": now if begun else None,
            "ended_at": now if values["state"] in ENDED else None, **values,
        }  # fmt: skip
        return action_of(connection.execute(ACTIONS.insert().values(row).returning(ACTIONS)).one())

    def _tell(self, connection: Connection, action: Action, incident: Incident) -> None:
        why = f": {action.reason}" if action.reason else ""
        said = f"{action.mitigation} {action.state.replace('_', ' ')}{why}"
        self._say(connection, incident.id, said, WEIR, audited=True, evidence=action.key)
        if action.state in ("failed", "refused", "undo_failed"):
            current = get_incident(connection, incident.id)
            update_incident(connection, current, attention=current.attention + 1)

    def _say(
        self,
        connection: Connection,
        incident_id: int,
        what: str,
        who: str,
        *,
        audited: bool = False,
        evidence: str = "",
    ) -> None:
        now = self.clock()
        line = {"incident_id": incident_id, "at": now, "who": who, "what": what}
        connection.execute(TIME_LINE.insert().values(line))
        if audited:
            subject = f"incident:{incident_id}"
            audit_trail.append(connection, who, what[:LONGEST_ENTRY], subject, evidence, now)
