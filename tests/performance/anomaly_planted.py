"""Made series with known answers: an anomaly that no single series shows, and quiet weeks.

Simulated, and said so: hours of a platform's figures that follow load over the day and each other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from evaluation.monitoring.anomaly.base import Detector
from evaluation.monitoring.anomaly.series import Floats, Series

HOUR, HOURS_A_DAY, WEEKS = 3600.0, 24, 10
ROWS = WEEKS * 7 * HOURS_A_DAY
COLUMNS = ("requests", "cpu_share", "queue_depth", "latency_p95", "positive_decisions")
LOADINGS = np.array([1.0, 0.9, 0.8, 0.7, 0.9])
NOISE = 0.15  # of a column, beside what moves all
FIRST_JUDGED = 3 * 7 * HOURS_A_DAY
PLANTED = ROWS - 2 * 7 * HOURS_A_DAY  # first planted hour
PLANTED_HOURS = 3
ORDINARY_SIZE = 1.2  # standard deviations of a column: one hour in four lies farther out
FALSE_ALARM_SHARE = 1 / 500  # of the hours without an anomaly


@dataclass(frozen=True)
class Caught:
    """Of one detector over several seeds, each with its threshold at the same false alarms."""

    detector: str
    found: int
    trials: int


def broken_together(rng: np.random.Generator) -> Series:
    """float64[1680, 5]: columns that move as one, but for three hours in which half turn round.

    In those hours each column by itself is at an ordinary distance from its mean.
    """
    values = _moving_as_one(rng)
    signs = np.array([1.0, -1.0, 1.0, -1.0, 1.0])
    values[PLANTED : PLANTED + PLANTED_HOURS] = ORDINARY_SIZE * signs * values.std(axis=0)
    return Series(_hours(), values, COLUMNS)


def quiet(rng: np.random.Generator, columns: int) -> Series:
    """Hours of `columns` measurements with daily and weekly seasons and heavy tails, no anomaly."""
    hours = np.arange(ROWS)
    day = np.sin(2 * np.pi * hours / HOURS_A_DAY)
    weekend = (hours // HOURS_A_DAY) % 7 >= 5
    seasons = 10 + 3 * day[:, None] * rng.uniform(0, 1, columns) - 2.0 * weekend[:, None]
    noise = rng.standard_t(4, (ROWS, columns)) * rng.uniform(0.2, 1.0, columns)
    return Series(_hours(), seasons + noise, tuple(f"quiet_{i}" for i in range(columns)))


def caught(detectors: Mapping[str, Detector], seeds: Sequence[int]) -> list[Caught]:
    """Which detectors find the planted hours at one false-alarm rate, each given every column."""
    made = [broken_together(np.random.default_rng(seed)) for seed in seeds]
    return [
        Caught(name, sum(finds(detector.scores(series)) for series in made), len(made))
        for name, detector in detectors.items()
    ]


def finds(scores: Floats) -> bool:
    """Whether a planted hour scores above the threshold of as many false alarms as allowed."""
    inside = slice(PLANTED, PLANTED + PLANTED_HOURS)
    outside = np.delete(scores, np.arange(PLANTED, ROWS))[FIRST_JUDGED:]
    threshold = np.quantile(outside, 1 - FALSE_ALARM_SHARE)
    return bool(scores[inside].max() > threshold)


def _moving_as_one(rng: np.random.Generator) -> Floats:
    load = np.zeros(ROWS)
    for hour in range(1, ROWS):
        load[hour] = 0.6 * load[hour - 1] + 0.8 * rng.normal()
    return np.asarray(load[:, None] * LOADINGS + rng.normal(0, NOISE, (ROWS, len(LOADINGS))))


def _hours() -> Floats:
    return np.arange(ROWS) * HOUR
