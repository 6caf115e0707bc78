"""Figures about classifiers, and how sure they are.

Labels are `bool[n]` (True is spam), scores `float64[n]` (higher is more spam), weights
`float64[n]` (how often a row counts). A threshold catches scores at or above it. Intervals are
two-sided at 95 % unless told otherwise.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta, norm

Floats = NDArray[np.float64]
Booleans = NDArray[np.bool_]
Integers = NDArray[np.int64]

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Estimate:
    """A figure with its interval; `low <= value <= high` up to the interval's own method."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Curve:
    """Rates at each distinct score, from the strictest threshold to the loosest."""

    thresholds: Floats
    recall: Floats
    precision: Floats
    false_positive_rate: Floats


def curve(labels: Booleans, scores: Floats, weights: Floats | None = None) -> Curve:
    """Recall, precision and false-positive rate at every distinct score; ties move together.

    Raises ValueError unless both spam and ham have weight.

    >>> c = curve(np.array([True, False, True]), np.array([0.9, 0.5, 0.2]))
    >>> c.recall.tolist(), c.false_positive_rate.tolist()
    ([0.5, 0.5, 1.0], [0.0, 1.0, 1.0])
    """
    weights = np.ones(len(scores)) if weights is None else weights
    order = np.argsort(-scores, kind="stable")
    ordered = scores[order]
    ends = np.append(np.flatnonzero(np.diff(ordered)), len(ordered) - 1)
    caught = np.cumsum(weights[order] * labels[order])[ends]
    wrong = np.cumsum(weights[order] * ~labels[order])[ends]
    if caught[-1] <= 0 or wrong[-1] <= 0:
        raise ValueError("a curve needs both spam and ham; give rows of each")
    flagged = caught + wrong
    precision = np.divide(caught, flagged, out=np.ones_like(caught), where=flagged > 0)
    return Curve(ordered[ends], caught / caught[-1], precision, wrong / wrong[-1])


def average_precision(labels: Booleans, scores: Floats, weights: Floats | None = None) -> float:
    """Area under the precision-recall curve as a step function, without interpolation.

    Davis & Goadrich 2006, "The relationship between precision-recall and ROC curves".

    >>> average_precision(np.array([True, False, True]), np.array([0.9, 0.5, 0.2])).__round__(4)
    0.8333
    """
    points = curve(labels, scores, weights)
    return float(np.sum(np.diff(points.recall, prepend=0.0) * points.precision))


def roc_auc(labels: Booleans, scores: Floats, weights: Floats | None = None) -> float:
    """Chance that a spam scores above a ham, ties counting half (Hanley & McNeil 1982).

    >>> roc_auc(np.array([True, False, True]), np.array([0.9, 0.5, 0.2]))
    0.5
    """
    points = curve(labels, scores, weights)
    recall = np.append(0.0, points.recall)
    false_positives = np.append(0.0, points.false_positive_rate)
    return float(np.sum(np.diff(false_positives) * (recall[1:] + recall[:-1]) / 2))


def recall_at(labels: Booleans, positive: Booleans, weights: Floats | None = None) -> float:
    """Share of the spam that was caught; ValueError without spam."""
    return _share(positive, labels, weights)


def false_positive_rate_at(
    labels: Booleans, positive: Booleans, weights: Floats | None = None
) -> float:
    """Share of the ham that was caught; ValueError without ham."""
    return _share(positive, ~labels, weights)


def f1(labels: Booleans, positive: Booleans) -> float:
    """Harmonic mean of precision and recall; 0 where nothing right was caught.

    >>> f1(np.array([True, True, False]), np.array([True, False, False])).__round__(4)
    0.6667
    """
    right = float(np.sum(labels & positive))
    return 2 * right / float(np.sum(labels) + np.sum(positive)) if right else 0.0


