"""From log-odds to a probability that means what it says.

Platt 1999, "Probabilistic Outputs for Support Vector Machines", with his smoothed targets.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.footing import effective_count
from training.logistic import Floats, fit_logistic, sigmoid, sigmoid_of

SMALLEST, LARGEST = 1e-6, 1 - 1e-6


@dataclass(frozen=True)
class Calibration:
    """probability = sigmoid(slope * log_odds + intercept); `slope` is positive."""

    slope: float = 1.0
    intercept: float = 0.0

    def __post_init__(self) -> None:
        if self.slope <= 0:
            raise ValueError(f"slope {self.slope} would turn the order of scores; it must be > 0")

    def probability(self, log_odds: Floats) -> Floats:
        """float64[n] within [1e-6, 1 - 1e-6], in the order of `log_odds`."""
        fitted = sigmoid(self.slope * np.asarray(log_odds) + self.intercept)
        return np.asarray(np.clip(fitted, SMALLEST, LARGEST))

    def probability_of(self, one: float) -> float:
        """`probability` of one event's log-odds, for a tenth of the time."""
        return min(max(sigmoid_of(self.slope * one + self.intercept), SMALLEST), LARGEST)


def fit_calibration(
    log_odds: Floats, targets: NDArray[np.int64], weights: Floats | None = None
) -> Calibration:
    """Fit on scores of rows that the scoring model did not see. Needs both labels.

    `weights` float64[n] (None: all 1) say how many rows a row stands for, 0 for none.
    """
    weights = np.ones(len(targets)) if weights is None else weights
    spam, ham = (effective_count(weights[targets == label]) for label in (1, 0))
    if spam == 0 or ham == 0:
        raise ValueError(f"calibration needs both labels, not {spam:.0f} spam and {ham:.0f} ham")
    smoothed = np.where(targets == 1, (spam + 1) / (spam + 2), 1 / (ham + 2))
    slopes, intercept = fit_logistic(
        np.asarray(log_odds)[:, None], smoothed, 1e-6, weights * (len(weights) / weights.sum())
    )
    return Calibration(max(float(slopes[0]), 1e-3), intercept)


def calibration_error(probabilities: Floats, targets: NDArray[np.int64], bins: int = 10) -> float:
    """Expected calibration error: mean |share of spam - mean probability| over equal bins.

    >>> float(calibration_error(np.array([0.2, 0.2, 0.8, 0.8]), np.array([0, 0, 1, 1])))
    0.2
    """
    bin_of = np.minimum((np.asarray(probabilities) * bins).astype(int), bins - 1)
    gaps = np.bincount(bin_of, probabilities, bins) - np.bincount(bin_of, targets, bins)
    return round(float(np.abs(gaps).sum()) / max(len(targets), 1), 12)
