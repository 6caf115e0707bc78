"""The label queue: who looks at which event, until when, and what they said.

Tasks move by the table TRANSITIONS and no other way. Every move is one transaction whose UPDATE
is guarded by the state it expects, so concurrent reviewers, crashes and repeated calls neither
lose a label nor count one twice. The clock comes in as `now`: a lease that it ends early only
sends the task to someone else, and only the holder of the lease can label.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy import (
    CheckConstraint,
    Column,
    ColumnElement,
    Connection,
    Engine,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    UniqueConstraint,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from data_contracts.errors import LabelRefused
from data_contracts.labels import Label, LabelName, parse_label
from pipelines.labelling.samplers.base import Draw
from pipelines.state import UtcTime, create_tables, open_state, reading

State = Literal["open", "leased", "labelled"]
Step = Literal["lease", "submit", "release", "expire"]
TRANSITIONS: Mapping[tuple[State, Step], State] = {
    ("open", "lease"): "leased",
    ("leased", "submit"): "labelled",
    ("leased", "release"): "open",
    ("leased", "expire"): "open",
}
STATES: tuple[State, ...] = ("open", "leased", "labelled")

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
    Column("sampled_at", UtcTime, nullable=False),
    Column("state", String(16), nullable=False),
    Column("reviewer", String(128)),
    Column("leased_at", UtcTime),
    Column("lease_expires_at", UtcTime),
    UniqueConstraint("day", "event_id"),
    CheckConstraint("state IN ('open', 'leased', 'labelled')", name="known_state"),
    Index("label_tasks_by_turn", "state", "day", "rank"),
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
    Column("batch", String(128), nullable=False),
)
MAXIMUM_LEASES = 10_000  # tasks moved by one statement: databases bound its parameters
_NOBODY = {"reviewer": None, "leased_at": None, "lease_expires_at": None}


@dataclass(frozen=True)
class NewTask:
    """An event to be reviewed: how it was drawn, and what which model thought of it then."""

    draw: Draw
    day: str
    score: float | None = None
    model_version: str | None = None


@dataclass(frozen=True)
class Task:
    """A task as its reviewer holds it, until `lease_expires_at`."""

    id: int
    event_id: str
    day: str
    strategy: str
    score: float | None
    model_version: str | None
    lease_expires_at: datetime


def open_label_queue(url: str, lease_seconds: float) -> LabelQueue:
    """The queue in the state database at `url`; its tables are created where they are missing."""
    engine = open_state(url)
    create_tables(engine, METADATA)
    return LabelQueue(engine, lease_seconds)


class LabelQueue:
    """Tasks of all days in one state database whose tables exist (`open_label_queue`)."""

    def __init__(self, engine: Engine, lease_seconds: float) -> None:
        if lease_seconds <= 0:
            raise ValueError(f"lease_seconds {lease_seconds} must be above 0")
        self._engine = engine
        self._lease = timedelta(seconds=lease_seconds)

    def enqueue(self, tasks: Sequence[NewTask], now: datetime) -> int:
        """Add the tasks, in their order, in one transaction; how many were new.

        An event that has a task on that day keeps it as it is.
        """
        if not tasks:
            return 0
        rows = [_row(task, rank, now) for rank, task in enumerate(tasks)]
        with self._engine.begin() as connection:
            statement = _insert_if_new(connection).returning(TASKS.c.id)
            return len(connection.execute(statement, rows).all())

    def lease(self, reviewer: str, n: int, now: datetime, *, day: str | None = None) -> list[Task]:
        """Up to `n` open tasks (of one day), now held by `reviewer`; no one else gets them."""
        if not reviewer:
            raise ValueError("reviewer is empty; a label must have someone who gave it")
        if not 1 <= n <= MAXIMUM_LEASES:
            raise ValueError(f"n {n} is outside 1 to {MAXIMUM_LEASES}; lease in smaller batches")
        turn: list[ColumnElement[bool]] = [] if day is None else [TASKS.c.day == day]
        held = {"reviewer": reviewer, "leased_at": now, "lease_expires_at": now + self._lease}
        with self._engine.begin() as connection:
            _expire(connection, now)
            ids = _free(connection, "open", turn, n)
            _move(connection, ids, "lease", **held)
            return _tasks(connection, ids)

    def submit(
        self,
        task_id: int,
        reviewer: str,
        label: LabelName,
        now: datetime,
        *,
        source: str = "reviewer",
    ) -> None:
        """Keep the reviewer's label. Raises LabelRefused unless the reviewer holds the task.

        A label that comes late still counts while nobody else was given the task.
        """
        checked = parse_label(label)
        with self._engine.begin() as connection:
            if not _holds(connection, task_id, reviewer):
                raise LabelRefused(_refusal(connection, task_id, reviewer))
            task = connection.execute(
                select(TASKS.c.leased_at, TASKS.c.day).where(TASKS.c.id == task_id)
            ).one()
            _move(connection, [task_id], "submit")
            connection.execute(
                insert(ANSWERS).values(
                    task=task_id,
                    reviewer=reviewer,
                    label=checked,
                    source=source,
                    leased_at=task.leased_at,
                    answered_at=now,
                    batch=f"{task.day}/{reviewer}",
                )
            )

    def release(self, task_id: int, reviewer: str) -> None:
        """Give a task back unanswered. Raises LabelRefused unless the reviewer holds it."""
        with self._engine.begin() as connection:
            if not _holds(connection, task_id, reviewer):
                raise LabelRefused(_refusal(connection, task_id, reviewer))
            _move(connection, [task_id], "release", **_NOBODY)

    def expire(self, now: datetime) -> int:
        """Open up to MAXIMUM_LEASES tasks whose lease ran out; how many. `lease` does it too."""
        with self._engine.begin() as connection:
            return _expire(connection, now)

    def progress(self) -> dict[str, dict[State, int]]:
        """For each day that has tasks, in order: how many are in each state."""
        counted = select(TASKS.c.day, TASKS.c.state, func.count()).group_by(
            TASKS.c.day, TASKS.c.state
        )
        progress: dict[str, dict[State, int]] = {}
        with reading(self._engine) as connection:
            for day, state, count in connection.execute(counted.order_by(TASKS.c.day)):
                progress.setdefault(day, dict.fromkeys(STATES, 0))[state] = count
        return progress

    def sampled(self, day: str) -> dict[str, int]:
        """How many tasks each strategy has on a day; empty where the day has none."""
        counted = (
            select(TASKS.c.strategy, func.count())
            .where(TASKS.c.day == day)
            .group_by(TASKS.c.strategy)
            .order_by(TASKS.c.strategy)
        )
        with reading(self._engine) as connection:
            return dict(connection.execute(counted).tuples().all())

    def labels(self, day: str) -> list[Label]:
        """The finished labels of a day, in order of event and reviewer."""
        finished = (
            select(
                TASKS.c.event_id,
                ANSWERS.c.label,
                ANSWERS.c.source,
                ANSWERS.c.reviewer,
                TASKS.c.strategy,
                TASKS.c.inclusion_probability,
                ANSWERS.c.answered_at.label("observed_at"),
                ANSWERS.c.batch,
            )
            .join_from(ANSWERS, TASKS)
            .where(TASKS.c.day == day, TASKS.c.state == "labelled")
        )
        with reading(self._engine) as connection:
            found = [Label(**row) for row in connection.execute(finished).mappings()]
        return sorted(found, key=lambda label: (label.event_id, label.reviewer))


def _row(task: NewTask, rank: int, now: datetime) -> dict[str, Any]:
    return {
        "event_id": task.draw.event_id,
        "day": task.day,
        "rank": rank,
        "strategy": task.draw.strategy,
        "inclusion_probability": task.draw.inclusion_probability,
        "score": task.score,
        "model_version": task.model_version,
        "sampled_at": now,
        "state": "open",
    }


def _insert_if_new(connection: Connection) -> postgresql.Insert | sqlite.Insert:
    known = ["event_id", "day"]
    if connection.dialect.name == "postgresql":
        return postgresql.insert(TASKS).on_conflict_do_nothing(index_elements=known)
    return sqlite.insert(TASKS).on_conflict_do_nothing(index_elements=known)


def _free(
    connection: Connection, state: State, where: Sequence[ColumnElement[bool]], n: int
) -> list[int]:
    """Ids of up to `n` tasks in that state, in turn, that no other transaction is moving.

    The rows stay locked on PostgreSQL; on SQLite a writer is alone anyway.
    """
    wanted = (
        select(TASKS.c.id)
        .where(TASKS.c.state == state, *where)
        .order_by(TASKS.c.day, TASKS.c.rank, TASKS.c.id)
        .limit(n)
        .with_for_update(skip_locked=True)
    )
    return list(connection.scalars(wanted))


def _holds(connection: Connection, task_id: int, reviewer: str) -> bool:
    """Whether the reviewer holds the task, which stays locked; waits for who is moving it."""
    held = select(TASKS.c.id).where(
        TASKS.c.id == task_id, TASKS.c.state == "leased", TASKS.c.reviewer == reviewer
    )
    return connection.scalar(held.with_for_update()) is not None


def _move(connection: Connection, ids: Sequence[int], step: Step, **values: Any) -> None:
    """Take a step of TRANSITIONS with tasks that this transaction has locked."""
    before, after = next(
        (before, after) for (before, taken), after in TRANSITIONS.items() if taken == step
    )
    statement = update(TASKS).where(TASKS.c.id.in_(ids), TASKS.c.state == before)
    connection.execute(statement.values(state=after, **values))


def _expire(connection: Connection, now: datetime) -> int:
    ids = _free(connection, "leased", [TASKS.c.lease_expires_at <= now], MAXIMUM_LEASES)
    _move(connection, ids, "expire", **_NOBODY)
    return len(ids)


def _tasks(connection: Connection, ids: Sequence[int]) -> list[Task]:
    columns = [TASKS.c[name] for name in Task.__dataclass_fields__]
    chosen = select(*columns).where(TASKS.c.id.in_(ids)).order_by(TASKS.c.day, TASKS.c.rank)
    return [Task(**row) for row in connection.execute(chosen).mappings()]


def _refusal(connection: Connection, task_id: int, reviewer: str) -> str:
    state = connection.scalar(select(TASKS.c.state).where(TASKS.c.id == task_id))
    because = {
        None: "is not in the queue; lease one",
        "open": f"is not leased by {reviewer}: the lease ran out or was given back; lease again",
        "leased": f"is leased by another reviewer than {reviewer}; lease another",
        "labelled": "has its label already; nothing is left to do",
    }
    return f"task {task_id} {because[state]}"
