"""One incident with everything that was seen, said and done about it, bounded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, Engine, func, inspect, select

from data_contracts.alerts import Alert
from pipelines import alert_inbox
from pipelines.state import reading
from serving.incidents.decisions import Action
from serving.incidents.rows import action_of, incident_of
from serving.incidents.store import Line
from serving.incidents.tables import ACTIONS, INCIDENTS, NOTIFICATIONS, TIME_LINE
from serving.incidents.triage import Incident

MOST_ALERTS = 50
MOST_ACTIONS = 50
MOST_LINES = 60
MOST_CALLS = 30


@dataclass(frozen=True)
class Seen:
    """An alert as it was last raised, how often, since when, and whether it was cleared since."""

    alert: Alert
    times: int
    first: datetime
    last: datetime
    cleared: bool


@dataclass(frozen=True)
class Call:
    """Somebody was called, or could not be."""

    at: datetime
    person: str
    channel: str
    state: str
    reason: str


@dataclass(frozen=True)
class Case:
    """`lines` and `calls` are the newest, newest first; `actions` in the order of their asking."""

    incident: Incident
    alerts: tuple[Seen, ...]
    actions: tuple[Action, ...]
    lines: tuple[Line, ...]
    calls: tuple[Call, ...]
    more_lines: int


def read_case(engine: Engine, number: int) -> Case | None:
    """None for a number that no incident has."""
    with reading(engine) as connection:
        if not inspect(connection).has_table(INCIDENTS.name):
            return None
        row = connection.execute(select(INCIDENTS).where(INCIDENTS.c.id == number)).first()
        if row is None:
            return None
        lines, more = _lines(connection, number)
        return Case(
            incident_of(row), _alerts(connection, number), _actions(connection, number), lines,
            _calls(connection, number), more,
        )  # fmt: skip


def _alerts(connection: Connection, number: int) -> tuple[Seen, ...]:
    """The last word about every fingerprint, however often it was raised."""
    entries = alert_inbox.ENTRIES
    of_it, raised = entries.c.incident_id == number, entries.c.kind == "raised"
    groups = connection.execute(
        select(
            entries.c.fingerprint, func.count(), func.min(entries.c.received_at),
            func.max(entries.c.received_at), func.max(entries.c.id),
        )
        .where(of_it, raised).group_by(entries.c.fingerprint)
        .order_by(func.max(entries.c.id).desc()).limit(MOST_ALERTS)
    ).tuples().all()  # fmt: skip
    cleared: Mapping[str, int] = dict(
        connection.execute(
            select(entries.c.fingerprint, func.max(entries.c.id))
            .where(of_it, entries.c.kind == "cleared").group_by(entries.c.fingerprint)
            .limit(MOST_ALERTS)
        ).tuples().all()
    )  # fmt: skip
    newest = [group[-1] for group in groups]
    rows = connection.execute(
        select(entries.c.id, entries.c.alert).where(entries.c.id.in_(newest))
    ).tuples()
    said = {one: Alert.from_record(alert) for one, alert in rows}
    return tuple(
        Seen(said[last_id], times, first, last, cleared.get(fingerprint, 0) > last_id)
        for fingerprint, times, first, last, last_id in groups
    )


def _actions(connection: Connection, number: int) -> tuple[Action, ...]:
    query = select(ACTIONS).where(ACTIONS.c.incident_id == number).order_by(ACTIONS.c.id.desc())
    found = [action_of(row) for row in connection.execute(query.limit(MOST_ACTIONS))]
    return tuple(reversed(found))


def _lines(connection: Connection, number: int) -> tuple[tuple[Line, ...], int]:
    of_it = TIME_LINE.c.incident_id == number
    query = select(TIME_LINE).where(of_it).order_by(TIME_LINE.c.id.desc()).limit(MOST_LINES)
    lines = tuple(Line(row.at, row.who, row.what) for row in connection.execute(query))
    total = connection.execute(select(func.count()).select_from(TIME_LINE).where(of_it))
    return lines, total.scalar_one() - len(lines)


def _calls(connection: Connection, number: int) -> tuple[Call, ...]:
    sent = NOTIFICATIONS
    query = select(sent).where(sent.c.incident_id == number).order_by(sent.c.id.desc())
    rows = connection.execute(query.limit(MOST_CALLS))
    return tuple(Call(row.at, row.person, row.channel, row.state, row.reason) for row in rows)
