"""Whether a score still means its probability: calibration error by window, with its interval.

The expected calibration error of few labels is above zero even for perfect scores (Nixon et al.
2019, "Measuring Calibration in Deep Learning"). So each window also keeps what labels drawn from
the scores themselves would show (a consistency resampling, Broecker & Smith 2007, "Increasing the
reliability of reliability diagrams"), and drift is an error that hardly any of these reaches.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from evaluation.metrics import Booleans, Estimate, Floats, Integers, wilson

BINS, RESAMPLES, CONFIDENCE = 10, 500, 0.99
FEWEST_LABELS = 30


@dataclass(frozen=True)
class Bin:
    """One band of scores in a window: mean probability, share of spam seen, labels it rests on."""

    expected: float
    seen: Estimate
    labels: int


@dataclass(frozen=True)
class CalibrationWindow:
    """`error` with its bootstrap interval; `by_chance` is what perfect scores stay below with 99 %
    confidence; `gap` is spam seen less spam expected, as a share of the window.
    """

    window: str
    error: Estimate
    by_chance: float
    gap: float
    bins: tuple[Bin, ...]
    labels: int

    @property
    def drifted(self) -> bool:
        """Whether chance alone hardly explains the error."""
        return self.error.value > self.by_chance


def calibration_window(
    window: str,
    probabilities: Floats,
    is_spam: Booleans,
    weights: Floats,
    rng: np.random.Generator,
) -> CalibrationWindow | None:
    """Of n labelled draws: scores float64[n] in [0, 1], labels, how many events each stands for.

    None with fewer than FEWEST_LABELS.
    """
    if len(probabilities) < FEWEST_LABELS:
        return None
    bands = _bands(probabilities)
    value = _error(probabilities, is_spam, weights, bands)
    made = rng.random((RESAMPLES, len(probabilities))) < probabilities
    by_chance = [_error(probabilities, labels, weights, bands) for labels in made]
    drawn = rng.integers(0, len(probabilities), (RESAMPLES, len(probabilities)))
    again = [_error(probabilities[d], is_spam[d], weights[d], bands[d]) for d in drawn]
    low, high = np.quantile(again, [0.025, 0.975])
    total = weights.sum()
    return CalibrationWindow(
        window=window,
        error=Estimate(value, min(float(low), value), max(float(high), value)),
        by_chance=float(np.quantile(by_chance, CONFIDENCE)),
        gap=float(weights @ (is_spam - probabilities) / total),
        bins=tuple(_bin(probabilities, is_spam, bands == band) for band in np.unique(bands)),
        labels=len(probabilities),
    )


def _bands(probabilities: Floats) -> Integers:
    """int64[n]: bands that hold about as many draws each; equal scores stay together."""
    edges = np.unique(np.quantile(probabilities, np.linspace(0, 1, BINS + 1)[1:-1]))
    return np.asarray(np.searchsorted(edges, probabilities, side="right"), np.int64)


def _error(probabilities: Floats, is_spam: Booleans, weights: Floats, bands: Integers) -> float:
    gaps = np.bincount(bands, weights * (is_spam - probabilities))
    return float(np.abs(gaps).sum() / weights.sum())


def _bin(probabilities: Floats, is_spam: Booleans, rows: Booleans) -> Bin:
    count = int(rows.sum())
    return Bin(float(probabilities[rows].mean()), wilson(int(is_spam[rows].sum()), count), count)
