"""The meta-learner: one log-odds from those of all stages, fitted on out-of-fold scores.

Wolpert 1992, "Stacked Generalization" (Neural Networks 5).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.logistic import Floats, fit_logistic

INPUTS = ("ngrams", "prefilter", "content", "style", "likeness")
BOUND = 15.0
RIDGE = 1.0


@dataclass(frozen=True)
class MetaLearner:
    """A weight for each of INPUTS; inputs are cut at +-BOUND so that none can shout alone."""

    weights: tuple[float, ...]
    intercept: float

    def score(self, log_odds: Floats) -> Floats:
        """float64[n] from float64[n, len(INPUTS)]."""
        bounded = np.clip(log_odds, -BOUND, BOUND)
        return np.asarray(bounded @ np.array(self.weights) + self.intercept)


def fit_meta_learner(log_odds: Floats, targets: NDArray[np.int64]) -> MetaLearner:
    """Ridge logistic regression on out-of-fold log-odds, float64[n, len(INPUTS)]."""
    bounded = np.clip(log_odds, -BOUND, BOUND)
    weights, intercept = fit_logistic(bounded, targets.astype(np.float64), RIDGE)
    return MetaLearner(tuple(float(weight) for weight in weights), intercept)


def cross_fitted(
    log_odds: Floats,
    targets: NDArray[np.int64],
    folds: NDArray[np.int64],
    learnt: NDArray[np.bool_] | None = None,
) -> Floats:
    """float64[n]: each row scored by a meta-learner that did not see the row's fold.

    Of the rows only those `learnt` (bool[n]; None: all) are learnt from.
    """
    scores = np.zeros(len(targets))
    learnt = np.ones(len(targets), bool) if learnt is None else learnt
    for fold in np.unique(folds):
        held_out = folds == fold
        seen = ~held_out & learnt
        learner = fit_meta_learner(log_odds[seen], targets[seen])
        scores[held_out] = learner.score(log_odds[held_out])
    return scores
