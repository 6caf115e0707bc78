"""Rows of the incident tables as values, and the guarded ways to change them."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import datetime, timedelta
from typing import Any, cast

from sqlalchemy import Connection, Row, select

from data_contracts.alerts import Alert
from data_contracts.errors import BadInput, WeirError
from pipelines import alert_inbox
from pipelines.alert_inbox import CHANGED_NOTHING, Entry
from serving.incidents.decisions import Action
from serving.incidents.tables import ACTIONS, INCIDENTS
from serving.incidents.triage import Incident, State, cause_key


def get_incident(connection: Connection, incident_id: int) -> Incident:
    row = connection.execute(select(INCIDENTS).where(INCIDENTS.c.id == incident_id)).first()
    if row is None:
        raise BadInput(f"there is no incident {incident_id}; see `incidents list --all`")
    return incident_of(row)


def incident_of_fingerprint(connection: Connection, entry: Entry) -> Incident | None:
    """The newest incident that an alert of this fingerprint belonged to."""
    seen = alert_inbox.ENTRIES
    query = (
        select(seen.c.incident_id)
        .where(seen.c.fingerprint == entry.fingerprint, seen.c.incident_id > CHANGED_NOTHING)
        .order_by(seen.c.id.desc())
        .limit(1)
    )
    found = connection.execute(query).scalar()
    return None if found is None else get_incident(connection, found)


def incident_of_cause(
    connection: Connection, alert: Alert, now: datetime, within_seconds: float
) -> Incident | None:
    query = (
        select(INCIDENTS)
        .where(INCIDENTS.c.cause == cause_key(alert), INCIDENTS.c.state != "resolved")
        .where(INCIDENTS.c.last_alert_at >= now - timedelta(seconds=within_seconds))
        .order_by(INCIDENTS.c.id.desc())
    )
    row = connection.execute(query).first()
    return None if row is None else incident_of(row)


def update_incident(connection: Connection, incident: Incident, **values: Any) -> Incident:
    """Change the row only where it still is in the state and round that the writer saw."""
    if not values:
        return incident
    changed = connection.execute(
        INCIDENTS.update()
        .where(INCIDENTS.c.id == incident.id)
        .where(INCIDENTS.c.state == incident.state)
        .where(INCIDENTS.c.round == incident.round)
        .values(**values)
    )
    if changed.rowcount != 1:
        raise WeirError(f"incident {incident.id} left {incident.state} meanwhile; read it again")
    return replace(incident, **values)


def change_action(connection: Connection, action: Action, **values: Any) -> Action:
    """The same for an action."""
    changed = connection.execute(
        ACTIONS.update()
        .where(ACTIONS.c.id == action.id, ACTIONS.c.state == action.state)
        .values(**values)
        .returning(ACTIONS)
    ).first()
    if changed is None:
        raise WeirError(f"action {action.id} left {action.state} meanwhile; read it again")
    return action_of(changed)


def actions_of(connection: Connection, incident_id: int) -> list[Action]:
    query = select(ACTIONS).where(ACTIONS.c.incident_id == incident_id).order_by(ACTIONS.c.id)
    return [action_of(row) for row in connection.execute(query)]


def action_of(row: Row[Any]) -> Action:
    return Action(**{one.name: getattr(row, one.name) for one in fields(Action)})


def incident_of(row: Row[Any]) -> Incident:
    values = {one.name: getattr(row, one.name) for one in fields(Incident)}
    return Incident(**{**values, "state": cast("State", row.state)})
