"""Ridge logistic regression on a few columns, by Newton steps: for stacking and calibration."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
MOST_STEPS = 50
TOLERANCE = 1e-9
LEAST = 1e-9  # a probability nearer to 0 or 1 has the log-odds of this one


def fit_logistic(
    columns: Floats, targets: Floats, ridge: float, weights: Floats | None = None
) -> tuple[Floats, float]:
    """Coefficients float64[k] and intercept that minimise log loss + ridge/2 * |coefficients|^2.

    `columns` float64[n, k]; `targets` float64[n] in [0, 1]. The intercept is not penalised.
    Raises ValueError for an empty table.
    """
    if len(columns) == 0:
        raise ValueError("a logistic regression needs at least one row")
    design = np.column_stack([columns, np.ones(len(columns))])
    weights = np.ones(len(columns)) if weights is None else weights
    penalty = np.full(design.shape[1], ridge)
    penalty[-1] = 1e-9
    solution: Floats = np.zeros(design.shape[1])
    for _ in range(MOST_STEPS):
        step = _newton_step(design, targets, weights, penalty, np.asarray(solution))
        solution = solution + np.asarray(np.clip(step, -5.0, 5.0))
        if np.abs(step).max() < TOLERANCE:
            break
    return solution[:-1], float(solution[-1])


def sigmoid(logits: Floats) -> Floats:
    """1 / (1 + exp(-x)) without overflow."""
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * np.asarray(logits, np.float64))))


def sigmoid_of(one: float) -> float:
    """`sigmoid` of one number, for a tenth of the time; they differ in the last bit at most."""
    return 0.5 * (1.0 + math.tanh(0.5 * one))


def logit(probabilities: Floats) -> Floats:
    """The inverse of `sigmoid`, finite for 0 and 1."""
    clipped = np.clip(np.asarray(probabilities, np.float64), LEAST, 1 - LEAST)
    return np.asarray(np.log(clipped) - np.log1p(-clipped))


def logit_of(one: float) -> float:
    """`logit` of one probability; they differ in the last bit at most."""
    clipped = min(max(one, LEAST), 1 - LEAST)
    return math.log(clipped) - math.log1p(-clipped)


def _newton_step(
    design: Floats, targets: Floats, weights: Floats, penalty: Floats, solution: Floats
) -> Floats:
    fitted = sigmoid(design @ solution)
    gradient = design.T @ (weights * (targets - fitted)) - penalty * solution
    curvature = design.T @ (design * (weights * fitted * (1 - fitted))[:, None])
    return np.asarray(np.linalg.solve(curvature + np.diag(penalty + 1e-9), gradient), np.float64)
