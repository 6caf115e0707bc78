"""What a feature's drift does to the model, in points of its positive rate.

Where the reference's verdicts act on 2 % of the events of one bin and on 40 % of another, a move of
events between them moves the positive rate. That is an association and no proof: features that
move together share one effect. It costs nothing beyond the histograms.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from operator import add

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2, norm, t

from evaluation.metrics import CONFIDENCE
from evaluation.monitoring.drift.histograms import Counts, Histogram

Floats = NDArray[np.float64]
SURELY_DEPENDS = 1e-3  # p-value below which verdicts depend on the feature at all
REACH = 3.0  # standard deviations between bins; what a bin without reference verdicts may reach
BOTH_SIDES = (1 + CONFIDENCE) / 2


@dataclass(frozen=True)
class Effect:
    """Shares of all events, in [-1, 1].

    `positive_rate`: the change that the moved bins explain, signed. `at_stake`: verdicts gained
    plus verdicts lost, which do not cancel; `surely` is what of it exceeds an ordinary day's.
    """

    positive_rate: float
    at_stake: float
    surely: float


def effect(reference: list[Histogram], current: Histogram) -> Effect | None:
    """Of one feature against its reference days; None where the reference has no verdicts."""
    whole = total(reference)
    if whole.judged.sum() == 0 or current.total == 0:
        return None
    deviation, variance = deviations(whole, current)
    moved = _moved(current.rows, whole.rows)
    at_stake = float(np.abs(moved) @ np.abs(deviation))
    return Effect(
        positive_rate=float(moved @ deviation),
        at_stake=at_stake,
        surely=max(
            at_stake - _ordinary(reference, whole, deviation) - _doubt(moved, variance), 0.0
        ),
    )


def deviations(whole: Histogram, current: Histogram) -> tuple[Floats, Floats]:
    """How far each bin's positive rate lies from the mean, and that figure's variance: float64[k].

    Shrunk towards the mean by the bin's number of verdicts (empirical Bayes: Efron & Morris 1975),
    wholly where verdicts do not surely depend on the feature. A bin without reference verdicts is
    credited with what the model says of it today, as far as the feature's own bins reach: a
    feature that the model ignores is not blamed for what others do.
    """
    mean = whole.positives.sum() / whole.judged.sum()
    seen = whole.judged > 0
    judged = np.maximum(whole.judged, 1)
    raw = np.where(seen, whole.positives / judged - mean, 0.0)
    noise = mean * (1 - mean) / judged
    spread = _spread(raw[seen], noise[seen], whole.judged[seen] / whole.judged.sum())
    today = current.positives / np.maximum(current.judged, 1) - mean
    today_noise = mean * (1 - mean) / np.maximum(current.judged, 1)
    limit = REACH * np.sqrt(spread)
    raw = np.where(seen, raw, np.where(current.judged > 0, np.clip(today, -limit, limit), 0.0))
    noise = np.where(seen, noise, today_noise)
    if spread == 0:
        return np.zeros(len(raw)), np.zeros(len(raw))
    weight = spread / (spread + noise)
    return raw * weight, noise * weight


def _spread(raw: Floats, noise: Floats, weight: Floats) -> float:
    """The variance between bins beyond sampling noise; 0 where it may be none."""
    if len(raw) < 2 or not noise.any():
        return 0.0
    if chi2.sf(float(np.sum(raw**2 / noise)), len(raw) - 1) > SURELY_DEPENDS:
        return 0.0
    return max(float(weight @ (raw**2 - noise)), 0.0)


def _ordinary(reference: list[Histogram], whole: Histogram, deviation: Floats) -> float:
    """What is at stake on an ordinary day: the upper end of a prediction interval."""
    days = len(reference)
    if days < 2:
        return float("inf")
    usual = [
        float(np.abs(_moved(day.rows, whole.rows - day.rows)) @ np.abs(deviation))
        for day in reference
    ]
    width = float(t.ppf(BOTH_SIDES, days - 1)) * float(np.std(usual, ddof=1))
    return float(np.mean(usual)) + width * float(np.sqrt(1 + 1 / days))


def _doubt(moved: Floats, variance: Floats) -> float:
    return float(norm.ppf(BOTH_SIDES) * np.sqrt(moved**2 @ variance))


def _moved(current: Counts, reference: Counts) -> Floats:
    """The change of each bin's share: float64[k], sums to 0."""
    return np.asarray(current / max(current.sum(), 1) - reference / max(reference.sum(), 1))


def total(days: list[Histogram]) -> Histogram:
    """The window of these days, at least one."""
    return reduce(add, days)
