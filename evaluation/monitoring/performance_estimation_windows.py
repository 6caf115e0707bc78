"""Each window's precision and recall before its labels, and whether to believe them.

The reference's calibration, by slice, is moved by the share of spam that the window's scores
show, then by whatever labels have come since; expected precision and recall follow from it
(`performance_estimation`). Three things make an estimate unreliable, each with its reason: fresh
labels contradict what was expected before them; the window holds events like none that was
labelled; the interval is too wide to decide anything.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from evaluation.metrics import Estimate, Integers
from evaluation.monitoring.performance_estimation import Confusion, Spread, expected_quality
from evaluation.monitoring.performance_estimation_calibration import (
    BEFORE,
    Labelled,
    Prior,
    Recalibration,
    Scored,
    joined,
    recalibrated,
)
from evaluation.monitoring.performance_estimation_shift import (
    shares,
    shifted,
    shifts_by_slice,
    unseen_share,
)
from training.logistic import logit


@dataclass(frozen=True)
class Limits:
    """When an estimate is unreliable: `contradiction` in standard errors, of the labels of the
    last `recent` windows; `unseen` in shares of the window; `width` of an interval.
    """

    contradiction: float = 3.3
    recent: int = 2
    unseen: float = 0.05
    width: float = 0.15


@dataclass(frozen=True)
class Observed:
    """A window: its decided events, and the audit labels of it that are known by now."""

    scored: Scored
    labelled: Labelled


@dataclass(frozen=True)
class WindowEstimate:
    """The last window's expected figures (None: too few events), and what speaks against them.

    `surprise` is how far fresh labels of what was (let through, acted on) lie above expectation,
    in standard errors; `changed` is the window from which they contradict it, if they do.
    """

    confusion: Confusion
    precision: Estimate | None
    recall: Estimate | None
    surprise: tuple[float, float]
    unseen: float
    changed: int | None
    reasons: tuple[str, ...]

    @property
    def unreliable(self) -> bool:
        """Whether anything speaks against it."""
        return bool(self.reasons)


def estimate_window(
    reference: Labelled,
    windows: Sequence[Observed],
    changes: Collection[int] = (),
    prior: Prior | None = None,
    limits: Limits | None = None,
) -> WindowEstimate:
    """Of the last of `windows`; `changes` are the `changed` of the estimates before it.

    Raises ValueError without a window.
    """
    if not windows:
        raise ValueError("there is no window to estimate; give at least one")
    prior, limits = prior or Prior(), limits or Limits()
    labelled, moments, current = _prepared(reference, windows, prior)
    surprise, changed = _surprise(labelled, moments, len(windows), prior, limits, changes)
    known = {*changes} | ({changed} if changed is not None else set())
    fitted = recalibrated(labelled, moments, len(windows), prior, known)
    now = np.full(len(current), len(windows) - 1, np.int64)
    found = expected_quality(
        fitted.probabilities(current, now),
        current.positive,
        Spread(fitted.columns(current, now), fitted.covariance),
    )
    unseen = unseen_share(labelled.take(moments < len(windows) - 1).scored, current)
    reasons = _reasons((found.precision, found.recall), surprise, unseen, limits)
    return WindowEstimate(
        found.confusion, found.precision, found.recall, surprise, unseen, changed, reasons
    )


def _prepared(
    reference: Labelled, windows: Sequence[Observed], prior: Prior
) -> tuple[Labelled, Integers, Scored]:
    """All labelled rows with their windows, and the last window, log-odds moved by the share of
    spam that each window's scores show.
    """
    at_first = np.full(len(reference.is_spam), BEFORE, np.int64)
    base = recalibrated(reference, at_first, 0, prior)
    calibrated = _calibrated(base, reference.scored)
    before = shares(base.probabilities(reference.scored, at_first), reference.scored)
    parts, moments, current = [Labelled(calibrated, reference.is_spam)], [at_first], calibrated
    for number, window in enumerate(windows):
        current = _calibrated(base, window.scored)
        found = base.probabilities(window.scored, np.full(len(window.scored), BEFORE, np.int64))
        moved = shifts_by_slice(found, window.scored, before)
        current = shifted(current, moved)
        own = shifted(_calibrated(base, window.labelled.scored), moved)
        parts.append(Labelled(own, window.labelled.is_spam))
        moments.append(np.full(len(own), number, np.int64))
    return joined(parts), np.concatenate(moments), current


def _calibrated(base: Recalibration, scored: Scored) -> Scored:
    before = np.full(len(scored), BEFORE, np.int64)
    return scored.moved(logit(base.probabilities(scored, before)) - scored.log_odds)


def _surprise(
    labelled: Labelled,
    moments: Integers,
    windows: int,
    prior: Prior,
    limits: Limits,
    changes: Collection[int],
) -> tuple[tuple[float, float], int | None]:
    """The labels of the last windows against a fit without them, longest stretch last."""
    worst, changed = (0.0, 0.0), None
    for stretch in range(1, limits.recent + 1):
        first = windows - stretch
        if first < 0:
            break
        fresh = moments >= first
        past = recalibrated(labelled.take(~fresh), moments[~fresh], windows, prior, changes)
        found = tuple(
            _deviation(past, labelled.take(rows), moments[rows])
            for rows in (fresh & (labelled.scored.positive == acted) for acted in (False, True))
        )
        if max(map(abs, found)) > max(map(abs, worst)):
            worst = (found[0], found[1])
            changed = first if max(map(abs, found)) > limits.contradiction else None
    return worst, changed


def _deviation(past: Recalibration, fresh: Labelled, moments: Integers) -> float:
    """Spam seen less spam expected, over its standard error; the past's own error counts, too."""
    if not len(fresh.is_spam):
        return 0.0
    expected = past.probabilities(fresh.scored, moments)
    coins = expected * (1 - expected)
    moved = coins @ past.columns(fresh.scored, moments)
    variance = float(coins.sum() + moved @ past.covariance @ moved)
    return float((fresh.is_spam - expected).sum() / np.sqrt(max(variance, 1e-9)))


def _reasons(
    figures: Sequence[Estimate | None],
    surprise: tuple[float, float],
    unseen: float,
    limits: Limits,
) -> tuple[str, ...]:
    found = [
        f"labels of what was {side} lie {value:+.1f} standard errors from what was expected"
        for side, value in zip(("let through", "acted on"), surprise, strict=True)
        if abs(value) > limits.contradiction
    ]
    if unseen > limits.unseen:
        found.append(f"{unseen:.0%} of the events are like none that was labelled")
    widest = max((one.high - one.low for one in figures if one is not None), default=0.0)
    if widest > limits.width:
        found.append(f"too few labels: an interval is {widest:.2f} wide")
    return tuple(found)
