"""Are the probabilities of the right sharpness and level? Cox's recalibration of a model's scores.

Cox 1958, "Two further applications of a model for binary regression"; Van Calster et al. 2016, "A
calibration hierarchy for risk models". A spam score lies near 0 or 1, where the mean gap of
`expected_calibration_error` hardly moves when all log-odds are doubled; the slope halves.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy.special import expit, logit
from scipy.stats import norm

from data_contracts.reports import Metric
from evaluation.gates.base import Answers
from evaluation.gates.policy import Calibration
from evaluation.gates.suite import Suite
from evaluation.metrics import CONFIDENCE, Booleans, Estimate, Floats, Integers

CLOSEST = 1e-6  # to 0 and 1: scores have six decimals
_STEPS, _LONGEST_STEP, _RIDGE = 50, 1.0, 1e-6


def calibration(policy: Calibration, suite: Suite, given: Answers) -> Iterator[Metric]:
    """`calibration_slope` (1 is right) and `calibration_offset` (0 is right, in log-odds).

    Fails what surely lies outside: with few cases the intervals are wide.
    """
    spam = int(suite.labels.sum())
    if spam < policy.minimum.spam or len(suite.cases) - spam < policy.minimum.ham:
        return
    slope = cox_slope(suite.labels, given.scores, suite.groups)
    offset = cox_offset(suite.labels, given.scores, suite.groups)
    low, high = policy.slope
    size = len(suite.cases)
    yield _metric("calibration_slope", slope, (low, high), slope.value < 1, size)
    bounds = (-policy.offset, policy.offset)
    yield _metric("calibration_offset", offset, bounds, offset.value < 0, size)


def cox_slope(labels: Booleans, scores: Floats, groups: Integers) -> Estimate:
    """The slope of a logistic regression of the labels on the log-odds; below 1: too sure."""
    log_odds = _log_odds(scores)
    columns = np.stack([log_odds, np.ones_like(log_odds)], axis=1)
    return _fitted(columns, np.zeros_like(log_odds), labels, groups)


def cox_offset(labels: Booleans, scores: Floats, groups: Integers) -> Estimate:
    """What must be added to all log-odds, their slope kept; above 0: too low."""
    log_odds = _log_odds(scores)
    return _fitted(np.ones((len(log_odds), 1)), log_odds, labels, groups)


def _log_odds(scores: Floats) -> Floats:
    return np.asarray(logit(np.clip(scores, CLOSEST, 1 - CLOSEST)))


def _fitted(columns: Floats, fixed: Floats, labels: Booleans, groups: Integers) -> Estimate:
    """The first column's coefficient, by Newton's method; `columns: float64[n, k]`.

    The interval is Wald's with the larger of two errors: of independent cases, and of groups
    (Liang, Zeger 1986). Where the cases separate, it is as wide as can be.
    """
    width = columns.shape[1]
    found = np.zeros(width)
    for _ in range(_STEPS):
        chance = expit(columns @ found + fixed)
        inverse = np.linalg.inv(
            columns.T @ (columns * (chance * (1 - chance))[:, None]) + _RIDGE * np.eye(width)
        )
        step = inverse @ (columns.T @ (labels - chance))
        found += np.clip(step, -_LONGEST_STEP, _LONGEST_STEP)
        if np.abs(step).max() < CLOSEST:
            break
    _, members = np.unique(groups, return_inverse=True)
    each = columns * (labels - chance)[:, None]
    together = np.stack([np.bincount(members, weights=column) for column in each.T], axis=1)
    variance = max(inverse[0, 0], (inverse @ (together.T @ together) @ inverse)[0, 0])
    half = float(norm.ppf((1 + CONFIDENCE) / 2)) * float(np.sqrt(variance))
    return Estimate(float(found[0]), float(found[0]) - half, float(found[0]) + half)


def _metric(
    name: str, estimate: Estimate, bounds: tuple[float, float], below: bool, size: int
) -> Metric:
    """Against the bound on the estimate's side; fails where the whole interval lies beyond it."""
    low, high = bounds
    surely = estimate.high < low or estimate.low > high
    return Metric(
        name=name, value=estimate.value, low=estimate.low, high=estimate.high, sample_size=size,
        bound=low if below else high, direction="at_least" if below else "at_most",
        verdict="fail" if surely else "pass",
    )  # fmt: skip
