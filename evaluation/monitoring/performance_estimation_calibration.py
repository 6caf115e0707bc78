"""Calibration again, on the labels that there are, for the window that is to be judged.

The log-odds of the scores are the offset of a logistic fit, and labels move it: by a shift for
what was acted on and one for what was let through, a slope, shifts by slice, and a step of both
shifts at each window, so that the calibration may wander in time (a local level; Durbin & Koopman
2012, chapter 2). All are held back by their prior until labels call for them (maximum a
posteriori); their covariance tells how sure the result is (Laplace's approximation).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evaluation.metrics import Booleans, Floats, Integers
from training.logistic import sigmoid

MOST_STEPS, MOST_HALVINGS, TOLERANCE = 50, 30, 1e-8
BEFORE = -1  # the moment of the reference, before the first window
Names = NDArray[np.str_]


@dataclass(frozen=True)
class Prior:
    """Standard deviations, in log-odds, of how far labels are thought to move the calibration;
    `change` instead of `step` where a window is known to have changed the meaning of scores.
    """

    shift: float = 0.5
    slope: float = 0.3
    by_slice: float = 0.3
    step: float = 0.1
    change: float = 0.8


@dataclass(frozen=True)
class Scored:
    """n decided events: `log_odds` float64[n] of the score, `positive` bool[n] (acted on),
    `slices` str[n] (language, or whatever calibration differs by), `features` float64[n, d].
    """

    log_odds: Floats
    positive: Booleans
    slices: Names
    features: Floats

    def __post_init__(self) -> None:
        lengths = {len(self.positive), len(self.slices), len(self.features)}
        if lengths != {len(self.log_odds)}:
            raise ValueError("the columns of scored events differ in length; give one row an event")

    def __len__(self) -> int:
        return len(self.log_odds)

    def take(self, rows: Integers | Booleans) -> Scored:
        """Some of the rows."""
        return Scored(
            self.log_odds[rows], self.positive[rows], self.slices[rows], self.features[rows]
        )

    def moved(self, by: Floats) -> Scored:
        """With other log-odds: `by` float64[n] is added."""
        return Scored(self.log_odds + by, self.positive, self.slices, self.features)


@dataclass(frozen=True)
class Labelled:
    """m scored events with their labels, bool[m]; an audit drew them by chance."""

    scored: Scored
    is_spam: Booleans

    def take(self, rows: Integers | Booleans) -> Labelled:
        """Some of the rows."""
        return Labelled(self.scored.take(rows), self.is_spam[rows])


@dataclass(frozen=True)
class Recalibration:
    """What labels made of the log-odds; `covariance` float64[k, k] of the `shifts` float64[k]."""

    slices: tuple[str, ...]
    windows: int
    shifts: Floats
    covariance: Floats

    def columns(self, scored: Scored, moments: Integers) -> Floats:
        """float64[n, k]: what the shifts of n events multiply."""
        return design(scored, moments, self.slices, self.windows)

    def probabilities(self, scored: Scored, moments: Integers) -> Floats:
        """float64[n] of spam; `moments` int64[n] are the events' windows, BEFORE or from 0."""
        return sigmoid(scored.log_odds + self.columns(scored, moments) @ self.shifts)


def joined(parts: Sequence[Labelled]) -> Labelled:
    """One after the other."""
    columns = zip(
        *((s.log_odds, s.positive, s.slices, s.features) for s in (p.scored for p in parts)),
        strict=True,
    )
    scored = Scored(*(np.concatenate(column) for column in columns))
    return Labelled(scored, np.concatenate([part.is_spam for part in parts]))


def design(scored: Scored, moments: Integers, slices: Sequence[str], windows: int) -> Floats:
    """float64[n, 3 + 2 * slices + 2 * windows]; a step holds from its window on."""
    acted = scored.positive.astype(np.float64)[:, None]
    inside = scored.slices[:, None] == np.array(slices, dtype=np.str_)[None, :]
    since = moments[:, None] >= np.arange(windows)[None, :]
    levels = np.hstack([np.ones_like(acted), inside, since])
    return np.hstack([scored.log_odds[:, None], levels * (1 - acted), levels * acted])


def recalibrated(
    labelled: Labelled,
    moments: Integers,
    windows: int,
    prior: Prior,
    changes: Collection[int] = (),
) -> Recalibration:
    """Fit on all `labelled` rows of `windows` windows and before; `changes` are windows that are
    known to have changed the meaning of scores. Without rows the log-odds stay, as unsure as the
    prior says.
    """
    scored = labelled.scored
    slices = tuple(sorted(set(scored.slices.tolist())))
    steps = [prior.change if number in changes else prior.step for number in range(windows)]
    levels = [prior.shift, *[prior.by_slice] * len(slices), *steps]
    precision = 1 / np.array([prior.slope, *levels, *levels]) ** 2
    columns = design(scored, moments, slices, windows)
    shifts = _fitted(scored.log_odds, columns, labelled.is_spam, precision)
    fitted = sigmoid(scored.log_odds + columns @ shifts)
    covariance = np.asarray(np.linalg.inv(_curvature(columns, fitted, precision)), np.float64)
    return Recalibration(slices, windows, shifts, covariance)


def _fitted(offset: Floats, columns: Floats, is_spam: Booleans, precision: Floats) -> Floats:
    """Newton's steps, halved until they improve: whole ones overshoot where many labels agree."""
    shifts: Floats = np.zeros(len(precision))
    loss = _loss(offset, columns, is_spam, precision, shifts)
    for _ in range(MOST_STEPS):
        fitted = sigmoid(offset + columns @ shifts)
        gradient = columns.T @ (is_spam - fitted) - precision * shifts
        step = np.linalg.solve(_curvature(columns, fitted, precision), gradient)
        for _ in range(MOST_HALVINGS):
            found = _loss(offset, columns, is_spam, precision, shifts + step)
            if found <= loss:
                break
            step = step / 2
        shifts, loss = shifts + step, min(found, loss)
        if np.abs(step).max() < TOLERANCE:
            break
    return shifts


def _loss(
    offset: Floats, columns: Floats, is_spam: Booleans, precision: Floats, shifts: Floats
) -> float:
    """Log loss and the prior's, up to a constant."""
    odds = offset + columns @ shifts
    missed = np.logaddexp(0.0, np.where(is_spam, -odds, odds))
    return float(missed.sum() + precision @ shifts**2 / 2)


def _curvature(columns: Floats, fitted: Floats, precision: Floats) -> Floats:
    coins = fitted * (1 - fitted)
    return np.asarray((columns * coins[:, None]).T @ columns + np.diag(precision))
