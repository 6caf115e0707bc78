"""Which rows thresholds and calibration rest on, and that a reviewer can see it."""

from __future__ import annotations

import numpy as np
import pytest

from training.calibration import fit_calibration
from training.footing import AUDIT, NO_AUDIT, WHOLE, effective_count, footing
from training.logistic import sigmoid

CHOSEN = np.nan


def test_whole_datasets_count_every_row_once() -> None:
    found = footing(np.ones(3), np.array([0, 0, 1]), fewest_ham=10)
    assert (found.source, found.weights.tolist()) == (WHOLE, [1.0, 1.0, 1.0])


def test_drawn_rows_count_by_one_over_their_chance_and_chosen_rows_not_at_all() -> None:
    chances, targets = np.array([0.5, 0.1, CHOSEN, CHOSEN]), np.array([0, 0, 0, 1])
    found = footing(chances, targets, fewest_ham=1)
    assert (found.source, found.weights.tolist()) == (AUDIT, [2.0, 10.0, 0.0, 0.0])
    assert found.record(targets) == {
        "source": "audit", "rows": 2, "spam": 0, "ham": 2, "effective_ham": 1.4,
    }  # fmt: skip


def test_without_an_audit_all_rows_count_and_the_record_says_so() -> None:
    found = footing(np.full(3, CHOSEN), np.array([0, 0, 1]), fewest_ham=1)
    assert (found.source, found.weights.tolist()) == (NO_AUDIT, [1.0, 1.0, 1.0])


@pytest.mark.parametrize(("ham", "spam"), [(3, 0), (0, 2)])
def test_too_small_an_audit_falls_back_and_says_how_small(ham: int, spam: int) -> None:
    chances, targets = np.array([0.5, 0.5, CHOSEN, 0.5]), np.array([0, 0, 0, 1])
    found = footing(chances, targets, fewest_ham=ham, fewest_spam=spam)
    assert found.source == "all rows, only 2 ham and 1 spam of the audit"
    assert found.weights.tolist() == [1.0] * 4


def test_no_rows_are_worth_nothing() -> None:
    assert effective_count(np.array([])) == 0.0
    assert effective_count(np.zeros(2)) == 0.0


def test_a_weighted_calibration_undoes_a_choice_of_uncertain_ham() -> None:
    """Ham near the threshold was labelled ten times as often: unweighted, spam looks rarer."""
    rng = np.random.default_rng(0)
    log_odds = rng.normal(0, 2, 60_000)
    targets = (rng.random(60_000) < sigmoid(log_odds)).astype(np.int64)
    chance = np.where((targets == 0) & (np.abs(log_odds) < 1), 1.0, 0.1)
    kept = rng.random(60_000) < chance
    weighted = fit_calibration(log_odds[kept], targets[kept], 1 / chance[kept])
    plain = fit_calibration(log_odds[kept], targets[kept])
    assert (weighted.slope, weighted.intercept) == pytest.approx((1.0, 0.0), abs=0.08)
    assert abs(plain.intercept) > 0.4


def test_a_weight_of_two_is_a_row_twice_in_calibration() -> None:
    log_odds, targets = np.array([-2.0, -1.0, 0.5, 1.0, 3.0]), np.array([0, 1, 0, 1, 1])
    whole = fit_calibration(np.tile(log_odds, 20), np.tile(targets, 20))
    even = fit_calibration(np.tile(log_odds, 20), np.tile(targets, 20), np.full(100, 2.0))
    assert (even.slope, even.intercept) == pytest.approx((whole.slope, whole.intercept))
