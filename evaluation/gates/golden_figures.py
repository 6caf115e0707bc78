"""The figures of the golden gate: each from labels, a model's answers and the cases' weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from evaluation.gates.base import Answers
from evaluation.gates.policy import FigureName
from evaluation.gates.suite import Suite
from evaluation.metrics import (
    Booleans,
    Estimate,
    Floats,
    Integers,
    average_precision,
    clopper_pearson,
    curve,
    false_positive_rate_at,
    paired_bootstrap,
    recall_at,
)

CURVE_POINTS = 200
BINS = 10


def share(name: str, labels: Booleans, positive: Booleans) -> Estimate:
    """Recall or false-positive rate with its exact interval; needs rows of that label."""
    among = labels if name == "recall" else ~labels
    return clopper_pearson(int((positive & among).sum()), int(among.sum()))


def figure(name: FigureName, labels: Booleans, given: Answers, weights: Floats) -> float:
    """The figure of the cases, each as often as its weight; ValueError where it is undefined."""
    if name == "average_precision":
        return average_precision(labels, given.scores, weights)
    if name == "expected_calibration_error":
        return expected_calibration_error(labels, given.scores, weights)
    rate = recall_at if name == "recall" else false_positive_rate_at
    return rate(labels, given.positive, weights)


def expected_calibration_error(labels: Booleans, scores: Floats, weights: Floats) -> float:
    """Mean gap between probability and share of spam in BINS bins of equal mass.

    Nguyen, O'Connor 2015, "Posterior calibration and exploratory analysis for natural language
    processing models": equal mass, since most scores lie near 0 and 1.

    >>> sure = np.array([0.0, 1.0]), np.ones(2)
    >>> [expected_calibration_error(np.array(y), *sure) for y in ([False, True], [True, True])]
    [0.0, 0.5]
    """
    total = float(weights.sum())
    if total <= 0:
        raise ValueError("a calibration error needs at least one row; the slice is empty")
    bins = _bins_of_equal_mass(scores, weights)
    gaps = np.bincount(bins, weights=weights * (scores - labels), minlength=BINS)
    return float(np.abs(gaps).sum()) / total


def reliability(labels: Booleans, scores: Floats) -> list[dict[str, float]]:
    """Mean score and share of spam, with its interval, of each bin that has cases."""
    bins = _bins_of_equal_mass(scores, np.ones(len(scores)))
    drawn = []
    for one in np.unique(bins):
        rows = bins == one
        observed = clopper_pearson(int(labels[rows].sum()), int(rows.sum()))
        drawn.append(
            {
                "predicted": float(scores[rows].mean()),
                "observed": observed.value,
                "low": observed.low,
                "high": observed.high,
                "count": int(rows.sum()),
            }
        )
    return drawn


def _bins_of_equal_mass(scores: Floats, weights: Floats) -> Integers:
    """int64[n] below BINS; equal scores share a bin."""
    _, members = np.unique(scores, return_inverse=True)
    mass = np.bincount(members, weights=weights)
    middle = np.cumsum(mass) - mass / 2
    bins: Integers = np.minimum((middle / mass.sum() * BINS).astype(np.int64), BINS - 1)
    return bins[members]


def estimated(
    name: FigureName, suite: Suite, given: Answers, rng: np.random.Generator, resamples: int
) -> Estimate:
    """The figure with its interval: exact for shares, else by drawing groups of cases again."""
    labels = suite.labels
    if name in ("recall", "false_positive_rate"):
        return share(name, labels, given.positive)
    return paired_bootstrap(
        lambda weights: figure(name, labels, given, weights),
        suite.groups, rng, resamples=resamples,
    )  # fmt: skip


def difference(
    name: FigureName, labels: Booleans, new: Answers, old: Answers
) -> Callable[[Floats], float]:
    """Of the figure, `new` less `old`, as a function of the cases' weights."""
    return lambda weights: figure(name, labels, new, weights) - figure(name, labels, old, weights)


def sample_size(name: str, labels: Booleans) -> int:
    """The cases that the figure rests on."""
    sizes = {"recall": int(labels.sum()), "false_positive_rate": int((~labels).sum())}
    return sizes.get(name, len(labels))


def has_both(labels: Booleans) -> bool:
    """Whether there is spam and ham."""
    return bool(labels.any() and (~labels).any())


def curves(labels: Booleans, models: Mapping[str, Answers | None]) -> dict[str, Any]:
    """At most CURVE_POINTS points of each model's curve, for the pictures."""
    drawn: dict[str, Any] = {}
    for name, given in models.items():
        if given is not None and has_both(labels):
            points = curve(labels, given.scores)
            last = len(points.recall) - 1
            kept = np.unique(np.linspace(0, last, CURVE_POINTS).astype(int))
            drawn[name] = {
                "recall": points.recall[kept].tolist(),
                "precision": points.precision[kept].tolist(),
                "false_positive_rate": points.false_positive_rate[kept].tolist(),
                "operating_point": {
                    "recall": recall_at(labels, given.positive),
                    "false_positive_rate": false_positive_rate_at(labels, given.positive),
                },
            }
    return drawn
