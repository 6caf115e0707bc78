"""Calibration by slice: what kind of content an event carries decides what its score means.

Each slice is drawn towards the fit over all, the more so the fewer labels it has (shrinkage;
James, Stein 1961).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from training.calibration import Calibration, fit_calibration
from training.logistic import Floats

FEWEST_A_LABEL = 30
TRUST_ROWS = 500.0  # a slice of so many rows counts half


@dataclass(frozen=True)
class SlicedCalibration:
    """`all_slices` stands for every slice without a fit of its own."""

    all_slices: Calibration
    slices: Mapping[str, Calibration] = field(default_factory=dict)

    def of(self, name: str) -> Calibration:
        return self.slices.get(name, self.all_slices)

    def probability(self, log_odds: Floats, names: NDArray[np.str_]) -> Floats:
        """float64[n] from log-odds float64[n] and the slice of each."""
        found = np.zeros(len(log_odds))
        for name in np.unique(names):
            found[names == name] = self.of(str(name)).probability(log_odds[names == name])
        return found


def fit_sliced_calibration(
    log_odds: Floats,
    targets: NDArray[np.int64],
    names: NDArray[np.str_],
    weights: Floats | None = None,
) -> SlicedCalibration:
    """Fit on scores of rows that the scoring model did not see; `names` str[n] are the slices."""
    whole = fit_calibration(log_odds, targets, weights)
    slices = {}
    for name in np.unique(names):
        rows = names == name
        if np.bincount(targets[rows], minlength=2).min() >= FEWEST_A_LABEL:
            own = fit_calibration(
                log_odds[rows], targets[rows], None if weights is None else weights[rows]
            )
            slices[str(name)] = _drawn(own, whole, float(rows.sum() / (rows.sum() + TRUST_ROWS)))
    return SlicedCalibration(whole, slices)


def _drawn(own: Calibration, whole: Calibration, trust: float) -> Calibration:
    return Calibration(
        trust * own.slope + (1 - trust) * whole.slope,
        trust * own.intercept + (1 - trust) * whole.intercept,
    )
