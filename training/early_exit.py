"""When the prefilter alone may settle an event: clear ham, on known ground.

The bound is the highest at which, on out-of-fold scores, no spam that the whole ensemble would
catch is let through, and no dataset's average precision falls by more than TOLERANCE.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.logistic import Floats
from training.objective import average_precision

TOLERANCE = 0.0002
SHARES = (0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1)
NEVER = -1e9


@dataclass(frozen=True)
class EarlyExit:
    """`clear_ham`: prefilter log-odds at or below which the specialist is skipped."""

    clear_ham: float = NEVER

    def settles(self, prefilter_log_odds: float, unlike_training: bool) -> bool:
        return prefilter_log_odds <= self.clear_ham and not unlike_training


def fit_early_exit(
    prefilter_log_odds: Floats,
    early_scores: Floats,
    full_scores: Floats,
    is_caught: NDArray[np.bool_],
    targets: NDArray[np.int64],
    datasets: NDArray[np.str_],
) -> EarlyExit:
    """`early_scores` are what an event would get if settled, `full_scores` if not: float64[n]."""
    before = _precision_by_dataset(full_scores, targets, datasets)
    for share in SHARES:
        bound = float(np.quantile(prefilter_log_odds, share))
        settled = prefilter_log_odds <= bound
        if (settled & is_caught & (targets == 1)).any():
            continue
        after = _precision_by_dataset(
            np.where(settled, early_scores, full_scores), targets, datasets
        )
        if all(after[name] >= before[name] - TOLERANCE for name in before):
            return EarlyExit(bound)
    return EarlyExit()


def _precision_by_dataset(
    scores: Floats, targets: NDArray[np.int64], datasets: NDArray[np.str_]
) -> dict[str, float]:
    names = [name for name in np.unique(datasets) if 0 < targets[datasets == name].mean() < 1]
    return {
        str(name): average_precision(scores[datasets == name], targets[datasets == name])
        for name in names
    }
