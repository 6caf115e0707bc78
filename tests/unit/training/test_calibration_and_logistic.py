"""Calibration and the logistic fit on numbers worked by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.calibration import Calibration, calibration_error, fit_calibration
from training.logistic import fit_logistic, logit, logit_of, sigmoid, sigmoid_of


def test_a_logistic_regression_finds_the_log_odds_of_two_groups() -> None:
    # x = 0: 1 of 4 positive; x = 1: 3 of 4. Intercept = ln(1/3), slope = ln(3) - ln(1/3)
    columns = np.repeat([[0.0], [1.0]], 4, axis=0)
    targets = np.array([1, 0, 0, 0, 1, 1, 1, 0], float)
    weights, intercept = fit_logistic(columns, targets, ridge=1e-9)
    assert intercept == pytest.approx(np.log(1 / 3), abs=1e-6)
    assert weights[0] == pytest.approx(2 * np.log(3), abs=1e-6)


def test_a_ridge_keeps_separable_data_finite() -> None:
    weights, _ = fit_logistic(np.array([[-1.0], [1.0]]), np.array([0.0, 1.0]), ridge=1.0)
    assert 0 < weights[0] < 5


def test_sigmoid_and_logit_undo_each_other_and_never_overflow() -> None:
    assert sigmoid(np.array([-1000.0, 0.0, 1000.0])).tolist() == [0.0, 0.5, 1.0]
    assert logit(sigmoid(np.array([1.5])))[0] == pytest.approx(1.5)


@given(st.floats(-60, 60), st.floats(0, 1))
def test_one_number_is_read_as_many_are(log_odds: float, probability: float) -> None:
    fitted = Calibration(1.3, -0.2)
    assert sigmoid_of(log_odds) == pytest.approx(sigmoid(np.array([log_odds]))[0], abs=1e-15)
    assert logit_of(probability) == pytest.approx(logit(np.array([probability]))[0], rel=1e-14)
    alone, among = fitted.probability_of(log_odds), fitted.probability(np.array([log_odds]))[0]
    assert alone == pytest.approx(among, abs=1e-15)


def test_calibration_recovers_a_known_slope_and_intercept() -> None:
    rng = np.random.default_rng(0)
    log_odds = rng.normal(0, 2, 20_000)
    targets = (rng.random(20_000) < sigmoid(0.5 * log_odds - 1)).astype(np.int64)
    fitted = fit_calibration(log_odds, targets)
    assert fitted.slope == pytest.approx(0.5, abs=0.05)
    assert fitted.intercept == pytest.approx(-1, abs=0.08)
    assert calibration_error(fitted.probability(log_odds), targets) < 0.01


@given(st.lists(st.floats(-50, 50), min_size=2, max_size=20))
def test_calibration_keeps_the_order_of_scores_and_stays_inside_0_and_1(
    log_odds: list[float],
) -> None:
    probabilities = Calibration(0.7, -0.3).probability(np.sort(log_odds))
    assert (np.diff(probabilities) >= 0).all()
    assert probabilities.min() > 0
    assert probabilities.max() < 1


def test_a_slope_that_would_turn_the_order_is_refused() -> None:
    with pytest.raises(ValueError, match="order of scores"):
        Calibration(slope=0.0)


def test_calibration_needs_both_labels() -> None:
    with pytest.raises(ValueError, match="both labels"):
        fit_calibration(np.array([0.1, 0.2]), np.array([1, 1]))
