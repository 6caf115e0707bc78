"""Latency in bins: what is counted where, and ratios of quantiles that hold at every look."""

from __future__ import annotations

from math import inf, nan

import numpy as np
import pytest

from serving.rollout.latency_histogram import (
    BINS,
    GROWTH,
    LatencyHistogram,
    QuantileRatios,
    histogram,
)


def ratios(canary: object, reference: object) -> QuantileRatios:
    return QuantileRatios(LatencyHistogram.of(canary), LatencyHistogram.of(reference))  # type: ignore[arg-type]


def test_one_by_one_and_all_at_once_are_counted_alike() -> None:
    values = [0.0, 1.9, 2.0, 2.001, 7.5, 130.0, 1e9]
    single = LatencyHistogram()
    for value in values:
        single.add(value)
    assert single == LatencyHistogram.of(values) == histogram(values)
    assert len(single) == 7
    assert (single.counts[0], single.counts[BINS - 1]) == (3, 1)


@pytest.mark.parametrize("wrong", [nan, -1.0])
def test_what_is_no_duration_is_refused(wrong: float) -> None:
    with pytest.raises(ValueError, match="no duration"):
        LatencyHistogram().add(wrong)
    with pytest.raises(ValueError, match="no duration"):
        LatencyHistogram.of([3.0, wrong])


def test_a_quantile_is_right_to_half_a_per_cent() -> None:
    values = np.random.default_rng(1).lognormal(3, 0.5, 5000)
    for quantile in (0.5, 0.95, 0.99):
        exact = np.quantile(values, quantile, method="inverted_cdf")
        assert LatencyHistogram.of(values).quantile(quantile) == pytest.approx(exact, rel=0.005)


def test_nothing_in_one_arm_says_nothing() -> None:
    assert ratios([], [10.0] * 500).limits(0.5, 0.01) == (0.0, inf)
    assert ratios([10.0] * 500, []).limits(0.5, 0.01) == (0.0, inf)


def test_a_tail_of_which_nothing_was_seen_says_nothing() -> None:
    """99 of 100 lie below: a hundred values cannot tell where that is."""
    values = np.random.default_rng(2).lognormal(3, 0.5, (2, 100))
    assert ratios(*values).limits(0.99, 0.01) == (0.0, inf)


def test_all_alike_is_a_ratio_of_one_to_a_bin() -> None:
    low, high = ratios([10.0] * 200, [10.0] * 200).limits(0.5, 0.001)
    assert (low, high) == (pytest.approx(1 / GROWTH), pytest.approx(GROWTH))


def test_times_below_the_floor_are_all_the_same() -> None:
    found = ratios([1.9] * 200, [0.2] * 200)
    assert found.values(0.5) == (2.0, 2.0)
    low, high = found.limits(0.5, 0.001)
    assert (low, high) == (pytest.approx(1 / GROWTH), pytest.approx(GROWTH))


def test_four_times_as_slow_is_a_ratio_of_four() -> None:
    low, high = ratios([40.0] * 200, [10.0] * 200).limits(0.5, 0.001)
    assert low == pytest.approx(4, rel=0.011)
    assert high == pytest.approx(4, rel=0.011)


def test_arms_change_places_and_so_do_the_limits() -> None:
    one, other = np.random.default_rng(3).lognormal(3, 0.5, (2, 3000))
    low, high = ratios(one, other).limits(0.95, 0.01)
    back = ratios(other, one).limits(0.95, 0.01)
    assert back == (pytest.approx(1 / high), pytest.approx(1 / low))


def test_more_requests_narrow_the_interval() -> None:
    one, other = np.random.default_rng(4).lognormal(3, 0.5, (2, 20_000))
    found = [ratios(one[:n], other[:n]).limits(0.95, 0.01) for n in (500, 2500, 20_000)]
    widths = [high / low for low, high in found]
    assert widths == sorted(widths, reverse=True)
    assert widths[-1] < 1.15


def test_the_interval_holds_at_all_looks_together() -> None:
    """At 20 % error to a side, and true ratios of 1 and 1.5; fixed limits would miss most."""
    rng = np.random.default_rng(5)
    missed = 0
    for run in range(60):
        truth = 1.0 if run % 2 else 1.5
        one, other = rng.lognormal(3, 0.5, (2, 3000))
        limits = [
            ratios(one[:n] * truth, other[:n]).limits(0.9, 0.2) for n in range(100, 3001, 100)
        ]
        missed += any(low > truth or high < truth for low, high in limits)
    assert missed <= 0.4 * 60
    assert max(low for low, _ in limits) > 0.8  # and it says something
