"""What a trial is scored by: average precision, the mean over datasets."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from training.logistic import Floats


def average_precision(scores: Floats, targets: NDArray[np.int64]) -> float:
    """Mean precision at each spam, ties taken together; 0 without spam.

    >>> average_precision(np.array([0.9, 0.8, 0.1]), np.array([1, 0, 1]))
    0.8333333333333333
    """
    order = np.argsort(-np.asarray(scores), kind="stable")
    ranked, hits = np.asarray(scores)[order], np.asarray(targets)[order]
    ends = np.flatnonzero(np.append(np.diff(ranked) != 0, True))
    found = np.cumsum(hits)[ends]
    if len(found) == 0 or found[-1] == 0:
        return 0.0
    gained = np.diff(np.append(0, found))
    return float((gained * found / (ends + 1)).sum() / found[-1])


def mean_average_precision(
    scores: Floats, targets: NDArray[np.int64], datasets: NDArray[np.str_]
) -> float:
    """The mean of `average_precision` over datasets that have both labels (else over all rows)."""
    parts = [datasets == name for name in np.unique(datasets)]
    mixed = [part for part in parts if 0 < targets[part].mean() < 1]
    if not mixed:
        return average_precision(scores, targets)
    return float(np.mean([average_precision(scores[part], targets[part]) for part in mixed]))
