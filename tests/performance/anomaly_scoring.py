"""How good alerts are: anomaly windows found and false alerts, and the score of NAB.

NAB's score is implemented from its definition: Lavin & Ahmad 2015, "Evaluating real-time anomaly
detection algorithms - the Numenta Anomaly Benchmark", section II. A window counts once, more the
earlier its first alert; false alerts cost less right after a window; a missed window costs one.
The standard profile has A_TP = 1, A_FP = 0.11, A_FN = 1. A perfect detector has 100 and a silent
one 0. NAB chooses each detector's threshold on the series that it reports; here it is chosen on
the development series, for F1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from evaluation.metrics import Estimate, Floats, paired_bootstrap
from evaluation.monitoring.anomaly.alerting import raised
from tests.performance.anomaly_series import Labelled, Windows

FALSE_ALERT_COST, MISSED_COST = 0.11, 1.0
CANDIDATES = 60  # thresholds, evenly in the logarithm of the share of rows above them
RAREST, COMMONEST = 1e-5, 0.05
RESAMPLES, SEED = 1000, 20_260_105


@dataclass(frozen=True)
class Found:
    """Of one series: windows found and missed, alerts outside of windows, NAB's raw score."""

    found: int
    missed: int
    false_alerts: int
    nab: float

    @property
    def windows(self) -> int:
        return self.found + self.missed


def judged(one: Labelled, scores: Floats, threshold: float, quiet_seconds: float) -> Found:
    """What the alerts of one series are worth."""
    alerts = raised(one.series.times, scores, threshold, quiet_seconds, one.first_judged)
    return counted(alerts, one.windows)


def counted(alerts: Sequence[int], windows: Windows) -> Found:
    """Of the rows at which alerts were raised.

    >>> counted([5, 12, 30], ((10, 19), (40, 49))).found
    1
    """
    first = {window: _first_inside(alerts, window) for window in windows}
    outside = [row for row in alerts if not any(a <= row <= b for a, b in windows)]
    hits = [(window, row) for window, row in first.items() if row is not None]
    missed = len(windows) - len(hits)
    score = sum(earliness(row, window) for window, row in hits) - MISSED_COST * missed
    score += FALSE_ALERT_COST * sum(lateness(row, windows) for row in outside)
    return Found(len(hits), missed, len(outside), score)


def earliness(row: int, window: tuple[int, int]) -> float:
    """What an alert in a window earns: 1 at its first row, nearly 0 at its last.

    >>> earliness(10, (10, 19)), round(earliness(19, (10, 19)), 2)
    (1.0, 0.25)
    """
    first, last = window
    return _sigmoid(-(last - row + 1) / (last - first + 1)) / _sigmoid(-1.0)


def lateness(row: int, windows: Windows) -> float:
    """What a false alert costs before weighing: -1, less right after a window.

    >>> lateness(5, ((10, 19),)), round(lateness(20, ((10, 19),)), 2)
    (-1.0, -0.27)
    """
    before = [(first, last) for first, last in windows if last < row]
    if not before:
        return -1.0
    first, last = before[-1]
    return _sigmoid((row - last) / max(last - first, 1))


@dataclass(frozen=True)
class Figures:
    """Over several series; `nab` is normalised."""

    f1: float
    precision: float
    recall: float
    nab: float


def figures(found: Sequence[Found], weights: Floats | None = None) -> Figures:
    """Of all windows and alerts together; `weights: float64[n]` counts a series so often.

    ValueError without windows.

    >>> round(figures([Found(2, 1, 1, 1.5), Found(0, 0, 1, -0.11)]).f1, 3)
    0.571
    """
    weights = np.ones(len(found)) if weights is None else weights
    rows = np.array([[f.found, f.missed, f.false_alerts, f.nab] for f in found], dtype=np.float64)
    hits, missed, false_alerts, raw = (float(total) for total in weights @ rows)
    windows = hits + missed
    if windows <= 0:
        raise ValueError("no series has an anomaly window; give some that have")
    return Figures(
        f1=2 * hits / (2 * hits + missed + false_alerts),
        precision=hits / (hits + false_alerts) if hits + false_alerts else 1.0,
        recall=hits / windows,
        nab=100 * (raw + MISSED_COST * windows) / ((1 + MISSED_COST) * windows),
    )


def with_intervals(found: Sequence[Found]) -> dict[str, Estimate]:
    """95 % of a bootstrap that draws whole series, by figure."""
    return {
        name: _bootstrapped(lambda w, name=name: getattr(figures(found, w), name), len(found))  # type: ignore[misc]
        for name in ("f1", "precision", "recall", "nab")
    }


def f1_gain(ours: Sequence[Found], theirs: Sequence[Found]) -> Estimate:
    """Ours less theirs on the same series, with its paired interval."""
    return _bootstrapped(lambda w: figures(ours, w).f1 - figures(theirs, w).f1, len(ours))


def best_threshold(
    series: Sequence[Labelled], scores: Mapping[str, Floats], quiet_seconds: float
) -> float:
    """The threshold with the highest F1 over these series; of equal ones the strictest."""
    every = np.concatenate([scores[one.name][one.first_judged :] for one in series])
    shares = np.geomspace(RAREST, COMMONEST, CANDIDATES)
    candidates = np.unique(np.quantile(every, 1 - shares))[::-1]
    return float(
        max(
            (float(one) for one in candidates if one > 0),
            key=lambda threshold: (
                figures(
                    [judged(one, scores[one.name], threshold, quiet_seconds) for one in series]
                ).f1
            ),
        )
    )


def _first_inside(alerts: Sequence[int], window: tuple[int, int]) -> int | None:
    return next((row for row in alerts if window[0] <= row <= window[1]), None)


def _sigmoid(position: float) -> float:
    """NAB's scaled sigmoid: 1 far before the end of a window, 0 at it, -1 far after."""
    return float(2.0 / (1.0 + np.exp(5.0 * position)) - 1.0)


def _bootstrapped(statistic: object, count: int) -> Estimate:
    rng = np.random.default_rng(SEED)
    return paired_bootstrap(statistic, np.arange(count), rng, resamples=RESAMPLES)  # type: ignore[arg-type]
