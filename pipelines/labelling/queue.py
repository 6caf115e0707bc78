"""The label queue: who looks at which event, until when, and what they said.

Tasks move by the table TRANSITIONS and no other way. Every move is one transaction whose UPDATE
is guarded by the state it expects, so concurrent reviewers, crashes and repeated calls neither
lose a label nor count one twice. The clock comes in as `now`: a lease that it ends early only
sends the task to someone else, and only the holder of the lease can label.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import orjson
from sqlalchemy import Engine, select

from data_contracts.errors import LabelRefused
from data_contracts.labels import Label, LabelName, parse_label
from pipelines.labelling import exposure, label_batches, provenance, task_moves
from pipelines.labelling.exposure import ExposureLimit
from pipelines.labelling.queue_records import Answer, Batch, KnownAnswer, NewTask, Task
from pipelines.labelling.queue_tables import (
    ADJUDICATION,
    METADATA,
    TASKS,
    BatchState,
    State,
)
from pipelines.labelling.task_moves import MAXIMUM_LEASES, NOBODY, GivenAnswer
from pipelines.state import create_tables, one_writer_at_a_time, open_state, reading

__all__ = [
    "MAXIMUM_LEASES",
    "METADATA",
    "TASKS",
    "Answer",
    "Batch",
    "ExposureLimit",
    "KnownAnswer",
    "LabelQueue",
    "NewTask",
    "Task",
    "open_label_queue",
]

LIMIT = ExposureLimit()


def open_label_queue(url: str, lease_seconds: float, limit: ExposureLimit = LIMIT) -> LabelQueue:
    """The queue in the state database at `url`; its tables are created where they are missing."""
    engine = open_state(url)
    create_tables(engine, METADATA)
    return LabelQueue(engine, lease_seconds, limit)


class LabelQueue:
    """Tasks of all days in one state database whose tables exist (`open_label_queue`)."""

    def __init__(self, engine: Engine, lease_seconds: float, limit: ExposureLimit = LIMIT) -> None:
        self._engine = engine
        self._lease = _duration(lease_seconds)
        self._limit = limit

    def enqueue(self, tasks: Sequence[NewTask], now: datetime) -> int:
        """Add the tasks, in their order, in one transaction; how many were new.

        An event that has a task on that day keeps it as it is, but for one thing: where no chance
        drew it before and one does now, the task is the drawing arm's, so that an event that was
        looked at early is not missing from the audit.
        """
        if not tasks:
            return 0
        rows = [_row(task, rank, now) for rank, task in enumerate(tasks)]
        with self._engine.begin() as connection:
            one_writer_at_a_time(connection, "label-enqueue")  # else two orders could deadlock
            statement = task_moves.insert_if_new(connection, TASKS, ["event_id", "day"])
            new = len(connection.execute(statement.returning(TASKS.c.id), rows).all())
            if new < len(rows):
                task_moves.drawn_by_chance(connection, rows)
            return new

    def lease(
        self,
        reviewer: str,
        n: int,
        now: datetime,
        *,
        day: str | None = None,
        lease_seconds: float | None = None,
        capped: bool = True,
    ) -> list[Task]:
        """Up to `n` open tasks (of one day), now held by `reviewer`; no one else gets them.

        Nobody gets a task that they answered, nor sensitive ones beyond the exposure limit.
        `capped=False` is for a holder who looks at nothing and shares the tasks out.
        """
        return self._lease_from("open", reviewer, n, now, day, lease_seconds, capped)

    def lease_contested(self, adjudicator: str, n: int, now: datetime) -> list[Task]:
        """Up to `n` tasks whose reviewers disagree, for someone who was not among them."""
        return self._lease_from("contested", adjudicator, n, now, None, None, capped=True)

    def submit(
        self,
        task_id: int,
        holder: str,
        label: LabelName,
        now: datetime,
        *,
        source: str = "reviewer",
        reviewer: str | None = None,
        batch: str | None = None,
    ) -> None:
        """Keep the label of the holder, or of the `reviewer` on whose behalf they hold the task.

        Raises LabelRefused unless the holder has the task, where the reviewer answered it
        before, and where the batch was removed. A label that comes late still counts while
        nobody else was given the task. `batch` is by default `{day}/{reviewer}`.
        """
        if source == ADJUDICATION:
            raise ValueError(f"source {source!r} is kept for adjudicate(); name another")
        self._answer(task_id, holder, label, now, source, reviewer or holder, batch)

    def adjudicate(self, task_id: int, adjudicator: str, label: LabelName, now: datetime) -> None:
        """Settle a contested task. Raises LabelRefused unless the adjudicator holds it.

        The label is dated after every answer that it overrules, whatever the clock says.
        """
        self._answer(task_id, adjudicator, label, now, ADJUDICATION, adjudicator, None)

    def release(self, task_id: int, holder: str) -> None:
        """Give a task back unanswered. Raises LabelRefused unless the holder has it."""
        with self._engine.begin() as connection:
            task = task_moves.held_task(connection, task_id, holder)
            task_moves.move(connection, [task_id], task.state, "release", **NOBODY)

    def expire(self, now: datetime) -> int:
        """Take back up to MAXIMUM_LEASES tasks whose lease ran out; how many. Leasing does too."""
        with self._engine.begin() as connection:
            return task_moves.expire(connection, now)

    def set_batch_state(
        self, batch: str, state: BatchState, reason: str, by: str, now: datetime
    ) -> int:
        """Accept, quarantine or remove a batch for that reason; how many answers it has.

        0 where it is in that state already. Removal is final, and tasks that it leaves without
        enough answers are open again. Raises BadInput for a batch that does not exist or was
        removed.
        """
        with self._engine.begin() as connection:
            return label_batches.set_state(connection, batch, state, reason, by, now)

    def batches(self) -> list[Batch]:
        """Every batch that has answers, in order of its name."""
        with reading(self._engine) as connection:
            return label_batches.batches(connection)

    def progress(self) -> dict[str, dict[State, int]]:
        """For each day that has tasks, in order: how many are in each state."""
        with reading(self._engine) as connection:
            return provenance.progress(connection)

    def sampled(self, day: str) -> dict[str, int]:
        """How many tasks each strategy has on a day, gold questions apart."""
        with reading(self._engine) as connection:
            return provenance.sampled(connection, day)

    def events(self, day: str) -> set[str]:
        """The events that have a task on a day."""
        with reading(self._engine) as connection:
            return set(connection.scalars(select(TASKS.c.event_id).where(TASKS.c.day == day)))

    def labels(self, day: str) -> list[Label]:
        """The finished labels of a day, in order of event and reviewer.

        One for each reviewer of an event; where they disagree the adjudicator's is the latest.
        Gold questions and batches that are not accepted are left out.
        """
        with reading(self._engine) as connection:
            return provenance.labels(connection, day)

    def answers(self, day: str | None = None) -> list[Answer]:
        """Everything that was ever answered (on a day's tasks), in order of task and reviewer."""
        with reading(self._engine) as connection:
            return provenance.answers(connection, day)

    def known_answers(self, before: str) -> list[KnownAnswer]:
        """What may serve as a gold question on that day: adjudicated or doubly agreed events."""
        with reading(self._engine) as connection:
            return provenance.known_answers(connection, before)

    def _lease_from(
        self,
        state: State,
        reviewer: str,
        n: int,
        now: datetime,
        day: str | None,
        lease_seconds: float | None,
        capped: bool,
    ) -> list[Task]:
        if not reviewer:
            raise ValueError("reviewer is empty; a label must have someone who gave it")
        if not 1 <= n <= MAXIMUM_LEASES:
            raise ValueError(f"n {n} is outside 1 to {MAXIMUM_LEASES}; lease in smaller batches")
        lease = self._lease if lease_seconds is None else _duration(lease_seconds)
        held = {"reviewer": reviewer, "leased_at": now, "lease_expires_at": now + lease}
        where = [task_moves.unanswered_by(reviewer)]
        where += [] if day is None else [TASKS.c.day == day]
        with self._engine.begin() as connection:
            task_moves.lock_reviewer(connection, reviewer)
            task_moves.expire(connection, now)
            if capped:
                left = exposure.remaining(connection, reviewer, now, self._limit)
                if left < n:
                    where += [task_moves.at_most_sensitive(state, where, left)]
            ids = task_moves.free(connection, state, where, n)
            task_moves.move(connection, ids, state, "lease", **held)
            tasks = task_moves.tasks(connection, ids)
            if capped:
                sensitive = [task.id for task in tasks if task.sensitive]
                exposure.record(connection, reviewer, sensitive, now)
            return tasks

    def _answer(
        self,
        task_id: int,
        holder: str,
        label: LabelName,
        now: datetime,
        source: str,
        reviewer: str,
        batch: str | None,
    ) -> None:
        checked = parse_label(label)
        state: State = "adjudicating" if source == ADJUDICATION else "leased"
        with self._engine.begin() as connection:
            task_moves.lock_reviewer(connection, reviewer)
            day = connection.scalar(select(TASKS.c.day).where(TASKS.c.id == task_id))
            batch = batch or f"{day}/{reviewer}"
            label_batches.join_batch(connection, batch, reviewer, now)
            task = task_moves.held_task(connection, task_id, holder, [state])
            given = task_moves.answers_to(connection, task_id)
            if reviewer in {earlier.reviewer for earlier in given}:
                raise LabelRefused(f"task {task_id} was answered by {reviewer}; lease another")
            if source == ADJUDICATION:
                now = max(now, max(one.answered_at for one in given) + timedelta(microseconds=1))
            answer = GivenAnswer(reviewer, checked, source, now)
            task_moves.keep_answer(connection, task, answer, batch)
            if reviewer != holder and task.sensitive:
                exposure.record(connection, reviewer, [task_id], now)
            step = task_moves.verdict_on([*given, answer], task.answers_wanted, task.gold)
            task_moves.move(connection, [task_id], state, step, **NOBODY)


def _duration(lease_seconds: float) -> timedelta:
    if lease_seconds <= 0:
        raise ValueError(f"lease_seconds {lease_seconds} must be above 0")
    return timedelta(seconds=lease_seconds)


def _row(task: NewTask, rank: int, now: datetime) -> dict[str, Any]:
    return {
        "event_id": task.draw.event_id,
        "day": task.day,
        "rank": rank,
        "strategy": task.draw.strategy,
        "inclusion_probability": task.draw.inclusion_probability,
        "score": task.score,
        "model_version": task.model_version,
        "reasons": orjson.dumps(task.reasons).decode(),
        "answers_wanted": task.answers_wanted,
        "gold": task.gold,
        "sensitive": task.sensitive,
        "sampled_at": now,
        "state": "open",
    }
