"""Two other ways to judge a canary, on the same streams: fixed thresholds, and Mann-Whitney.

Fixed thresholds as Flagger checks them: each interval a success rate of at least 99 % and a 99th
percentile below a limit, rolled back after so many failed checks
(https://fluxcd.io/flagger/usage/metrics: 99 and 500 ms in its example; here the limit stands a
fifth above the champion's own 99th percentile, since 500 ms would see nothing).

Mann-Whitney as Kayenta's NetflixACAJudge applies it: per metric over the points of both arms'
time series, fails where the 98 % interval of the Hodges-Lehmann shift lies beyond a quarter of
the estimate (spinnaker/kayenta, NetflixACAJudge.scala and MannWhitneyClassifier.scala:
`fraction = 0.25, confLevel = 0.98`), after removing outliers three interquartile ranges out. Of
its scoring only the simplest is taken: one metric that is worse fails the canary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from tests.performance.rollout_streams import CHUNK, Chunk, Floats, champion_quantiles

INTERVAL = 1000  # canary requests in one point of a time series, and in one check
POINTS = CHUNK // INTERVAL
SUCCESS_RATE = 0.99
LATENCY_LIMIT_FACTOR = 1.2
FAILED_CHECKS = 5
CONFIDENCE = 0.98
EFFECT_FRACTION = 0.25
OUTLIER_FACTOR = 3.0
FIRST_POINTS, EACH_POINTS = 10, 5  # where Mann-Whitney is looked at again and again
METRICS = ("errors", "p50", "p99", "acted")


@dataclass(frozen=True)
class Series:
    """One point an interval, float64[points, METRICS]."""

    canary: Floats
    reference: Floats

    @staticmethod
    def joined(parts: Sequence[Series]) -> Series:
        return Series(
            np.concatenate([part.canary for part in parts]),
            np.concatenate([part.reference for part in parts]),
        )


def series(canary: Chunk, reference: Chunk) -> Series:
    return Series(_points(canary), _points(reference))


def fixed_thresholds(found: Series) -> int | None:
    """Canary requests until it is rolled back."""
    limit = LATENCY_LIMIT_FACTOR * champion_quantiles()[1]
    errors, p99 = found.canary[:, METRICS.index("errors")], found.canary[:, METRICS.index("p99")]
    failed = np.cumsum((1 - errors < SUCCESS_RATE) | (p99 > limit))
    return _first(failed >= FAILED_CHECKS)


def mann_whitney_at_the_end(found: Series) -> int | None:
    """The number of all requests where it fails."""
    return len(found.canary) * INTERVAL if _fails(found, len(found.canary)) else None


def mann_whitney_again_and_again(found: Series) -> int | None:
    """Canary requests until the first look that fails, a look every few points."""
    for points in range(FIRST_POINTS, len(found.canary) + 1, EACH_POINTS):
        if _fails(found, points):
            return points * INTERVAL
    return None


def hodges_lehmann(first: Floats, second: Floats, confidence: float) -> tuple[float, float, float]:
    """Shift of the first sample, and its interval by the normal approximation of Mann-Whitney.

    >>> hodges_lehmann(np.array([3.0, 4.0, 5.0]), np.array([1.0, 2.0, 3.0]), 0.98)[0]
    2.0
    """
    differences = np.sort((first[:, None] - second[None, :]).ravel())
    m, n = len(first), len(second)
    z = float(norm.ppf((1 + confidence) / 2))
    rank = int(np.floor(m * n / 2 - z * np.sqrt(m * n * (m + n + 1) / 12)))
    if rank < 1:
        return float(np.median(differences)), float("-inf"), float("inf")
    return (
        float(np.median(differences)),
        float(differences[rank - 1]),
        float(differences[len(differences) - rank]),
    )


def _fails(found: Series, points: int) -> bool:
    """Whether any metric is classified as high; fewer acts are a change as well."""
    for number, name in enumerate(METRICS):
        shift, low, high = hodges_lehmann(
            _without_outliers(found.canary[:points, number]),
            _without_outliers(found.reference[:points, number]),
            CONFIDENCE,
        )
        reach = EFFECT_FRACTION * abs(shift)
        if low > reach or (name == "acted" and high < -reach):
            return True
    return False


def _without_outliers(values: Floats) -> Floats:
    first, third = np.quantile(values, [0.25, 0.75])
    reach = OUTLIER_FACTOR * (third - first)
    return values[(values >= first - reach) & (values <= third + reach)]


def _points(chunk: Chunk) -> Floats:
    windows = chunk.milliseconds.reshape(POINTS, INTERVAL)
    p50, p99 = np.quantile(windows, [0.5, 0.99], axis=1)
    errors, acted = (
        column.reshape(POINTS, INTERVAL).mean(axis=1) for column in (chunk.errors, chunk.acted)
    )
    return np.stack([errors, p50, p99, acted], axis=1)


def _first(reached: np.ndarray) -> int | None:
    return (int(np.argmax(reached)) + 1) * INTERVAL if reached.any() else None
