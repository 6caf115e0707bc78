"""How far apart two histograms of one feature are: an effect size, whatever the number of rows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]
HALF = 0.5  # added to every bin (Krichevsky & Trofimov 1981), so that an empty one is no infinity


def shares(counts: Counts) -> Floats:
    """The share of each bin, never 0."""
    smoothed = counts + HALF
    return np.asarray(smoothed / smoothed.sum())


def population_stability_index(reference: Counts, current: Counts) -> float:
    """Sum of (q - p) log(q / p): Siddiqi 2006, "Credit Risk Scorecards"; 0.1 is small, 0.25 large.

    >>> population_stability_index(np.array([50, 50]), np.array([50, 50]))
    0.0
    """
    p, q = shares(reference), shares(current)
    return float(np.sum((q - p) * np.log(q / p)))


def jensen_shannon(reference: Counts, current: Counts) -> float:
    """The distance (square root, base 2), in [0, 1]: Endres & Schindelin 2003.

    >>> jensen_shannon(np.array([100, 0]), np.array([0, 100]))
    1.0
    """
    p, q = (counts / max(counts.sum(), 1) for counts in (reference, current))
    middle = (p + q) / 2
    return float(np.sqrt(max((_divergence(p, middle) + _divergence(q, middle)) / 2, 0.0)))


def wasserstein(reference: Counts, current: Counts, edges: Floats) -> float | None:
    """Between numbers, in standard deviations of the reference; None where it has no spread.

    `edges` float64[m]; counts int64[m + 2] as `NumberBins` has them. A bin's values stand at its
    middle and values beyond the range at its end, so the figure is a lower bound for them.
    What is missing takes no part.
    """
    middles = np.concatenate([edges[:1], (edges[1:] + edges[:-1]) / 2, edges[-1:]])
    if min(reference[1:].sum(), current[1:].sum()) == 0:
        return None
    p, q = (counts[1:] / counts[1:].sum() for counts in (reference, current))
    mean = float(p @ middles)
    deviation = float(np.sqrt(p @ (middles - mean) ** 2))
    if deviation == 0:
        return None
    apart = np.abs(np.cumsum(q - p))[:-1]
    return float(apart @ np.diff(middles)) / deviation


def _divergence(one: Floats, other: Floats) -> float:
    held = one > 0
    return float(np.sum(one[held] * np.log2(one[held] / other[held])))
