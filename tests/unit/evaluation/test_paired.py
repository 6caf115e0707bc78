"""Paired differences: by hand, and by the properties that Tango's interval must have."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from evaluation.gates.paired import Pairs, holm, paired

Z = norm.ppf(0.975)


def test_without_a_difference_the_statistic_at_zero_is_that_of_mcnemar() -> None:
    assert Pairs(12, 5, 100).statistic(0) == pytest.approx((12 - 5) / np.sqrt(12 + 5))


def test_where_no_case_differs_the_upper_end_has_a_closed_form() -> None:
    found = Pairs(0, 0, 100).interval()
    assert found.value == 0
    assert found.high == pytest.approx(Z**2 / (100 + Z**2), abs=1e-6)
    assert found.low == pytest.approx(-found.high, abs=1e-6)


def test_one_lens_of_forty_four_as_in_tangos_paper() -> None:
    """43 agree, one differs. The likeliest share lost at a difference d, by hand: with one gained
    and none lost, log(q + d) + 43 log(1 - 2q - d) has its maximum where 1 - 87 d = 88 q.
    """
    difference = 0.01
    lost = (1 - 87 * difference) / 88
    variance = 44 * (2 * lost + difference * (1 - difference))
    expected = (1 - 44 * difference) / np.sqrt(variance)
    assert Pairs(1, 0, 44).statistic(difference) == pytest.approx(expected)


@given(st.integers(0, 30), st.integers(0, 30), st.integers(0, 300))
def test_the_interval_holds_the_estimate_and_mirrors_when_the_models_swap(
    gained: int, lost: int, alike: int
) -> None:
    size = gained + lost + alike
    if not size:
        return
    one = Pairs(gained, lost, size).interval()
    other = Pairs(lost, gained, size).interval()
    assert -1 <= one.low <= one.value <= one.high <= 1
    assert one.low == pytest.approx(-other.high, abs=1e-6)


def test_the_ends_of_the_interval_are_where_the_test_just_rejects() -> None:
    pairs = Pairs(9, 2, 150)
    ends = pairs.interval()
    assert pairs.surely_beyond(ends.low, "low") == pytest.approx(0.025, abs=1e-4)
    assert pairs.surely_beyond(ends.high, "high") == pytest.approx(0.025, abs=1e-4)


def test_two_points_more_of_a_thousand_are_surely_beyond_half_a_point_and_two_cases_are_not() -> (
    None
):
    assert Pairs(20, 0, 1000).surely_beyond(0.005, "low") < 1e-4
    assert Pairs(2, 0, 100).surely_beyond(0.005, "low") > 0.05


def test_copies_of_one_message_count_as_one() -> None:
    new = np.array([True] * 10 + [False] * 90)
    old = np.zeros(100, bool)
    copies = np.array([0] * 10 + list(range(1, 91)))
    alone, together = paired(new, old, np.arange(100)), paired(new, old, copies)
    assert (alone.gained, alone.size) == (10, 100)
    assert together.difference == alone.difference
    assert together.size < 20
    assert together.interval().high > alone.interval().high


def test_holm_never_lowers_a_chance_and_keeps_their_order() -> None:
    found = holm({"a": 0.2, "b": 0.001, "c": 0.02})
    assert found == pytest.approx({"a": 0.2, "b": 0.003, "c": 0.04})
    assert holm({}) == {}


def test_an_empty_slice_is_refused() -> None:
    with pytest.raises(ValueError, match="empty"):
        paired(np.zeros(0, bool), np.zeros(0, bool), np.zeros(0, np.int64))
