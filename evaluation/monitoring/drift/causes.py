"""What may have happened to a feature, told from its bins: for the person who is on call."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from evaluation.monitoring.drift.bins import CategoryBins, FeatureBins, NumberBins
from evaluation.monitoring.drift.histograms import Histogram

Floats = NDArray[np.float64]
LEVELS = (0.1, 0.25, 0.75, 0.9)  # quantiles that a change of unit moves alike
WORTH_NAMING = 0.02  # share of the events
GONE = 0.5  # of the events that had a value and have none now
LEAST_FACTOR = 5.0
MOST_UNEVEN = 0.08  # decades between the factors of the quantiles
NEAR_ZERO = 0.1  # of the largest quantile: too small to show a factor
UNITS = (7.0, 24.0, 60.0, 100.0, 1000.0, 1024.0, 3600.0, 86_400.0, 1e6, 1e9)
NEAR_A_UNIT = 0.02


def likely_cause(
    bins: FeatureBins, reference: Histogram, current: Histogram, factor: float | None
) -> str:
    """One clause. `factor` is `scale_factor` of numbers. Holds no category: users write those."""
    before, now = (one.rows / max(one.total, 1) for one in (reference, current))
    if before[0] == 1:
        return f"values where there were none: in {1 - now[0]:.1%} of the events"
    if now[0] - before[0] >= max(WORTH_NAMING, GONE * (1 - before[0])):
        return f"feature gone null: missing in {now[0]:.1%} of the events, {before[0]:.1%} before"
    if factor is not None:
        return f"unit change: values are about {_told(factor)} what they were"
    if now[0] - before[0] >= WORTH_NAMING:
        return f"more nulls: missing in {now[0]:.1%} of the events, {before[0]:.1%} before"
    if isinstance(bins, CategoryBins):
        return _of_categories(bins, before, now)
    return _of_numbers(bins, before, now)


def scale_factor(
    bins: NumberBins, reference: Histogram, current: Sequence[float | None]
) -> float | None:
    """By what all `current` quantiles, at LEVELS, are larger than the reference's; None: by none.

    >>> bins = NumberBins("milliseconds", (10.0, 20.0, 30.0, 40.0, 50.0))
    >>> day = np.array([0, 0, 5, 5, 5, 5, 0])
    >>> scale_factor(bins, Histogram(day, day, day), [0.014, 0.02, 0.04, 0.046])
    0.001
    """
    before = _quantiles(bins, reference)
    now = np.array([np.nan if one is None else one for one in current])
    largest = np.abs(before).max(initial=0.0)
    usable = np.abs(before) > max(NEAR_ZERO * largest, float(np.finfo(float).tiny))
    if usable.sum() < 2 or np.isnan(now).any() or not np.all(now[usable] * before[usable] > 0):
        return None
    decades = np.log10(now[usable] / before[usable])
    if abs(np.median(decades)) < np.log10(LEAST_FACTOR) or np.ptp(decades) > 2 * MOST_UNEVEN:
        return None
    factor = float(10 ** np.median(decades))
    return next((one for one in _units() if abs(np.log10(factor / one)) < NEAR_A_UNIT), factor)


def _units() -> list[float]:
    return [*UNITS, *(1 / one for one in UNITS)]


def _told(factor: float) -> str:
    """
    >>> _told(1000.0), _told(0.001), _told(12.345)
    ('×1000', '×1/1000', '×12.3')
    """
    if factor < 1 and round(1 / factor, 6).is_integer():
        return f"×1/{1 / factor:.0f}"
    return f"×{factor:.0f}" if factor.is_integer() else f"×{factor:.3g}"


def _quantiles(bins: NumberBins, histogram: Histogram) -> Floats:
    """At LEVELS, values spread evenly inside each bin; of no value where there is none."""
    inner = histogram.rows[2:-1].astype(float)
    if len(bins.edges) < 2 or inner.sum() == 0:
        return np.zeros(len(LEVELS))
    reached = np.concatenate([[0.0], np.cumsum(inner)]) / inner.sum()
    return np.asarray(np.interp(LEVELS, reached, bins.edges))


def _of_categories(bins: CategoryBins, before: Floats, now: Floats) -> str:
    if now[-1] - before[-1] >= WORTH_NAMING:
        return f"new category: {now[-1]:.1%} of the events have one, {before[-1]:.1%} before"
    return f"the mix of {len(bins.known)} known categories shifted"


def _of_numbers(bins: NumberBins, before: Floats, now: Floats) -> str:
    if bins.edges:
        for place, side in ((1, "below"), (-1, "above")):
            if now[place] - before[place] >= WORTH_NAMING:
                return f"out of range: {now[place]:.1%} of the events are {side} all values before"
    p, q = (one[1:] / max(one[1:].sum(), 1e-12) for one in (before, now))
    above = float(q @ (np.cumsum(p) - p / 2))
    way = "up" if above > 1 / 2 else "down"
    return f"values moved {way}: one of now exceeds one of before in {above:.0%} of the pairs"
