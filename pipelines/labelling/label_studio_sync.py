"""One sync of the label queue with a project in Label Studio: push, pull, and what became of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import Engine, select

from data_contracts.errors import LabelRefused
from data_contracts.labels import LabelName
from pipelines import lake
from pipelines.labelling.label_studio_client import Annotation, LabelStudio, ReviewTask
from pipelines.labelling.label_studio_task import label_of, task_form, task_key
from pipelines.labelling.queue import LabelQueue, Task
from pipelines.labelling.queue_tables import TASKS
from pipelines.labelling.task_moves import MAXIMUM_LEASES, tasks
from pipelines.state import reading

HOLDER = "label-studio"
SOURCE = "label-studio"
SHOWN = ["event_id", "text", "language", "occurred_at"]

Fate = Literal["skipped", "unclear", "known", "changed", "unused", "new"]


@dataclass(frozen=True)
class Pushed:
    """`without_event`: tasks whose event the lake does not have (any more); they are given back."""

    leased: int
    created: int
    without_event: int


@dataclass(frozen=True)
class Pulled:
    """What became of the annotations that are in Label Studio.

    `unused` were not taken, since no task waits for them now: someone else holds it, or it has
    all its answers. `unclear` choose no label. `changed` names those that say something else
    than the answer which they became: the answer stays. `released` are tasks whose reviewer
    skipped them: they are open to all again.
    """

    submitted: int
    released: int
    unused: int
    unclear: int
    changed: tuple[str, ...]


@dataclass(frozen=True)
class Sync:
    """One queue and one project. `pseudonym` makes a reviewer's name from an e-mail address.

    Only one sync of a project may run at a time: Label Studio has no unique key that would keep
    two from making the same task.
    """

    queue: LabelQueue
    state: Engine
    studio: LabelStudio
    project: int
    lake: Path
    lease_seconds: float
    pseudonym: Callable[[str], str]
    clock: Callable[[], datetime]

    def run(self) -> dict[str, Any]:
        """Push and pull, until a pull submits nothing: an answer may open its task for another.

        What was done is added up; what is so is as the last round left it.
        """
        rounds = [asdict(self.push()) | asdict(self.pull())]
        while rounds[-1]["submitted"]:
            rounds.append(asdict(self.push()) | asdict(self.pull()))
        done = {name: sum(one[name] for one in rounds) for name in ("created", "submitted")}
        return rounds[-1] | done

    def push(self) -> Pushed:
        """Hold every open task, and make those that Label Studio does not have yet."""
        leased = 0
        while found := self._lease():
            leased += len(found)
        there = {task.key for task in self.studio.tasks(self.project)}
        missing = [task for key, task in self.held().items() if key not in there]
        events = self._events(missing)
        known = [task for task in missing if task.event_id in events]
        for task in missing:
            if task.event_id not in events:
                self._release(task)
        forms = [task_form(task, events[task.event_id]) for task in known]
        return Pushed(
            leased=leased,
            created=self.studio.add(self.project, forms),
            without_event=len(missing) - len(known),
        )

    def pull(self) -> Pulled:
        """Submit new annotations, give back what was skipped, offer only what lacks an answer."""
        there = self.studio.tasks(self.project)
        users = self.studio.users() if any(task.annotations for task in there) else {}
        answers = {
            (task_key(answer.day, answer.event_id), answer.reviewer): answer.label
            for answer in self.queue.answers()
        }
        held = self.held()
        fates: Counter[Fate | Literal["released"]] = Counter()
        changed = []
        for task in there:
            for annotation in task.annotations:
                who = self.pseudonym(users.get(annotation.user, f"user {annotation.user}"))
                fate = self._take(task, annotation, who, held, answers)
                fates[fate] += 1
                if fate == "changed":
                    changed.append(f"{task.key} by {who}")
            fates["released"] += self._leave(task, held.get(task.key or ""))
        return Pulled(
            submitted=fates["new"],
            released=fates["released"],
            unused=fates["unused"],
            unclear=fates["unclear"],
            changed=tuple(changed),
        )

    def held(self) -> dict[str, Task]:
        """The tasks that Label Studio holds, in turn, by their name there."""
        mine = select(TASKS.c.id).where(TASKS.c.state == "leased", TASKS.c.reviewer == HOLDER)
        with reading(self.state) as connection:
            ids = list(connection.scalars(mine))
            batches = range(0, len(ids), MAXIMUM_LEASES)
            found = [t for at in batches for t in tasks(connection, ids[at : at + MAXIMUM_LEASES])]
        return {task_key(task.day, task.event_id): task for task in found}

    def _lease(self) -> list[Task]:
        return self.queue.lease(
            HOLDER,
            MAXIMUM_LEASES,
            self.clock(),
            lease_seconds=self.lease_seconds,
        )

    def _events(self, wanted: Sequence[Task]) -> dict[str, dict[str, Any]]:
        days = {task.day for task in wanted}
        rows = lake.read(self.lake, "events", days, SHOWN)
        ids = pa.array([task.event_id for task in wanted], type=pa.string())
        chosen = rows.filter(pc.is_in(rows["event_id"], value_set=ids))
        return {row["event_id"]: row for row in chosen.to_pylist()}

    def _take(
        self,
        task: ReviewTask,
        annotation: Annotation,
        who: str,
        held: dict[str, Task],
        answers: dict[tuple[str, str], LabelName],
    ) -> Fate:
        """Make the annotation an answer if it is a new one; what became of it."""
        label = label_of(annotation.result)
        fate = fate_of(annotation, label, answers.get((task.key or "", who)), task.key in held)
        if fate != "new" or task.key is None or label is None:
            return fate
        mine = held[task.key].id
        try:
            self.queue.submit(mine, HOLDER, label, self.clock(), source=SOURCE, reviewer=who)
        except LabelRefused:  # the lease was lost meanwhile, or this reviewer's batch was removed
            return "unused"
        answers[task.key, who] = label
        del held[task.key]
        return fate

    def _leave(self, task: ReviewTask, mine: Task | None) -> bool:
        """Offer a task to reviewers just as long as it is `mine`; whether it was given back.

        What one reviewer skipped is given back, and still offered to the others.
        """
        given = sum(not annotation.cancelled for annotation in task.annotations)
        skipped = given < len(task.annotations)
        if mine is None:
            if task.offered and task.key is not None and not skipped:
                self.studio.withdraw(task.id)
            return False
        if not task.offered or given >= task.wanted:
            self.studio.offer(task.id, given + 1)
        return skipped and self._release(mine)

    def _release(self, task: Task) -> bool:
        try:
            self.queue.release(task.id, HOLDER)
        except LabelRefused:  # its lease ran out, and somebody else has it
            return False
        return True


def fate_of(
    annotation: Annotation, label: LabelName | None, answered: LabelName | None, held: bool
) -> Fate:
    """What an annotation that chose `label` is to a queue that has `answered` from its reviewer.

    `held` says whether Label Studio holds the annotation's task.
    """
    if annotation.cancelled:
        return "skipped"
    if label is None:
        return "unclear"
    if answered is not None:
        return "known" if answered == label else "changed"
    return "new" if held else "unused"
