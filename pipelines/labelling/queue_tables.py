"""What the label queue keeps: its tables, and the one table by which tasks move.

A task is `open` until somebody leases it. An answer either asks for another (`open` again),
settles the task (`labelled`), or contradicts an earlier one (`contested`); a contested task is
leased to an adjudicator (`adjudicating`), whose word settles it. Removing a batch reopens what it
leaves without enough answers. Batches have a table of moves as well: a removed one stays removed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, get_args

from sqlalchemy import (
    Boolean,
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

State = Literal["open", "leased", "labelled", "contested", "adjudicating"]
Step = Literal["lease", "release", "expire", "ask_another", "contest", "settle", "reopen"]
BatchState = Literal["accepted", "quarantined", "removed"]
STATES: tuple[State, ...] = get_args(State)
BATCH_STATES: tuple[BatchState, ...] = get_args(BatchState)

TRANSITIONS: Mapping[tuple[State, Step], State] = {
    ("open", "lease"): "leased",
    ("leased", "release"): "open",
    ("leased", "expire"): "open",
    ("leased", "ask_another"): "open",
    ("leased", "contest"): "contested",
    ("leased", "settle"): "labelled",
    ("contested", "lease"): "adjudicating",
    ("adjudicating", "release"): "contested",
    ("adjudicating", "expire"): "contested",
    ("adjudicating", "settle"): "labelled",
    # what the removal of a batch takes away
    ("labelled", "reopen"): "open",
    ("labelled", "contest"): "contested",
    ("contested", "reopen"): "open",
    ("adjudicating", "reopen"): "open",
}
BATCH_TRANSITIONS: Mapping[BatchState, frozenset[BatchState]] = {
    "accepted": frozenset({"quarantined", "removed"}),
    "quarantined": frozenset({"accepted", "removed"}),
    "removed": frozenset(),
}
ADJUDICATION = "adjudication"  # the source of an answer that settles a contested task

METADATA = MetaData()
TASKS = Table(
    "label_tasks",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("event_id", String(128), nullable=False),
    Column("day", String(10), nullable=False),
    Column("rank", Integer, nullable=False),
    Column("strategy", String(64), nullable=False),
    Column("inclusion_probability", Float(53)),
    Column("score", Float(53)),
    Column("model_version", String(128)),
    Column("reasons", Text, nullable=False, server_default="[]"),
    Column("answers_wanted", Integer, nullable=False, server_default="1"),
    Column("gold", String(8)),
    Column("sensitive", Boolean, nullable=False, server_default="0"),
    Column("sampled_at", UtcTime, nullable=False),
    Column("state", String(16), nullable=False),
    Column("reviewer", String(128)),
    Column("leased_at", UtcTime),
    Column("lease_expires_at", UtcTime),
    UniqueConstraint("day", "event_id"),
    CheckConstraint(f"state IN {STATES}", name="known_state"),
    CheckConstraint("answers_wanted >= 1", name="wants_an_answer"),
    Index("label_tasks_by_turn", "state", "day", "rank"),
)
BATCHES = Table(
    "label_batches",
    METADATA,
    Column("batch", String(128), primary_key=True),
    Column("state", String(16), nullable=False),
    Column("reason", Text, nullable=False),
    Column("by", String(128), nullable=False),
    Column("at", UtcTime, nullable=False),
    CheckConstraint(f"state IN {BATCH_STATES}", name="known_batch_state"),
)
ANSWERS = Table(
    "label_answers",
    METADATA,
    Column("task", ForeignKey("label_tasks.id"), primary_key=True),
    Column("reviewer", String(128), primary_key=True),
    Column("label", String(8), nullable=False),
    Column("source", String(32), nullable=False),
    Column("leased_at", UtcTime, nullable=False),
    Column("answered_at", UtcTime, nullable=False),
    Column("batch", ForeignKey("label_batches.batch"), nullable=False, index=True),
)
EXPOSURES = Table(
    "label_exposures",  # which sensitive tasks a reviewer was given, whatever came of it
    METADATA,
    Column("reviewer", String(128), primary_key=True),
    Column("task", ForeignKey("label_tasks.id"), primary_key=True),
    Column("given_at", UtcTime, nullable=False),
)
