"""Precision and recall before labels come: what calibrated scores say of their own mistakes.

A score that is a probability of spam is also the chance that acting was right, or that letting
through was wrong. Summed over a window these chances are the expected confusion matrix, and its
ratios are expected precision and recall: confidence-based performance estimation (CBPE,
https://nannyml.readthedocs.io/en/stable/how_it_works/performance_estimation.html). It is as good
as the calibration is on the window at hand, and blind where the meaning of a score has changed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from evaluation.metrics import CONFIDENCE, Booleans, Estimate, Floats

FEWEST_EXPECTED = 5.0  # expected events in a denominator; below it a ratio says nothing


@dataclass(frozen=True)
class Confusion:
    """Events, counted or expected. Positive is whatever was acted on."""

    true_positive: float
    false_positive: float
    false_negative: float
    true_negative: float

    @property
    def precision(self) -> float | None:
        """None where nothing was acted on."""
        return _ratio(self.true_positive, self.true_positive + self.false_positive)

    @property
    def recall(self) -> float | None:
        """None where there is no spam."""
        return _ratio(self.true_positive, self.true_positive + self.false_negative)


@dataclass(frozen=True)
class Expected:
    """The confusion matrix that the scores expect, and both figures; None: too few events."""

    confusion: Confusion
    precision: Estimate | None
    recall: Estimate | None


@dataclass(frozen=True)
class Spread:
    """How sure probabilities are: `rows` float64[n, k] times a draw of N(0, `covariance`
    float64[k, k]) moves the log-odds of n rows; `scale` widens all of it (see the history).
    """

    rows: Floats
    covariance: Floats
    scale: float = 1.0


def counted(is_spam: Booleans, positive: Booleans) -> Confusion:
    """The matrix of labels and actions, bool[n] each."""
    return expected_confusion(is_spam.astype(np.float64), positive)


def expected_confusion(probabilities: Floats, positive: Booleans) -> Confusion:
    """`probabilities` float64[n] of spam, `positive` bool[n].

    >>> expected_confusion(np.array([0.75, 0.5, 0.25]), np.array([True, False, False])).recall
    0.5
    """
    spam, acted = float(probabilities.sum()), float(positive.sum())
    caught = float(probabilities[positive].sum())
    return Confusion(
        true_positive=caught,
        false_positive=acted - caught,
        false_negative=spam - caught,
        true_negative=len(positive) - acted - spam + caught,
    )


def expected_quality(
    probabilities: Floats,
    positive: Booleans,
    spread: Spread | None = None,
    confidence: float = CONFIDENCE,
) -> Expected:
    """Both figures with intervals for what labels of this very window will say.

    Two things move the realised value: the labels of the window, each a coin of its probability,
    and the calibration itself, by `spread` (None: taken as known). Both by the delta method on
    the logit of the ratio, so that intervals stay within [0, 1].
    """
    confusion = expected_confusion(probabilities, positive)
    caught, missed = (np.where(among, probabilities, 0.0) for among in (positive, ~positive))
    wronged = np.where(positive, 1 - probabilities, 0.0)
    return Expected(
        confusion,
        precision=_estimate(caught, wronged, -1.0, probabilities, spread, confidence),
        recall=_estimate(caught, missed, 1.0, probabilities, spread, confidence),
    )


def _estimate(
    hits: Floats,
    misses: Floats,
    sign: float,
    probabilities: Floats,
    spread: Spread | None,
    confidence: float,
) -> Estimate | None:
    """hits / (hits + misses); `sign` says which way a miss moves with its row's probability."""
    hit, missed = float(hits.sum()), float(misses.sum())
    if hit + missed < FEWEST_EXPECTED:
        return None
    value = hit / (hit + missed)
    slopes = (hits > 0) * (1 - value) - sign * (misses > 0) * value  # of the ratio, by probability
    slopes = slopes / (hit + missed)
    coins = probabilities * (1 - probabilities)
    variance = float(slopes**2 @ coins)
    if spread is not None:
        moved = (slopes * coins) @ spread.rows
        variance = spread.scale**2 * (variance + float(moved @ spread.covariance @ moved))
    return _on_logit(value, float(np.sqrt(variance)), confidence)


def _on_logit(value: float, deviation: float, confidence: float) -> Estimate:
    """The interval value +- z * deviation, made on the logit."""
    inside = min(max(value, 1e-6), 1 - 1e-6)
    centre = float(np.log(inside / (1 - inside)))
    half = float(norm.ppf((1 + confidence) / 2)) * deviation / (inside * (1 - inside))
    low, high = (1 / (1 + np.exp(-(centre + way * min(half, 30.0)))) for way in (-1, 1))
    return Estimate(value, min(float(low), value), max(float(high), value))


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole > 0 else None