def recall_below_false_positive_rate(labels: Booleans, scores: Floats, rate: float) -> float:
    """The highest recall whose false-positive rate is at most `rate`; 0 where none is."""
    points = curve(labels, scores)
    allowed = points.recall[points.false_positive_rate <= rate]
    return float(allowed[-1]) if len(allowed) else 0.0


def clopper_pearson(successes: float, trials: float, confidence: float = CONFIDENCE) -> Estimate:
    """Exact binomial interval: covers at least `confidence` (Clopper & Pearson 1934).

    Fractional counts (an effective sample size) are allowed, as in Korn & Graubard 1998.

    >>> clopper_pearson(0, 10).high.__round__(4)
    0.3085
    """
    _check_counts(successes, trials)
    tail = (1 - confidence) / 2
    failures = trials - successes
    low = 0.0 if successes == 0 else float(beta.ppf(tail, successes, failures + 1))
    high = 1.0 if failures == 0 else float(beta.ppf(1 - tail, successes + 1, failures))
    return Estimate(successes / trials, low, high)


def wilson(successes: float, trials: float, confidence: float = CONFIDENCE) -> Estimate:
    """Score interval: covers `confidence` on average (Wilson 1927).

    >>> estimate = wilson(5, 10)
    >>> (round(estimate.low, 4), round(estimate.high, 4))
    (0.2366, 0.7634)
    """
    _check_counts(successes, trials)
    z = float(norm.ppf((1 + confidence) / 2))
    share = successes / trials
    scale = 1 + z * z / trials
    centre = (share + z * z / (2 * trials)) / scale
    half = z * float(np.sqrt(share * (1 - share) / trials + z * z / (4 * trials**2))) / scale
    return Estimate(share, max(0.0, centre - half), min(1.0, centre + half))


def newcombe_difference(first: Estimate, second: Estimate) -> Estimate:
    """`first - second` of two independent shares, from their Wilson intervals.

    Newcombe 1998, "Interval estimation for the difference between independent proportions",
    method 10.
    """
    value = first.value - second.value
    below = np.hypot(first.value - first.low, second.high - second.value)
    above = np.hypot(first.high - first.value, second.value - second.low)
    return Estimate(value, float(value - below), float(value + above))


def paired_bootstrap(
    statistic: Callable[[Floats], float],
    groups: Integers,
    rng: np.random.Generator,
    *,
    resamples: int = 1000,
    confidence: float = CONFIDENCE,
) -> Estimate:
    """Percentile interval of `statistic(weights)` when whole groups are drawn again.

    `groups: int64[n]` keeps near-duplicates together, since a campaign of a hundred copies is
    one observation. Both models are weighed by the same draw, so a difference is paired.
    Resamples in which the statistic cannot be computed (ValueError) are left out. Efron &
    Tibshirani 1993, chapter 13; Davison & Hinkley 1997, section 3.8 (clustered data).
    """
    value = statistic(np.ones(len(groups)))
    _, members = np.unique(groups, return_inverse=True)
    count = int(members.max()) + 1
    drawn: list[float] = []
    for _ in range(resamples):
        weights = rng.multinomial(count, np.full(count, 1 / count)).astype(np.float64)[members]
        try:
            drawn.append(statistic(weights))
        except ValueError:
            continue
    if not drawn:
        return Estimate(value, float("-inf"), float("inf"))
    tail = 100 * (1 - confidence) / 2
    low, high = np.percentile(drawn, [tail, 100 - tail])
    return Estimate(value, min(float(low), value), max(float(high), value))


def _share(hits: Booleans, among: Booleans, weights: Floats | None) -> float:
    weights = np.ones(len(hits)) if weights is None else weights
    total = float(weights @ among)
    if total <= 0:
        raise ValueError("a share needs at least one row; the slice is empty")
    return float(weights @ (hits & among)) / total


def _check_counts(successes: float, trials: float) -> None:
    if trials <= 0 or not 0 <= successes <= trials * (1 + 1e-9):
        raise ValueError(f"{successes} of {trials}: counts must satisfy 0 <= successes <= trials")
