"""The incident tables of the state database: incidents, their time line, actions, notifications."""

from __future__ import annotations

from sqlalchemy import JSON, Column, Integer, MetaData, String, Table, UniqueConstraint

from pipelines.state import UtcTime

METADATA = MetaData()
INCIDENTS = Table(
    "incidents",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("title", String, nullable=False),
    Column("cause", String, nullable=False),
    Column("severity", String, nullable=False),
    Column("state", String, nullable=False, index=True),
    Column("opened_at", UtcTime, nullable=False),
    Column("entered_at", UtcTime, nullable=False),
    Column("firing_since", UtcTime, nullable=False),
    Column("last_alert_at", UtcTime, nullable=False),
    Column("round", Integer, nullable=False),
    Column("round_began_at", UtcTime, nullable=False),
    Column("flaps", Integer, nullable=False),
    Column("attention", Integer, nullable=False),
    Column("acknowledged_by", String, nullable=False),
    Column("playbook", String, nullable=False),
)
TIME_LINE = Table(  # append-only
    "incident_time_line",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("incident_id", Integer, nullable=False, index=True),
    Column("at", UtcTime, nullable=False),
    Column("who", String, nullable=False),
    Column("what", String, nullable=False),
)
ACTIONS = Table(
    "incident_actions",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("incident_id", Integer, nullable=False, index=True),
    Column("round", Integer, nullable=False),
    Column("step", Integer, nullable=False),
    Column("mitigation", String, nullable=False),
    Column("parameters", JSON, nullable=False),
    Column("target", JSON, nullable=False),
    Column("state", String, nullable=False),
    Column("key", String, nullable=False, unique=True),
    Column("by", String, nullable=False),
    Column("undo", String, nullable=False),
    Column("reason", String, nullable=False),
    Column("at", UtcTime, nullable=False),
    Column("begun_at", UtcTime),
    Column("ended_at", UtcTime),
)
NOTIFICATIONS = Table(
    "incident_notifications",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("incident_id", Integer, nullable=False, index=True),
    Column("round", Integer, nullable=False),
    Column("level", Integer, nullable=False),
    Column("person", String, nullable=False),
    Column("channel", String, nullable=False),
    Column("state", String, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("at", UtcTime, nullable=False),  # of the last attempt
    Column("reason", String, nullable=False),
    UniqueConstraint("incident_id", "round", "level", "channel"),
)
