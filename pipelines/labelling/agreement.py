"""How far reviewers agree beyond chance, on the tasks that several of them answered.

Cohen's kappa (Educational and Psychological Measurement 20, 1960) for a pair, Krippendorff's alpha
(nominal; Content Analysis, 1980) for all of them, with intervals by resampling tasks. Gold
questions are left out: agreement there is agreement with the answer key.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from pipelines.labelling.queue_records import Answer

MINIMUM_TASKS = 20
RESAMPLES = 200
CLASSES = (0.0, 1.0)  # ham, spam
UNANSWERED = np.nan

Ratings = NDArray[np.float64]


@dataclass(frozen=True)
class Agreement:
    """A coefficient (1 is perfect, 0 is chance) on so many tasks; None: not enough evidence."""

    value: float | None
    low: float | None
    high: float | None
    tasks: int


def ratings(answers: Sequence[Answer]) -> tuple[Ratings, list[str]]:
    """float64[reviewer, task] of the tasks with two answers or more, and the reviewers' names.

    1 is spam, 0 ham, NaN no answer.
    """
    by_task: defaultdict[int, dict[str, float]] = defaultdict(dict)
    for answer in answers:
        if answer.gold is None:
            by_task[answer.task_id][answer.reviewer] = float(answer.label == "spam")
    shared = [given for _, given in sorted(by_task.items()) if len(given) > 1]
    reviewers = sorted({reviewer for given in shared for reviewer in given})
    table = [[given.get(reviewer, UNANSWERED) for given in shared] for reviewer in reviewers]
    return np.array(table, np.float64).reshape(len(reviewers), len(shared)), reviewers


def krippendorff_alpha(answers: Sequence[Answer], rng: np.random.Generator) -> Agreement:
    """Agreement of all reviewers, whoever answered what."""
    return _with_interval(ratings(answers)[0], _alpha, rng)


def cohen_kappas(
    answers: Sequence[Answer], rng: np.random.Generator
) -> Mapping[tuple[str, str], Agreement]:
    """Agreement of each two reviewers that share a task."""
    table, reviewers = ratings(answers)
    found = {}
    for first, second in combinations(range(len(reviewers)), 2):
        pair = table[[first, second]]
        both = pair[:, ~np.isnan(pair).any(axis=0)]
        if both.shape[1]:
            found[reviewers[first], reviewers[second]] = _with_interval(both, _kappa, rng)
    return found


def _with_interval(
    table: Ratings, coefficient: Callable[[Ratings], float], rng: np.random.Generator
) -> Agreement:
    """The coefficient with its 95 % percentile interval over resampled tasks.

    Nothing for fewer than MINIMUM_TASKS tasks, or where all answers are the same: chance alone
    would explain them. Resamples of one class only are left out for the same reason.
    """
    tasks = table.shape[1]
    if tasks < MINIMUM_TASKS or not _varies(table):
        return Agreement(None, None, None, tasks)
    samples = (table[:, rng.integers(tasks, size=tasks)] for _ in range(RESAMPLES))
    values = [coefficient(sample) for sample in samples if _varies(sample)]
    low, high = np.quantile(values, [0.025, 0.975])
    return Agreement(coefficient(table), float(low), float(high), tasks)


def _varies(table: Ratings) -> bool:
    return bool(np.nanmin(table) < np.nanmax(table))


def _alpha(table: Ratings) -> float:
    import krippendorff

    # counts by task are all that alpha needs, and quicker than the table of reviewers
    counts = np.stack([(table == value).sum(axis=0) for value in CLASSES], axis=1)
    return float(krippendorff.alpha(value_counts=counts, level_of_measurement="nominal"))


def _kappa(pair: Ratings) -> float:
    from sklearn.metrics import cohen_kappa_score

    return float(cohen_kappa_score(pair[0], pair[1], labels=CLASSES))
