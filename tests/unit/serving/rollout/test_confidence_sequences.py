"""Intervals that hold at every look: worked by hand, then covered, then symmetric."""

from __future__ import annotations

from math import log

import numpy as np
import pytest
from scipy.special import betaln

from serving.rollout.confidence_sequences import (
    OrderEvidence,
    difference_limits,
    log_mixture,
    log_rank_evidence,
    rate_limits,
    sides_differ,
)


def limits(k1: float, n1: float, k2: float, n2: float, alpha: float = 0.05) -> tuple[float, float]:
    low, high = difference_limits(k1, n1, k2, n2, alpha)
    return float(low[0]), float(high[0])


def is_just_outside(likelihood: float, ceiling: float) -> bool:
    """Limits are rounded outwards, by less than a hundredth of their distance."""
    return ceiling - 0.1 < likelihood <= ceiling


def test_a_mixture_over_rates_is_the_mean_of_its_beta_binomials() -> None:
    # two events: E[p²] of Beta(a, b) = a (a + 1) / ((a + b) (a + b + 1))
    means = [0.5 * 1.5 / ((0.5 + b) * (1.5 + b)) for b in (1000.0, 50.0, 0.5)]
    assert np.exp(log_mixture(2, 2)) == pytest.approx(sum(means) / 3)


def test_limits_of_a_rate_are_where_the_likelihood_is_the_mixture_times_alpha() -> None:
    low, high = rate_limits(3, 20, 0.05)
    for rate in (low, high):
        likelihood = 3 * log(rate) + 17 * log(1 - rate)
        assert is_just_outside(likelihood, float(log_mixture(3, 20)) + log(0.05))


def test_no_event_in_n_leaves_the_rates_that_n_could_miss() -> None:
    # (1 - p)^n = alpha * mixture
    ceiling = (0.05 * float(np.exp(log_mixture(0, 50)))) ** (1 / 50)
    low, high = rate_limits(0, 50, 0.05)
    assert (low, high) == (0.0, pytest.approx(1 - ceiling, abs=1e-4))


def test_without_trials_nothing_is_known() -> None:
    assert rate_limits(0, 0, 0.05) == (0.0, 1.0)
    assert limits(0, 0, 5, 10) == (-1.0, 1.0)
    assert limits(5, 10, 0, 0) == (-1.0, 1.0)


@pytest.mark.parametrize(("k", "n"), [(-1, 10), (11, 10), (1, float("nan")), (float("nan"), 10)])
def test_counts_that_cannot_be_are_refused(k: float, n: float) -> None:
    with pytest.raises(ValueError, match="0 <= events <= trials"):
        rate_limits(k, n, 0.05)
    with pytest.raises(ValueError, match="0 <= events <= trials"):
        limits(k, n, 1, 10)


def test_a_difference_is_ruled_out_where_its_best_two_rates_are_too_unlikely() -> None:
    """The profile likelihood against a search over all pairs of rates that far apart."""
    low, high = limits(60, 100, 20, 120)
    ceiling = float(log_mixture(60, 100) + log_mixture(20, 120)) + log(0.05)
    for difference in (low, high):
        second = np.linspace(max(0, -difference), min(1, 1 - difference), 200_001)[1:-1]
        first = second + difference
        best = np.max(
            60 * np.log(first) + 40 * np.log1p(-first) + 20 * np.log(second)
            + 100 * np.log1p(-second)
        )  # fmt: skip
        assert is_just_outside(best, ceiling)


def test_eight_events_on_one_side_are_a_hundred_to_one() -> None:
    # mean of (2 t)^8 over t > 1/2 under Jeffreys' prior cut there
    cut = np.linspace(0.5, 1, 500_001)[:-1] + 5e-7
    prior = 1 / np.sqrt(cut * (1 - cut))
    expected = float(np.sum(prior * (2 * cut) ** 8) / np.sum(prior))
    found = sides_differ(*(np.array([float(one)]) for one in (8, 100, 0, 100)))
    assert np.exp(found[0]) == pytest.approx(expected, rel=0.01)


