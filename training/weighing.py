"""The meta-learner over stages: each specialist counts by its confidence and its track record.

One logistic regression over, for every stage and for the fusion: its log-odds, the same times its
confidence, the same times its recent skill, and whether it ran at all. It is fitted on events as
they look after any part of the stages, so that it also answers where some were left out
(Wolpert 1992, "Stacked Generalization"; Sill et al. 2009, "Feature-Weighted Linear Stacking").
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from pipelines.kernels import kernel
from training.logistic import Floats, fit_logistic, sigmoid

BOUND = 10.0


@dataclass(frozen=True)
class WeighingParameters:
    """`recent_rows`: half of a track record's weight lies within so many labelled events."""

    ridge: float = 3.0
    recent_rows: float = 500.0


@dataclass(frozen=True)
class Weighing:
    """`weights` float64[4 S] over the columns of `_columns`; `record` float64[S]: each stage's
    skill on its latest labels, in [0, 1], as it stood when the model was trained.
    """

    weights: tuple[float, ...]
    intercept: float
    record: tuple[float, ...]

    def score(self, present: NDArray[np.bool_], log_odds: Floats) -> Floats:
        """Log-odds float64[n] from bool[n, S] and float64[n, S]; the last stage is the fusion."""
        ran, says = np.ascontiguousarray(present), np.ascontiguousarray(log_odds)
        found: Floats = _weighed(ran, says, *self._arrays, self.intercept)
        return found

    @cached_property
    def _arrays(self) -> tuple[Floats, Floats]:
        return np.array(self.record, np.float64), np.array(self.weights, np.float64)


def fit_weighing(
    present: NDArray[np.bool_],
    log_odds: Floats,
    records: Floats,
    targets: NDArray[np.int64],
    weights: Floats,
    ridge: float,
) -> Weighing:
    """From rows of all steps; `records` float64[n, S] is each stage's skill before the row."""
    columns = _columns(present, log_odds, records)
    fitted, intercept = fit_logistic(columns, targets.astype(np.float64), ridge, weights)
    return Weighing(tuple(map(float, fitted)), intercept, tuple(map(float, records[-1])))


def track_records(
    present: NDArray[np.bool_],
    log_odds: Floats,
    targets: NDArray[np.int64],
    recent_rows: float,
) -> Floats:
    """float64[n, S]: the skill of each stage on the rows before each row, in the rows' order.

    Skill is 1 - log loss / log loss of always saying the share of spam so far, within [0, 1];
    older rows fade by half every
    `recent_rows`. A stage that never ran has no skill.
    """
    losses = _log_loss(log_odds, targets[:, None])
    ran = present.astype(np.float64)
    fade = 0.5 ** (1.0 / recent_rows)
    spam, rows, lost = (np.zeros(present.shape[1]) for _ in range(3))
    records = np.zeros(log_odds.shape)
    for at in range(len(targets)):
        records[at] = _skill(spam, rows, lost)
        spam = spam * fade + ran[at] * targets[at]
        rows = rows * fade + ran[at]
        lost = lost * fade + ran[at] * losses[at]
    return records


def _skill(spam: Floats, rows: Floats, lost: Floats) -> Floats:
    share = (spam + 1) / (rows + 2)
    blind = -(share * np.log(share) + (1 - share) * np.log1p(-share))
    return np.asarray(
        np.where(rows > 0, np.clip(1 - lost / np.maximum(rows, 1e-9) / blind, 0, 1), 0)
    )


def _log_loss(log_odds: Floats, targets: NDArray[np.int64]) -> Floats:
    says = np.clip(sigmoid(log_odds), 1e-6, 1 - 1e-6)
    return np.asarray(-np.where(targets == 1, np.log(says), np.log1p(-says)))


def _columns(present: NDArray[np.bool_], log_odds: Floats, records: Floats) -> Floats:
    """float64[n, 4 S]: log-odds, times confidence, times record, and presence."""
    bounded = np.where(present, np.clip(log_odds, -BOUND, BOUND), 0.0)
    confident = bounded * np.abs(2 * sigmoid(bounded) - 1)
    return np.hstack([bounded, confident, bounded * records, present.astype(np.float64)])


@kernel("float64[::1](boolean[:, ::1], float64[:, ::1], float64[::1], float64[::1], float64)")
def _weighed(
    present: NDArray[np.bool_], log_odds: Floats, record: Floats, weights: Floats, intercept: float
) -> Floats:
    """`_columns` @ weights + intercept, each row by itself."""
    stages = len(record)
    scores = np.full(len(present), intercept)
    for row in range(len(present)):
        for stage in range(stages):
            if not present[row, stage]:
                continue
            bounded = min(max(log_odds[row, stage], -BOUND), BOUND)
            confidence = abs(np.tanh(bounded / 2))
            scores[row] += bounded * (
                weights[stage]
                + confidence * weights[stages + stage]
                + record[stage] * weights[2 * stages + stage]
            )
            scores[row] += weights[3 * stages + stage]
    return scores
