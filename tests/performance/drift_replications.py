"""How often nothing is called drift, and how often something is found: simulated small days.

Histograms are drawn from the exact chances of their bins, which is the same in distribution as
drawing the rows and counting them. Every day has its own shift and scale, which moves all bins of a
feature together: a test that knows only sampling noise alarms on nearly every such day.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2_contingency, norm

from data_contracts.config import Drift
from evaluation.metrics import clopper_pearson
from evaluation.monitoring.drift.bins import Bins, NumberBins
from evaluation.monitoring.drift.distances import jensen_shannon
from evaluation.monitoring.drift.histograms import Histogram
from evaluation.monitoring.drift.judging import compared

FEATURES, ROWS = 20, 20_000
DAY_SHIFT, DAY_SCALE = 0.05, 0.03  # standard deviations; of the scale, in its logarithm
SHIFTS = (0.1, 0.2, 0.4, 0.8)  # planted, in standard deviations
PLAIN_LEVEL = 0.05
EDGES = tuple(norm.ppf(np.linspace(0, 1, 21)[1:-1]).tolist())
BINS = Bins(tuple(NumberBins(f"f{n:02d}", (-6.0, *EDGES, 6.0)) for n in range(FEATURES)), ())
Shares = NDArray[np.float64]


def false_alarms(replications: int, settings: Drift, seed: int) -> dict[str, Any]:
    """Days without a drift on which anything was flagged: after correction, and by rivals.

    `significant` disregards the floors of effect, so it shows the test alone.
    """
    test_alone = settings.model_copy(update={"minimum_distance": 0.0})
    flagged = {"ours": 0, "significant": 0, "chi_square_bonferroni": 0, "distance_0.1": 0}
    for number in range(replications):
        rng = np.random.default_rng([seed, number])
        *reference, current = _days(settings.reference_days + 1, rng)
        flagged["ours"] += _any(reference, current, settings)
        flagged["significant"] += _any(reference, current, test_alone)
        flagged["chi_square_bonferroni"] += _plain(reference, current)
        flagged["distance_0.1"] += any(
            jensen_shannon(_window(reference, name), one.rows) >= settings.minimum_distance
            for name, one in current.items()
        )
    return {
        "replications": replications, "features": FEATURES, "rows_a_day": ROWS,
        "nominal": settings.false_discovery_rate,
        "rates": {name: vars(clopper_pearson(n, replications)) for name, n in flagged.items()},
    }  # fmt: skip


def power(replications: int, settings: Drift, seed: int) -> list[dict[str, Any]]:
    """How often a shift of one of the features is flagged, by its size, the floor included."""
    rows = []
    for shift in SHIFTS:
        found = 0
        for number in range(replications):
            rng = np.random.default_rng([seed, 1, number])
            *reference, current = _days(settings.reference_days + 1, rng, shift)
            drifted = compared(BINS, reference, current, settings, _unknown)
            found += any(one.drifted for one in drifted if one.feature == "f00")
        rows.append({"shift": shift, "found": vars(clopper_pearson(found, replications))})
    return rows


def _days(
    count: int, rng: np.random.Generator, shift_of_last: float = 0.0
) -> list[dict[str, Histogram]]:
    days = []
    for number in range(count):
        planted = shift_of_last if number == count - 1 else 0.0
        days.append({
            one.feature: _drawn(planted if place == 0 else 0.0, rng)
            for place, one in enumerate(BINS.features)
        })  # fmt: skip
    return days


def _drawn(planted: float, rng: np.random.Generator) -> Histogram:
    shift, scale = planted + DAY_SHIFT * rng.standard_normal(), DAY_SCALE * rng.standard_normal()
    reached = norm.cdf((np.array((-6.0, *EDGES, 6.0)) - shift) / np.exp(scale))
    shares = np.diff(np.concatenate([[0.0], reached, [1.0]]))
    rows = np.concatenate([[0], rng.multinomial(ROWS, shares / shares.sum())])
    nothing = np.zeros(len(rows), np.int64)
    return Histogram(rows, nothing, nothing)


def _any(
    reference: Sequence[dict[str, Histogram]], current: dict[str, Histogram], settings: Drift
) -> bool:
    return any(one.drifted for one in compared(BINS, reference, current, settings, _unknown))


def _plain(reference: Sequence[dict[str, Histogram]], current: dict[str, Histogram]) -> bool:
    """A chi-square test a feature against the window, as if rows were independent."""
    for name, one in current.items():
        table = np.stack([_window(reference, name), one.rows])
        table = table[:, table.sum(axis=0) > 0]
        if chi2_contingency(table).pvalue <= PLAIN_LEVEL / FEATURES:
            return True
    return False


def _window(reference: Sequence[dict[str, Histogram]], name: str) -> NDArray[np.int64]:
    return np.sum([day[name].rows for day in reference], axis=0)


def _unknown(_: str) -> list[None]:
    return [None] * 4