def test_zero_is_ruled_out_by_the_side_that_events_fall_on() -> None:
    assert limits(8, 100_000, 0, 100_000, 0.02)[0] > 0
    assert limits(4, 100_000, 0, 100_000, 0.02)[0] <= 0


def test_arms_change_places_and_so_do_the_limits() -> None:
    low, high = limits(17, 400, 6, 300)
    assert limits(6, 300, 17, 400) == (pytest.approx(-high), pytest.approx(-low))


def test_more_of_the_same_narrows_the_interval() -> None:
    widths = [high - low for low, high in (limits(2 * n, 100 * n, n, 100 * n) for n in (1, 4, 16))]
    assert widths == sorted(widths, reverse=True)


def test_rows_are_answered_as_if_they_were_asked_alone() -> None:
    rows = [(0, 40, 0, 40), (5, 1000, 2, 1000), (60, 100, 10, 100)]
    low, high = difference_limits(*np.array(rows, np.float64).T, 0.01)
    alone = [limits(*row, 0.01) for row in rows]
    assert np.allclose(np.stack([low, high], axis=1), alone, atol=2e-5)


def test_a_rank_speaks_as_a_beta_binomial_around_the_quantile() -> None:
    strengths = [
        np.exp(betaln(9 + s / 2, 1 + s / 2) - betaln(s / 2, s / 2)) / 0.5**10
        for s in (16.0, 400.0)
    ]  # fmt: skip
    assert np.exp(log_rank_evidence(9, 10, 0.5)) == pytest.approx(np.mean(strengths))


def test_evidence_of_order_falls_with_one_arm_and_rises_with_the_other() -> None:
    evidence = OrderEvidence(100, 100, 0.5)
    first = evidence.of_first(np.array([20.0, 50.0, 80.0]))
    second = evidence.of_second(np.array([50.0, 50.0, 50.0]))
    assert np.all(np.diff(first, axis=1) <= 0)
    assert np.all(np.diff(evidence.of_second(np.array([20.0, 50.0, 80.0])), axis=1) >= 0)
    assert (first + second).max(axis=0)[0] > 8
    assert (first + second).max(axis=0)[2] < 0


def test_intervals_hold_at_all_looks_together() -> None:
    """At 20 % error each; a fixed 80 % interval looked at so often misses far more."""
    rng = np.random.default_rng(11)
    looks, runs, rates = np.arange(40, 2001, 40), 150, (0.03, 0.01)
    events = [np.cumsum(rng.random((runs, 2000)) < rate, axis=1)[:, looks - 1] for rate in rates]
    trials = np.broadcast_to(looks, events[0].shape)
    low, high = (
        one.reshape(runs, len(looks))
        for one in difference_limits(
            events[0].ravel(), trials.ravel(), events[1].ravel(), trials.ravel(), 0.2
        )
    )
    difference = rates[0] - rates[1]
    missed = np.mean(np.any((low > difference) | (high < difference), axis=1))
    assert missed <= 0.2
    p, q = events[0] / looks, events[1] / looks
    error = 1.28 * np.sqrt((p * (1 - p) + q * (1 - q)) / looks)
    naive = np.mean(np.any(np.abs(p - q - difference) > error, axis=1))
    assert naive > 0.5


def test_equal_rates_are_called_different_no_more_often_than_alpha_at_all_looks() -> None:
    rng = np.random.default_rng(12)
    looks = np.arange(100, 10_001, 100)
    events = [
        np.cumsum(rng.random((300, 10_000)) < 0.01, axis=1)[:, looks - 1].astype(np.float64)
        for _ in range(2)
    ]
    trials = np.broadcast_to(looks.astype(np.float64), events[0].shape)
    found = sides_differ(events[0], trials, events[1], trials) >= -log(0.1)
    called = np.mean(np.any(found, axis=1))
    assert 0.005 < called <= 0.1
