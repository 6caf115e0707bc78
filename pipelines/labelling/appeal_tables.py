"""What the appeals store keeps: its tables, and the one table by which appeals move.

An appeal is `submitted` by an account, `under_review` while a reviewer holds it, and then decided
for good: `upheld` (the action was right) or `overturned`. Until then its account may take it back.
Until a reviewer takes it a remedy may `grant` it: overturned without a person, in favour of the
account only. Nothing is ever upheld without a person (Digital Services Act, Regulation (EU)
2022/2065, article 20(6)).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, get_args

from sqlalchemy import (
    JSON,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from pipelines.state import UtcTime

AppealState = Literal["submitted", "under_review", "upheld", "overturned", "withdrawn"]
AppealStep = Literal["take", "release", "uphold", "overturn", "withdraw", "grant"]
Origin = Literal["account", "remedy"]
Effect = Literal["reversal", "label", "golden_case"]
APPEAL_STATES: tuple[AppealState, ...] = get_args(AppealState)
ORIGINS: tuple[Origin, ...] = get_args(Origin)

APPEAL_TRANSITIONS: Mapping[tuple[AppealState, AppealStep], AppealState] = {
    ("submitted", "take"): "under_review",
    ("submitted", "withdraw"): "withdrawn",
    ("submitted", "grant"): "overturned",
    ("under_review", "release"): "submitted",
    ("under_review", "uphold"): "upheld",
    ("under_review", "overturn"): "overturned",
    ("under_review", "withdraw"): "withdrawn",
}
CLOSED: tuple[AppealState, ...] = ("upheld", "overturned", "withdrawn")
# What a decision brings about, each once. A remedy is no person: it makes neither label nor case.
EFFECTS: Mapping[AppealStep, tuple[Effect, ...]] = {
    "uphold": ("label",),
    "overturn": ("reversal", "label", "golden_case"),
}

METADATA = MetaData()
APPEALS = Table(
    "appeals",
    METADATA,
    Column("id", String(32), primary_key=True),
    Column("event_id", String(128), nullable=False),
    Column("revision", Integer, nullable=False),
    Column("account", String(64), nullable=False),  # keyed hash
    Column("action", String(16), nullable=False),
    Column("score", Float(53), nullable=False),
    Column("reasons", JSON, nullable=False),
    Column("language", String(64), nullable=False),
    Column("modality", String(32), nullable=False),
    Column("model_version", String(128), nullable=False),
    Column("threshold_version", String(128), nullable=False),
    Column("decided_at", UtcTime, nullable=False),  # by the model
    Column("statement", Text, nullable=False),  # what the user wrote: stays here, never in a log
    Column("origin", String(16), nullable=False),
    Column("state", String(16), nullable=False),
    Column("submitted_at", UtcTime, nullable=False),
    Column("due_at", UtcTime, nullable=False),
    Column("reviewer", String(128)),
    Column("lease_expires_at", UtcTime),
    Column("closed_at", UtcTime),
    Column("why", Text, nullable=False, server_default=""),
    Column("day", String(10)),  # the lake's day of the event, once the lake has it
    UniqueConstraint("event_id", "revision", "account"),
    CheckConstraint(f"state IN {APPEAL_STATES}", name="known_appeal_state"),
    CheckConstraint(f"origin IN {ORIGINS}", name="known_appeal_origin"),
    Index("appeals_by_turn", "state", "due_at"),
    Index("appeals_by_account", "account", "submitted_at"),
    Index("appeals_by_event", "event_id"),
)
PENDING_EFFECTS = Table(
    "appeal_effects",
    METADATA,
    Column("appeal", ForeignKey("appeals.id"), primary_key=True),
    Column("effect", String(16), primary_key=True),
    Column("done_at", UtcTime, index=True),
    Column("outcome", String(256), nullable=False, server_default=""),
)
