"""Is a day unlike the days before it, more than they are unlike each other?

On many rows every difference is significant against sampling noise, because no two days are draws
from one distribution. So the noise is measured: how far each reference day lies from the others,
of which sampling explains a part and the days themselves the rest.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import f

from evaluation.monitoring.drift.distances import shares

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]
FEWEST_DAYS = 2  # whose spread can be measured at all


@dataclass(frozen=True)
class Significance:
    """`dispersion`: how much more reference days differ than samples of one distribution would."""

    statistic: float
    dispersion: float
    p_value: float


def significance(reference: Counts, current: Counts) -> Significance | None:
    """Of `current` int64[k] against the days `reference` int64[d, k]; None for too few days.

    The statistic is Pearson's chi-square over N, against what the reference days lead one to
    expect of an ordinary day: sampling noise and the variance between days, each at its own size.
    The bins of one day move together, so the degrees of freedom are not k - 1 but what the
    reference days' covariance has (Box 1954; Brunner, Dette & Munk 1997, "Box-type
    approximations"), in the plug-in form of Greenhouse & Geisser 1959. The noise is known from
    `days` - 1 comparisons, however many bins each has. Both err on the side of silence. Days are
    taken for exchangeable: a trend in the reference widens its noise.
    """
    reference = reference[reference.sum(axis=1) > 0]
    days = len(reference)
    if days < FEWEST_DAYS or current.sum() == 0:
        return None
    held = (reference.sum(axis=0) + current) > 0
    reference, current = reference[:, held], current[held]
    if reference.shape[1] < 2:
        return Significance(0.0, 1.0, 1.0)
    total = reference.sum(axis=0)
    noise = [_noise(day, total - day) for day in reference]
    apart = [_apart(day, total - day) for day in reference]
    between = max(float(np.mean(apart) - np.mean(noise)) / (1 + 1 / (days - 1)), 0.0)
    expected = between * (1 + 1 / days) + _noise(current, total)
    ratio = _apart(current, total) / expected
    freedom = _freedom(reference)
    p_value = float(f.sf(ratio, freedom, days - 1))
    return Significance(ratio, float(np.mean(apart) / np.mean(noise)), p_value)


def benjamini_hochberg(p_values: Floats) -> Floats:
    """Adjusted p-values: at or below q, the false among the found are at most q on average.

    Benjamini & Hochberg 1995. Not Bonferroni: a reader works through a list of drifted features,
    so what matters is how many on it are false, and where nothing drifts the two bound the same
    chance of any finding. It holds for independent and positively dependent features
    (Benjamini & Yekutieli 2001), which features of one day are.

    >>> benjamini_hochberg(np.array([0.01, 0.04, 0.03])).round(3).tolist()
    [0.03, 0.04, 0.04]
    """
    order = np.argsort(p_values)[::-1]
    ranks = np.arange(len(p_values), 0, -1)
    adjusted = np.empty(len(p_values))
    adjusted[order] = np.minimum.accumulate(p_values[order] * len(p_values) / ranks)
    return np.minimum(adjusted, 1.0)


def _apart(day: Counts, others: Counts) -> float:
    p = shares(others)
    return float(np.sum((day / day.sum() - p) ** 2 / p))


def _noise(day: Counts, others: Counts) -> float:
    """What `_apart` is on average for two samples of one distribution."""
    return float((len(day) - 1) * (1 / day.sum() + 1 / others.sum()))


def _freedom(reference: Counts) -> float:
    """How many directions the days vary in: trace(C)^2 / trace(C^2) of their covariance."""
    each = reference / reference.sum(axis=1, keepdims=True)
    moved = (each - each.mean(axis=0)) / np.sqrt(shares(reference.sum(axis=0)))
    gram = moved @ moved.T
    squared = float(np.sum(gram**2))
    return 1.0 if squared == 0 else max(float(np.trace(gram)) ** 2 / squared, 1.0)
