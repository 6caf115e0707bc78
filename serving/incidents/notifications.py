"""Messages about incidents: written before they are sent, so that a responder's death loses none.

A message that was being sent when the responder died is sent again under its old id: being called
twice is the smaller harm. One that cannot be delivered calls the next person instead.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import select

from data_contracts.errors import WeirError
from pipelines.state import reading
from serving.incidents.escalation import Call, Channel, OnCall, Sent, due
from serving.incidents.notifiers import Message, Notifier, one_line
from serving.incidents.store import WEIR, IncidentStore
from serving.incidents.tables import INCIDENTS, NOTIFICATIONS, TIME_LINE
from serving.incidents.triage import MEANING, Incident
from serving.rollout.store import Fence


@dataclass(frozen=True)
class Notifications:
    """Sends what is due about an incident by the channels that there are."""

    store: IncidentStore
    on_call: OnCall
    notifiers: Mapping[Channel, Notifier]
    fence: Fence

    def __call__(self, incident: Incident) -> None:
        before = sent_about(self.store, incident.id)
        calls = due(incident, before, self.on_call, self.store.clock())
        arrived = {call: self._try(incident, call) for call in calls}
        known = {(one.round, one.level) for one in before}
        for level in sorted({call.level for call in calls}):
            reached = any(came for call, came in arrived.items() if call.level == level)
            if not reached and (incident.round, level) not in known:
                self._call_the_next(incident)

    def _try(self, incident: Incident, call: Call) -> bool:
        number = self._sending(incident, call)
        try:
            self.notifiers[call.channel].send(self._message(incident, call))
        except Exception as error:
            reason = str(error) if isinstance(error, WeirError) else type(error).__name__
            self._ended(incident, number, call, "failed", reason)
            return False
        self._ended(incident, number, call, "sent", "")
        return True

    def _sending(self, incident: Incident, call: Call) -> int:
        """The row of the message, new or known: it may be on its way from now on."""
        table, now = NOTIFICATIONS, self.store.clock()
        same = (
            (table.c.incident_id == incident.id)
            & (table.c.round == incident.round)
            & (table.c.level == call.level)
            & (table.c.channel == call.channel)
        )
        with self.store.engine.begin() as connection:
            self.fence(connection)
            row = connection.execute(select(table).where(same)).first()
            if row is not None:
                changes = {"state": "sending", "attempts": row.attempts + 1, "at": now}
                connection.execute(table.update().where(same).values(person=call.person, **changes))
                return int(row.id)
            values = {
                "incident_id": incident.id, "round": incident.round, "level": call.level,
                "person": call.person, "channel": call.channel, "state": "sending",
                "attempts": 1, "at": now, "reason": "",
            }  # fmt: skip
            new = connection.execute(table.insert().values(values).returning(table.c.id))
            return int(new.scalar_one())

    def _ended(self, incident: Incident, number: int, call: Call, state: str, reason: str) -> None:
        table = NOTIFICATIONS
        said = f"{call.person} called by {call.channel}"
        if state == "failed":
            said = f"{call.person} could not be called by {call.channel}: {reason}"
        line = {"incident_id": incident.id, "at": self.store.clock(), "who": WEIR, "what": said}
        with self.store.engine.begin() as connection:
            self.fence(connection)
            connection.execute(
                table.update().where(table.c.id == number).values(state=state, reason=reason)
            )
            connection.execute(TIME_LINE.insert().values(line))

    def _call_the_next(self, incident: Incident) -> None:
        """Nobody was reached at a level: the following one is due at once."""
        mine, raised = INCIDENTS.c.id == incident.id, INCIDENTS.c.attention + 1
        with self.store.engine.begin() as connection:
            self.fence(connection)
            connection.execute(INCIDENTS.update().where(mine).values(attention=raised))

    def _message(self, incident: Incident, call: Call) -> Message:
        return Message(
            id=f"incident-{incident.id}-{incident.round}-{call.level}-{call.channel}",
            to=call.person,
            subject=one_line(f"[{incident.severity}] incident {incident.id}: {incident.title}"),
            text=_text(incident),
            incident=incident.id,
            severity=incident.severity,
            state=incident.state,
        )


def sent_about(store: IncidentStore, incident_id: int) -> list[Sent]:
    """What was sent about an incident, or could not be, oldest first."""
    query = select(NOTIFICATIONS).where(NOTIFICATIONS.c.incident_id == incident_id)
    with reading(store.engine) as connection:
        return [
            Sent(row.round, row.level, row.person, row.channel, row.state, row.attempts, row.at)
            for row in connection.execute(query.order_by(NOTIFICATIONS.c.id))
        ]


def _text(incident: Incident) -> str:
    flapping = f" It flaps: it came back {incident.flaps} times." if incident.is_flapping else ""
    return (
        f"{one_line(incident.title)}\n{incident.severity}: {MEANING[incident.severity]}\n"
        f"state: {incident.state}, since {incident.entered_at:%Y-%m-%d %H:%M} UTC.{flapping}\n"
        f"likely cause: {one_line(incident.cause)}\n\n"
        f"See what was done and what to do next:\n"
        f"  python -m serving incidents show {incident.id}\n"
        f"Say that you look at it, so that nobody else is called:\n"
        f"  python -m serving incidents acknowledge {incident.id}\n"
    )
