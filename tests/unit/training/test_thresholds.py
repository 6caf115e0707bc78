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
