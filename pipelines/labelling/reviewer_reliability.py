"""How far each reviewer can be believed: by what the others said, and by gold questions.

Dawid and Skene's model (Applied Statistics 28, 1979) estimates from overlapping answers alone how
often each reviewer calls spam spam and ham ham. Answers to gold questions, whose truth is known,
give a plain share with an exact interval beside it. crowd-kit and scipy are imported on use.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pipelines.labelling.queue_records import Answer

ITERATIONS = 100
MINIMUM_SHARED = 20  # tasks with two or more answers, for one reviewer to be judged by the others


@dataclass(frozen=True)
class Interval:
    """A share of `of`, with its exact (Clopper-Pearson) interval."""

    value: float
    low: float
    high: float
    of: int


@dataclass(frozen=True)
class Reliability:
    """What is known about one reviewer; None means not enough evidence.

    `sensitivity` is the estimated chance to call spam spam, `specificity` to call ham ham, from
    `shared` tasks that others answered as well. `gold` is the share of gold questions answered
    rightly.
    """

    reviewer: str
    answers: int
    shared: int
    sensitivity: float | None
    specificity: float | None
    gold: Interval | None


def reliability(answers: Sequence[Answer], confidence: float = 0.95) -> list[Reliability]:
    """Each reviewer of these answers, in order of name.

    The two shares are not given where fewer than MINIMUM_SHARED tasks were shared, nor where no
    shared task is probably of that class.
    """
    by_task: defaultdict[int, list[Answer]] = defaultdict(list)
    for answer in answers:
        if answer.gold is None:
            by_task[answer.task_id].append(answer)
    overlapping = [given for given in by_task.values() if len(given) > 1]
    shared = Counter(answer.reviewer for given in overlapping for answer in given)
    rates = dawid_skene([answer for given in overlapping for answer in given])
    return [
        Reliability(
            reviewer=reviewer,
            answers=count,
            shared=shared[reviewer],
            sensitivity=rates[reviewer][0] if shared[reviewer] >= MINIMUM_SHARED else None,
            specificity=rates[reviewer][1] if shared[reviewer] >= MINIMUM_SHARED else None,
            gold=gold_accuracy([one for one in answers if one.reviewer == reviewer], confidence),
        )
        for reviewer, count in sorted(Counter(answer.reviewer for answer in answers).items())
    ]


def dawid_skene(answers: Sequence[Answer]) -> dict[str, tuple[float | None, float | None]]:
    """Reviewer to estimated (sensitivity, specificity), by expectation maximisation.

    None where no task is probably of that class.
    """
    if not answers:
        return {}
    import pandas as pd
    from crowdkit.aggregation import DawidSkene

    columns = ["task", "worker", "label"]
    rows = [(answer.task_id, answer.reviewer, answer.label) for answer in answers]
    fitted: Any = DawidSkene(n_iter=ITERATIONS).fit(pd.DataFrame(rows, columns=columns))
    classes = set(fitted.labels_)  # what the model decided for the tasks
    chances = fitted.errors_.to_dict("index")  # (worker, said) to {truth: chance to say so}
    return {
        reviewer: (
            _chance(chances, reviewer, "spam", classes),
            _chance(chances, reviewer, "ham", classes),
        )
        for reviewer in {answer.reviewer for answer in answers}
    }


def gold_accuracy(answers: Sequence[Answer], confidence: float = 0.95) -> Interval | None:
    """The share of gold questions answered rightly; None where none was asked."""
    right = [answer.label == answer.gold for answer in answers if answer.gold is not None]
    return exact_interval(sum(right), len(right), confidence) if right else None


def exact_interval(hits: int, of: int, confidence: float) -> Interval:
    """Clopper and Pearson (Biometrika 26, 1934).

    >>> interval = exact_interval(10, 10, 0.95)
    >>> interval.value, round(interval.low, 3), interval.high
    (1.0, 0.692, 1.0)
    """
    from scipy.stats import binomtest

    found = binomtest(hits, of).proportion_ci(confidence, method="exact")
    return Interval(hits / of, float(found.low), float(found.high), of)


def _chance(
    chances: dict[tuple[str, str], dict[str, float]], reviewer: str, label: str, classes: set[str]
) -> float | None:
    """The chance that the reviewer says `label` where it is true."""
    if label not in classes:
        return None
    return round(float(chances.get((reviewer, label), {}).get(label, 0.0)), 6)
