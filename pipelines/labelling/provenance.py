"""What the label queue knows, read without waiting for a writer."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import orjson
from sqlalchemy import Connection, Select, func, select

from data_contracts.labels import Label, LabelName
from pipelines.labelling.queue_records import Answer, KnownAnswer
from pipelines.labelling.queue_tables import (
    ADJUDICATION,
    ANSWERS,
    BATCHES,
    STATES,
    TASKS,
    State,
)


def progress(connection: Connection) -> dict[str, dict[State, int]]:
    """For each day that has tasks, in order: how many are in each state."""
    counted = select(TASKS.c.day, TASKS.c.state, func.count()).group_by(TASKS.c.day, TASKS.c.state)
    found: dict[str, dict[State, int]] = {}
    for day, state, count in connection.execute(counted.order_by(TASKS.c.day)):
        found.setdefault(day, dict.fromkeys(STATES, 0))[state] = count
    return found


def sampled(connection: Connection, day: str) -> dict[str, int]:
    """How many tasks each strategy has on a day, gold questions apart."""
    counted = (
        select(TASKS.c.strategy, func.count())
        .where(TASKS.c.day == day, TASKS.c.gold.is_(None))
        .group_by(TASKS.c.strategy)
        .order_by(TASKS.c.strategy)
    )
    return dict(connection.execute(counted).tuples().all())


def labels(connection: Connection, day: str) -> list[Label]:
    """The labels of a day that count, in order of event and reviewer."""
    wanted = _accepted().where(TASKS.c.day == day)
    found = [Label(**row) for row in connection.execute(wanted).mappings()]
    by_event = defaultdict(list)
    for label in found:
        by_event[label.event_id].append(label)
    settled = [label for group in by_event.values() if is_settled(group) for label in group]
    return sorted(settled, key=lambda label: (label.event_id, label.reviewer))


def is_settled(labels: Iterable[Label]) -> bool:
    """Whether the visible labels of one task speak with one voice or were adjudicated.

    They may not where the adjudicator's batch is in quarantine.
    """
    found = list(labels)
    adjudicated = any(label.source == ADJUDICATION for label in found)
    return adjudicated or len({label.label for label in found}) == 1


def answers(connection: Connection, day: str | None) -> list[Answer]:
    """Every answer (of a day), in order of task and reviewer."""
    everything = select(
        TASKS.c.id.label("task_id"),
        TASKS.c.event_id,
        TASKS.c.day,
        ANSWERS.c.reviewer,
        ANSWERS.c.label,
        ANSWERS.c.batch,
        ANSWERS.c.source,
        TASKS.c.gold,
        TASKS.c.score,
        TASKS.c.strategy,
        TASKS.c.inclusion_probability,
        ANSWERS.c.leased_at,
        ANSWERS.c.answered_at,
    ).join_from(ANSWERS, TASKS)
    if day is not None:
        everything = everything.where(TASKS.c.day == day)
    ordered = everything.order_by(ANSWERS.c.task, ANSWERS.c.reviewer)
    return [Answer(**row) for row in connection.execute(ordered).mappings()]


def known_answers(connection: Connection, before: str) -> list[KnownAnswer]:
    """Events of days before that one, adjudicated or labelled alike by two, in order of event.

    Where an event stands on several days, its latest day counts.
    """
    wanted = (
        _accepted()
        .add_columns(TASKS.c.id, TASKS.c.score, TASKS.c.reasons, TASKS.c.sensitive)
        .where(TASKS.c.day < before)
        .order_by(TASKS.c.day, ANSWERS.c.answered_at)
    )
    by_task = defaultdict(list)
    for row in connection.execute(wanted).mappings():
        by_task[row["id"]].append(row)
    known = {}
    for rows in by_task.values():
        label = _known([(row["source"], row["label"]) for row in rows])
        if label is not None:
            last = rows[-1]
            known[last["event_id"]] = KnownAnswer(
                event_id=last["event_id"],
                label=label,
                score=last["score"],
                reasons=tuple(orjson.loads(last["reasons"])),
                sensitive=last["sensitive"],
            )
    return [known[event_id] for event_id in sorted(known)]


def _known(given: list[tuple[str, LabelName]]) -> LabelName | None:
    """The label that an adjudicator gave, or two or more reviewers alike; None for less."""
    for source, label in given:
        if source == ADJUDICATION:
            return label
    one_voice = len({label for _, label in given}) == 1
    return given[0][1] if len(given) > 1 and one_voice else None


def _accepted() -> Select[Any]:
    """Answers of labelled tasks and accepted batches, without gold questions: a Label's fields."""
    return (
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
        .join(BATCHES)
        .where(TASKS.c.state == "labelled", TASKS.c.gold.is_(None), BATCHES.c.state == "accepted")
    )
