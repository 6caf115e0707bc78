"""The state database as the status page needs it: one snapshot, few queries, bounded rows.

The connection is read-only, so that a page can change nothing. A part that never ran has no tables
here; that is said, and is not an error.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, event, func, inspect, make_url, or_, select

from data_contracts.alerts import Alert
from data_contracts.errors import ServiceUnavailable
from pipelines import alert_inbox, audit_trail, switches
from pipelines.audit_trail import Entry
from pipelines.labelling.appeal_tables import APPEALS, CLOSED
from pipelines.state import open_state, reading
from pipelines.switches import Hold
from serving.incidents.decisions import Action
from serving.incidents.held_switch import HEEDED_WITHIN
from serving.incidents.rows import action_of, incident_of
from serving.incidents.tables import ACTIONS, INCIDENTS
from serving.incidents.triage import Incident
from serving.rollout.leadership import LEADER, Leadership
from serving.rollout.store import ROLLOUTS, STABLE, RolloutStore
from serving.status_page.facts import Appeals, Champion, State, Waiting

MOST_INCIDENTS = 50
MOST_OVER = 10
MOST_ACTIONS = 100
MOST_WAITING = 20
MOST_HOLDS = 50
MOST_CHANGES = 40
MOST_SEARCHED = 5000  # rows of the audit trail, in which they are looked for
PARTS: Mapping[str, str] = {  # a table, and whose it is
    STABLE.name: "the rollout controller",
    LEADER.name: "the rollout controller",
    INCIDENTS.name: "incident response",
    alert_inbox.ENTRIES.name: "incident response",
    switches.HOLDS.name: "incident response",
    APPEALS.name: "appeals",
    audit_trail.ENTRIES.name: "the audit trail",
}
INCIDENT_SUBJECT = re.compile(r"incident:(\d+)|incident-(\d+)-.*")  # itself, or its action


def open_for_reading(state_url: str) -> Engine:
    """An engine whose every connection refuses to write. Raises ServiceUnavailable without one."""
    url = make_url(state_url)
    is_file = url.get_backend_name() == "sqlite"
    if is_file and not Path(str(url.database)).is_file():
        raise ServiceUnavailable(f"there is no state database {url.database} yet; start Weir")
    engine = open_state(state_url)
    engine.dispose()  # connections from before the listeners
    if is_file:
        event.listen(engine, "connect", _query_only)
    else:
        event.listen(engine, "begin", _read_only)
    return engine


def read_state(engine: Engine, now: datetime) -> State:
    """Everything at one moment. Errors of the database pass through."""
    with reading(engine) as connection:
        tables = set(inspect(connection).get_table_names())
        incidents = _incidents(connection) if INCIDENTS.name in tables else ()
        holds = _holds(connection) if switches.HOLDS.name in tables else ()
        found = State(
            champion=_champion(connection) if STABLE.name in tables else None,
            holds=holds,
            heeded=_heeded(connection, now) if switches.READERS.name in tables else {},
            incidents=incidents,
            over=_over(connection) if INCIDENTS.name in tables else (),
            actions=_actions(connection, incidents, holds) if ACTIONS.name in tables else (),
            waiting=_waiting(connection) if alert_inbox.ENTRIES.name in tables else Waiting(0),
            appeals=_appeals(connection, now) if APPEALS.name in tables else Appeals(0, 0, None),
            changes=_changes(connection) if audit_trail.ENTRIES.name in tables else (),
            missing=tuple(sorted({who for table, who in PARTS.items() if table not in tables})),
        )
    leads = LEADER.name in tables
    return replace(
        found,
        rollout=RolloutStore(engine).latest() if ROLLOUTS.name in tables else None,
        controller_leads=leads and Leadership(engine).leader() is not None,
        responder_leads=leads and Leadership(engine, seat="incidents").leader() is not None,
    )


def incident_of_change(entry: Entry) -> int | None:
    """The incident that a row of the audit trail is about, if it is about one."""
    found = INCIDENT_SUBJECT.fullmatch(entry.subject)
    return int(found[1] or found[2]) if found else None


def _champion(connection: Connection) -> Champion | None:
    row = connection.execute(select(STABLE)).first()
    return None if row is None else Champion(row.version, row.model_uri, row.since)


def _incidents(connection: Connection) -> tuple[Incident, ...]:
    query = select(INCIDENTS).where(INCIDENTS.c.state != "resolved")
    rows = connection.execute(query.order_by(INCIDENTS.c.id.desc()).limit(MOST_INCIDENTS))
    return tuple(map(incident_of, rows))


def _over(connection: Connection) -> tuple[Incident, ...]:
    query = select(INCIDENTS).where(INCIDENTS.c.state == "resolved")
    rows = connection.execute(query.order_by(INCIDENTS.c.id.desc()).limit(MOST_OVER))
    return tuple(map(incident_of, rows))


def _holds(connection: Connection) -> tuple[Hold, ...]:
    query = select(switches.HOLDS).where(switches.HOLDS.c.released_at.is_(None))
    rows = connection.execute(query.order_by(switches.HOLDS.c.id.desc()).limit(MOST_HOLDS))
    return tuple(
        Hold(row.switch, row.key, row.value, row.by, row.reason, row.since, row.released_at)
        for row in rows
    )


def _heeded(connection: Connection, now: datetime) -> dict[str, int]:
    readers = switches.READERS
    query = (
        select(readers.c.switch, func.count())
        .where(readers.c.asked_at >= now - HEEDED_WITHIN)
        .group_by(readers.c.switch)
    )
    return dict(connection.execute(query).tuples().all())


def _actions(
    connection: Connection, incidents: tuple[Incident, ...], holds: tuple[Hold, ...]
) -> tuple[Action, ...]:
    ours = or_(
        ACTIONS.c.incident_id.in_([one.id for one in incidents]),
        ACTIONS.c.key.in_([one.key for one in holds]),
    )
    query = select(ACTIONS).where(ours).order_by(ACTIONS.c.id.desc()).limit(MOST_ACTIONS)
    return tuple(sorted(map(action_of, connection.execute(query)), key=lambda one: one.id))


def _waiting(connection: Connection) -> Waiting:
    entries = alert_inbox.ENTRIES
    untaken = entries.c.incident_id.is_(None)
    count = connection.execute(select(func.count()).where(untaken)).scalar_one()
    query = select(entries).where(untaken).order_by(entries.c.id).limit(MOST_WAITING)
    rows = connection.execute(query).all()
    return Waiting(count, tuple(_oldest(rows)))


def _oldest(rows: Iterable[Any]) -> Iterator[tuple[datetime, Alert]]:
    for row in rows:
        if row.alert:
            yield row.received_at, Alert.from_record(row.alert)


def _appeals(connection: Connection, now: datetime) -> Appeals:
    is_open = APPEALS.c.state.not_in(CLOSED)
    query = select(func.count(), func.min(APPEALS.c.due_at)).where(is_open)
    waiting, first_due = connection.execute(query).tuples().one()
    late = select(func.count()).where(is_open, APPEALS.c.due_at < now)
    return Appeals(waiting, connection.execute(late).scalar_one(), first_due)


def _changes(connection: Connection) -> tuple[Entry, ...]:
    """What is done about single events of users would push everything else out of sight."""
    entries = audit_trail.ENTRIES
    newest = select(func.coalesce(func.max(entries.c.number), 0)).scalar_subquery()
    query = (
        select(entries)
        .where(entries.c.number > newest - MOST_SEARCHED)
        .where(entries.c.what.not_like("appeal: %"), entries.c.what.not_like("reversed %"))
        .order_by(entries.c.number.desc())
        .limit(MOST_CHANGES)
    )
    return tuple(Entry(**row) for row in connection.execute(query).mappings())


def _query_only(connection: sqlite3.Connection, _record: Any) -> None:
    connection.execute("PRAGMA query_only = ON")


def _read_only(connection: Connection) -> None:
    connection.exec_driver_sql("SET TRANSACTION READ ONLY")
