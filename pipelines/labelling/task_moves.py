"""How tasks move, inside a transaction: chosen, locked, and updated only from where they stand.

Locks are taken in one order, so that no two transactions wait for each other: the reviewer, the
batch, the task. Leasing waits for no task: it passes over those that somebody else is moving.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import orjson
from sqlalchemy import ColumnElement, Connection, Table, exists, insert, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from data_contracts.errors import LabelRefused
from data_contracts.labels import LabelName
from pipelines.labelling.queue_records import Task
from pipelines.labelling.queue_tables import (
    ADJUDICATION,
    ANSWERS,
    BATCHES,
    TASKS,
    TRANSITIONS,
    State,
    Step,
)
from pipelines.state import one_writer_at_a_time

MAXIMUM_LEASES = 10_000  # tasks moved by one statement: databases bound its parameters
TURN = (TASKS.c.day, TASKS.c.rank, TASKS.c.id)
NOBODY = {"reviewer": None, "leased_at": None, "lease_expires_at": None}
HELD: Mapping[State, State] = {"leased": "open", "adjudicating": "contested"}


@dataclass(frozen=True)
class HeldTask:
    """A task that its holder has and this transaction has locked."""

    id: int
    day: str
    state: State
    leased_at: datetime
    answers_wanted: int
    gold: LabelName | None
    sensitive: bool


@dataclass(frozen=True)
class GivenAnswer:
    """What somebody said about a task; it does not count once its batch was removed."""

    reviewer: str
    label: LabelName
    source: str
    answered_at: datetime
    counts: bool = True


def lock_reviewer(connection: Connection, reviewer: str) -> None:
    """What one reviewer does happens one after the other: answers and exposure add up."""
    one_writer_at_a_time(connection, f"label-reviewer:{reviewer}")


def free(
    connection: Connection, state: State, where: Sequence[ColumnElement[bool]], n: int
) -> list[int]:
    """Ids of up to `n` tasks in that state, in turn, that no other transaction is moving.

    The rows stay locked on PostgreSQL; on SQLite a writer is alone anyway.
    """
    wanted = select(TASKS.c.id).where(TASKS.c.state == state, *where).order_by(*TURN).limit(n)
    return list(connection.scalars(wanted.with_for_update(skip_locked=True)))


def unanswered_by(reviewer: str) -> ColumnElement[bool]:
    """Whether the reviewer never answered the task; answers of removed batches count as given."""
    answered = select(ANSWERS.c.task).where(
        ANSWERS.c.task == TASKS.c.id, ANSWERS.c.reviewer == reviewer
    )
    return ~exists(answered)


def at_most_sensitive(
    state: State, where: Sequence[ColumnElement[bool]], n: int
) -> ColumnElement[bool]:
    """Leaves the first `n` sensitive tasks of these, and all that are not sensitive."""
    if n == 0:
        return ~TASKS.c.sensitive
    first = select(TASKS.c.id).where(TASKS.c.state == state, TASKS.c.sensitive, *where)
    return or_(~TASKS.c.sensitive, TASKS.c.id.in_(first.order_by(*TURN).limit(n)))


def move(
    connection: Connection, ids: Sequence[int], before: State, step: Step, **values: object
) -> None:
    """Take a step of TRANSITIONS with tasks that this transaction has locked."""
    after = TRANSITIONS[before, step]
    if not ids:
        return
    statement = update(TASKS).where(TASKS.c.id.in_(ids), TASKS.c.state == before)
    connection.execute(statement.values(state=after, **values))


def expire(connection: Connection, now: datetime) -> int:
    """Take back what was held for too long, from reviewers and adjudicators; how many tasks."""
    late = (
        select(TASKS.c.state, TASKS.c.id)
        .where(TASKS.c.state.in_(HELD), TASKS.c.lease_expires_at <= now)
        .limit(MAXIMUM_LEASES)
    )
    found = connection.execute(late.with_for_update(skip_locked=True)).tuples().all()
    for state in {state for state, _ in found}:
        move(connection, [one for held, one in found if held == state], state, "expire", **NOBODY)
    return len(found)


def held_task(
    connection: Connection, task_id: int, holder: str, states: Sequence[State] = tuple(HELD)
) -> HeldTask:
    """The task, now locked. Waits for who is moving it; LabelRefused unless `holder` has it."""
    columns = [TASKS.c[name] for name in HeldTask.__dataclass_fields__]
    held = select(*columns).where(
        TASKS.c.id == task_id, TASKS.c.state.in_(states), TASKS.c.reviewer == holder
    )
    row = connection.execute(held.with_for_update()).mappings().one_or_none()
    if row is None:
        raise LabelRefused(_refusal(connection, task_id, holder))
    return HeldTask(**row)


def keep_answer(connection: Connection, task: HeldTask, answer: GivenAnswer, batch: str) -> None:
    """Store an answer to a task that its holder has."""
    connection.execute(
        insert(ANSWERS).values(
            task=task.id,
            reviewer=answer.reviewer,
            label=answer.label,
            source=answer.source,
            leased_at=task.leased_at,
            answered_at=answer.answered_at,
            batch=batch,
        )
    )


def verdict_on(answers: Sequence[GivenAnswer], wanted: int, gold: LabelName | None) -> Step:
    """The step to which its answers lead a task: those that count, less removed batches."""
    counting = [answer for answer in answers if answer.counts]
    if any(answer.source == ADJUDICATION for answer in counting):
        return "settle"
    if len(counting) < wanted:
        return "ask_another"
    one_voice = len({answer.label for answer in counting}) == 1
    return "settle" if one_voice or gold is not None else "contest"


def answers_to(connection: Connection, task_id: int) -> list[GivenAnswer]:
    """All answers that a task ever got."""
    given = (
        select(
            ANSWERS.c.reviewer,
            ANSWERS.c.label,
            ANSWERS.c.source,
            ANSWERS.c.answered_at,
            (BATCHES.c.state != "removed").label("counts"),
        )
        .join_from(ANSWERS, BATCHES)
        .where(ANSWERS.c.task == task_id)
    )
    return [GivenAnswer(**row) for row in connection.execute(given).mappings()]


def insert_if_new(
    connection: Connection, table: Table, known: Sequence[str]
) -> postgresql.Insert | sqlite.Insert:
    """An INSERT that leaves rows alone whose `known` columns are there already."""
    if connection.dialect.name == "postgresql":
        return postgresql.insert(table).on_conflict_do_nothing(index_elements=known)
    return sqlite.insert(table).on_conflict_do_nothing(index_elements=known)


def drawn_by_chance(connection: Connection, rows: Sequence[Mapping[str, object]]) -> None:
    """Tasks of these rows that no chance drew get the strategy and the chance of those that do."""
    for row in rows:
        if row["inclusion_probability"] is not None:
            chosen = (
                (TASKS.c.day == row["day"]) & (TASKS.c.event_id == row["event_id"])
                & TASKS.c.inclusion_probability.is_(None) & TASKS.c.gold.is_(None)
            )  # fmt: skip
            values = {name: row[name] for name in ("strategy", "inclusion_probability")}
            connection.execute(TASKS.update().where(chosen).values(values))


def tasks(connection: Connection, ids: Sequence[int]) -> list[Task]:
    """These tasks as their holder sees them, in turn."""
    columns = [TASKS.c[name] for name in Task.__dataclass_fields__]
    chosen = select(*columns).where(TASKS.c.id.in_(ids)).order_by(*TURN)
    rows = [dict(row) for row in connection.execute(chosen).mappings()]
    return [Task(**row | {"reasons": tuple(orjson.loads(row["reasons"]))}) for row in rows]


def _refusal(connection: Connection, task_id: int, holder: str) -> str:
    found = connection.execute(
        select(TASKS.c.state, TASKS.c.reviewer).where(TASKS.c.id == task_id)
    ).one_or_none()
    if found is None:
        return f"task {task_id} is not in the queue; lease one"
    if found.state in HELD and found.reviewer != holder:
        return f"task {task_id} is leased by another reviewer than {holder}; lease another"
    because = {
        "open": f"is not leased by {holder}: the lease ran out or was given back; lease again",
        "leased": "is not contested; submit a label for it",
        "labelled": "has its label already; nothing is left to do",
        "contested": f"is contested and not leased by {holder}; lease it with lease_contested",
        "adjudicating": "is contested; adjudicate it",
    }
    return f"task {task_id} {because[found.state]}"
