"""Gold questions: events with a known answer, mixed into a day's tasks to test their reviewers.

A reviewer cannot tell one: it stands at a random place, under the strategy and model version of a
task of the day, and its label never becomes a label of the day.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from pipelines.labelling.queue_records import KnownAnswer, NewTask
from pipelines.labelling.samplers.base import Draw


def gold_tasks(
    tasks: Sequence[NewTask],
    known: Sequence[KnownAnswer],
    share: float,
    rng: np.random.Generator,
) -> list[NewTask]:
    """The day's tasks in their order, with known answers among them: `share` of the whole.

    Half of them are spam, as far as known answers go, however rare it is: who lets spam through
    errs on nothing else. Fewer where fewer are known; an event that is a task of the day itself
    is never a question.
    """
    if not 0.0 <= share < 1.0:
        raise ValueError(f"share {share} is outside 0 to below 1; mend labelling.gold_share")
    asked = {task.draw.event_id for task in tasks}
    fit = [answer for answer in known if answer.event_id not in asked]
    n = min(len(fit), round(len(tasks) * share / (1 - share)))
    chosen = _by_turns([fit[row] for row in rng.permutation(len(fit)).tolist()])[:n]
    questions = [_disguised(one, tasks[int(rng.integers(len(tasks)))]) for one in chosen]
    places = set(rng.permutation(len(tasks) + n)[:n].tolist())
    plain, hidden = iter(tasks), iter(questions)
    return [next(hidden if place in places else plain) for place in range(len(tasks) + n)]


def _by_turns(known: Sequence[KnownAnswer]) -> list[KnownAnswer]:
    """One of each label in turn, as long as both last."""
    turns: Counter[str] = Counter()

    def turn(one: KnownAnswer) -> int:
        turns[one.label] += 1
        return turns[one.label]

    return sorted(known, key=turn)


def _disguised(answer: KnownAnswer, model: NewTask) -> NewTask:
    """The known answer as a task that looks drawn and scored like `model`, and weighs nothing."""
    return NewTask(
        draw=Draw(answer.event_id, model.draw.strategy),
        day=model.day,
        score=answer.score,
        model_version=model.model_version,
        reasons=answer.reasons,
        gold=answer.label,
        sensitive=answer.sensitive,
    )
