"""Batches of answers: accepted, put in quarantine while doubted, or removed for good.

Quarantine hides answers from the labels and moves no task. Removal takes them out of the count:
tasks that are left without enough answers are asked again, of other people. The answers of a
removed batch stay as provenance.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, func, select, update

from data_contracts.errors import BadInput, LabelRefused
from pipelines.labelling.queue_records import Batch
from pipelines.labelling.queue_tables import (
    ANSWERS,
    BATCH_STATES,
    BATCH_TRANSITIONS,
    BATCHES,
    TASKS,
    BatchState,
    State,
    Step,
)
from pipelines.labelling.task_moves import (
    NOBODY,
    answers_to,
    insert_if_new,
    move,
    verdict_on,
)

_TAKEN_AWAY: dict[tuple[State, Step], Step] = {
    ("labelled", "ask_another"): "reopen",
    ("labelled", "contest"): "contest",
    ("contested", "ask_another"): "reopen",
    ("adjudicating", "ask_another"): "reopen",
}


def join_batch(connection: Connection, batch: str, by: str, now: datetime) -> None:
    """Make the batch where it is missing, and keep it from being judged until we are done.

    Raises LabelRefused where it was removed: an answer in it would never count.
    """
    state = select(BATCHES.c.state).where(BATCHES.c.batch == batch).with_for_update(read=True)
    found = connection.scalar(state)
    if found is None:
        new = {"batch": batch, "state": "accepted", "reason": "", "by": by, "at": now}
        connection.execute(insert_if_new(connection, BATCHES, ["batch"]).values(**new))
        found = connection.scalar(state)  # somebody else may have made it, and had it removed
    if found == "removed":
        raise LabelRefused(f"batch {batch} was removed; its answers do not count; name another")


def set_state(
    connection: Connection, batch: str, state: BatchState, reason: str, by: str, now: datetime
) -> int:
    """See `LabelQueue.set_batch_state`."""
    if state not in BATCH_STATES:
        raise ValueError(f"batch state {state!r} is none of {', '.join(BATCH_STATES)}")
    if not by:
        raise ValueError("by is empty; say who judged the batch")
    chosen = select(BATCHES.c.state).where(BATCHES.c.batch == batch)
    before: BatchState | None = connection.scalar(chosen.with_for_update())
    if before is None:
        raise BadInput(f"batch {batch!r} is not in the label queue; see LabelQueue.batches()")
    if before == state:
        return 0
    if state not in BATCH_TRANSITIONS[before]:
        raise BadInput(f"batch {batch} is {before} and cannot become {state}; label anew instead")
    connection.execute(
        update(BATCHES)
        .where(BATCHES.c.batch == batch, BATCHES.c.state == before)
        .values(state=state, reason=reason, by=by, at=now)
    )
    if state == "removed":
        _take_away(connection, batch)
    counted = select(func.count()).select_from(ANSWERS).where(ANSWERS.c.batch == batch)
    return int(connection.scalar(counted) or 0)


def batches(connection: Connection) -> list[Batch]:
    """Every batch that has an answer, in order of its name."""
    counted = (
        select(BATCHES, func.count().label("answers"))
        .join_from(BATCHES, ANSWERS)
        .group_by(BATCHES.c.batch)
        .order_by(BATCHES.c.batch)
    )
    return [Batch(**row) for row in connection.execute(counted).mappings()]


def _take_away(connection: Connection, batch: str) -> None:
    """Move the tasks that now lack an answer, or the word that settled them."""
    answered = select(ANSWERS.c.task).where(ANSWERS.c.batch == batch)
    chosen = select(TASKS.c.id, TASKS.c.state, TASKS.c.answers_wanted, TASKS.c.gold)
    locked = chosen.where(TASKS.c.id.in_(answered)).order_by(TASKS.c.id).with_for_update()
    for task_id, state, wanted, gold in connection.execute(locked).tuples().all():
        verdict = verdict_on(answers_to(connection, task_id), wanted, gold)
        step = _TAKEN_AWAY.get((state, verdict))
        if step is not None:
            move(connection, [task_id], state, step, **NOBODY)
