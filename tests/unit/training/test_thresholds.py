"""Thresholds that keep the false-positive rate, on small lists."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.logistic import logit, sigmoid
from training.thresholds import (
    ALL,
    FEWEST_EXCEEDANCES,
    Thresholds,
    fit_thresholds,
    threshold_at,
)

LEVELS = Thresholds(0.001, {ALL: (0.5, 0.6, 0.7, 0.8), "han-short": (0.9, 0.92, 0.94, 0.96)})


@pytest.mark.parametrize(
    ("score", "action"),
    [(0.49, "allow"), (0.5, "limit"), (0.6, "challenge"), (0.75, "review"), (0.8, "block")],
)
def test_a_score_gets_the_strictest_action_it_reaches(score: float, action: str) -> None:
    assert LEVELS.action(score, "latin-long") == action


def test_a_segment_has_its_own_thresholds() -> None:
    assert LEVELS.action(0.85, "han-short") == "allow"


def test_exactly_the_allowed_share_of_ham_reaches_the_threshold() -> None:
    ham = np.random.default_rng(0).random(10_000)
    assert (ham >= threshold_at(ham, 0.001)).sum() == 10


def test_one_absurd_ham_mail_does_not_move_the_threshold() -> None:
    ham = np.random.default_rng(0).random(10_000) * 0.5
    spoiled = np.append(ham[:-1], 0.999999)
    assert threshold_at(spoiled, 0.001) == pytest.approx(threshold_at(ham, 0.001), abs=0.001)


def test_a_rate_finer_than_the_ham_can_show_asks_for_more_than_the_largest_ham() -> None:
    ham = sigmoid(np.random.default_rng(0).normal(-4, 1, 500))
    assert ham.max() < threshold_at(ham, 0.0001) < 1


def test_stricter_actions_have_higher_thresholds_and_small_segments_use_those_of_all() -> None:
    rng = np.random.default_rng(0)
    scores = rng.random(3000)
    targets = np.zeros(3000, np.int64)
    segments = np.array(["latin-short"] * 2900 + ["han-short"] * 100)
    fitted = fit_thresholds(scores, targets, segments, 0.001)
    assert list(fitted.of("latin-short")) == sorted(fitted.of("latin-short"))
    assert "han-short" not in fitted.levels
    assert fitted.of("han-short") == fitted.levels[ALL]


def test_a_language_without_thresholds_uses_those_of_its_script_and_length() -> None:
    assert LEVELS.of("han-short/zh") == LEVELS.of("han-short")
    assert LEVELS.of("latin-short/en") == LEVELS.levels[ALL]


def test_few_exceedances_are_read_off_an_exponential_tail() -> None:
    """Of 2000 ham the largest 20 have log-odds 1 to 20, the mean 9.5 above the foot 1.

    The quantile of 0.001 is 1 + 9.5 * ln(20 / 2), whatever the two largest alone may say.
    """
    logits = np.concatenate([np.full(1980, -5.0), np.arange(1.0, 21.0)])
    ham = sigmoid(logits / 3)
    expected = float(sigmoid(np.array([(1 + 9.5 * np.log(10)) / 3]))[0])
    assert threshold_at(ham, 0.001) == pytest.approx(expected, abs=2e-6)


def test_a_kind_of_text_is_drawn_towards_the_wider_kind() -> None:
    """3000 ham at the rate 0.001: a trust of 3000 / (3000 + 1000) in its own tail."""
    rng = np.random.default_rng(0)
    scores = sigmoid(np.concatenate([rng.normal(-4, 1, 3000), rng.normal(-2, 1, 3000)]))
    targets = np.zeros(6000, np.int64)
    segments = np.repeat(["latin-short/tr", "latin-short/en"], 3000)
    fitted = fit_thresholds(scores, targets, segments, 0.001)
    own, wider = threshold_at(scores[:3000], 0.001), fitted.of("latin-short")[0]
    drawn = 0.75 * logit(np.array([own])) + 0.25 * logit(np.array([wider]))
    assert fitted.of("latin-short/tr")[0] == pytest.approx(float(sigmoid(drawn)[0]), abs=2e-6)
    assert own < fitted.of("latin-short/tr")[0] < wider


@given(st.lists(st.sampled_from(["han-short", "latin-short/tr", "latin-short"]), min_size=50))
def test_the_order_of_the_rows_does_not_matter(kinds: list[str]) -> None:
    scores = np.random.default_rng(0).random(len(kinds))
    targets, segments = np.zeros(len(kinds), np.int64), np.array(kinds)
    fitted = fit_thresholds(scores, targets, segments, 0.05)
    assert fitted == fit_thresholds(scores[::-1], targets, segments[::-1], 0.05)


def test_thresholds_need_ham() -> None:
    with pytest.raises(ValueError, match="need ham"):
        fit_thresholds(np.array([0.5]), np.array([1]), np.array(["latin-short"]), 0.001)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=200), st.floats(0.001, 0.4))
def test_a_threshold_is_a_score_and_falls_as_the_rate_grows(ham: list[float], rate: float) -> None:
    scores = np.round(np.array(ham), 6)
    assert 0 < threshold_at(scores, rate) < 1
    rows = rate * len(scores)
    if rows >= FEWEST_EXCEEDANCES and len(np.unique(scores)) == len(scores) > 2 * rows:
        assert threshold_at(scores, rate) >= threshold_at(scores, 2 * rate) - 1e-6


def test_weights_act_like_repeated_rows_where_the_rate_is_read_off_the_rows() -> None:
    """200 of 4000 ham may lie above: no tail is needed, a share of the weight is cut off."""
    rng = np.random.default_rng(0)
    scores, weights = rng.random(4000), rng.choice([1.0, 2.0], 4000)
    cut = threshold_at(scores, 0.05, weights)
    share = weights[scores >= cut].sum() / weights.sum()
    assert share == pytest.approx(0.05, abs=2 / weights.sum())
    assert cut != threshold_at(scores, 0.05)


def test_a_tail_of_weighted_ham_is_worked_by_hand() -> None:
    """Weight 3 on the largest ham, 1 on 30 others: (33)^2 / 39 = 27.9 rows, so a count is 0.846.

    A tail of 10 is reached with the largest (2.54) and nine more (7.62, together 10.15), whose
    foot has log-odds 1. The mean excess is (2.54 * 9 + 0.846 * (8 + ... + 0)) / 10.15 = 5.25.
    """
    logits = np.concatenate([np.arange(10.0, 0.0, -1.0), np.full(21, -5.0)]) / 4
    weights = np.concatenate([[3.0], np.ones(30)])
    expected = (1 + 5.25 * np.log(12 / (0.01 * 33))) / 4
    assert threshold_at(sigmoid(logits), 0.01, weights) == pytest.approx(
        float(sigmoid(np.array([expected]))[0]), abs=2e-6
    )


def test_rows_that_a_sampler_chose_do_not_move_the_thresholds() -> None:
    rng = np.random.default_rng(0)
    drawn, chosen = sigmoid(rng.normal(-4, 1, 2000)), sigmoid(rng.normal(0, 0.3, 500))
    segments, targets = np.array(["latin-short"] * 2500), np.zeros(2500, np.int64)
    weights = np.concatenate([np.full(2000, 50.0), np.zeros(500)])
    scores = np.concatenate([drawn, chosen])
    fitted = fit_thresholds(scores, targets, segments, 0.01, weights)
    assert fitted == fit_thresholds(drawn, targets[:2000], segments[:2000], 0.01)
    taken = fit_thresholds(scores, targets, segments, 0.01)
    assert taken.levels[ALL][0] > fitted.levels[ALL][0]


def test_ham_of_few_heavy_rows_is_trusted_as_few() -> None:
    """1000 ham of weight 1 and one of weight 1000: worth four rows, too few for their own kind."""
    scores, targets = np.random.default_rng(0).random(2001), np.zeros(2001, np.int64)
    segments = np.array(["latin-short"] * 1000 + ["han-short"] * 1001)
    weights = np.ones(2001)
    weights[-1] = 1000.0
    fitted = fit_thresholds(scores, targets, segments, 0.001, weights)
    assert "latin-short" in fitted.levels
    assert "han-short" not in fitted.levels


@given(st.integers(1, 400), st.floats(0.001, 0.3), st.floats(0.1, 1e4))
def test_equal_weights_change_nothing(count: int, rate: float, weight: float) -> None:
    scores = np.random.default_rng(count).random(count)
    assert threshold_at(scores, rate, np.full(count, weight)) == threshold_at(scores, rate)


def test_a_shift_is_added_to_every_threshold_in_log_odds() -> None:
    thresholds = Thresholds(0.001, {ALL: (0.5, 0.6, 0.7, 0.8)})
    assert thresholds.action(0.72, ALL) == "review"
    assert thresholds.action(0.72, ALL, shift=1.0) == "allow"  # .5 becomes .731
    assert thresholds.action(0.72, ALL, shift=-1.0) == "block"  # .8 becomes .595
