"""Metrics on inputs small enough to work by hand, then one property each."""

from __future__ import annotations

import numpy as np
import pytest

from evaluation import metrics
from evaluation.metrics import Estimate


def booleans(*values: int) -> metrics.Booleans:
    return np.array(values, dtype=bool)


def floats(*values: float) -> metrics.Floats:
    return np.array(values, dtype=np.float64)


# spam ranks 1, 3, 4 of five: precisions 1/1, 2/3, 3/4
LABELS, SCORES = booleans(1, 0, 1, 1, 0), floats(0.9, 0.8, 0.7, 0.6, 0.1)


def test_average_precision_is_the_mean_precision_at_each_spam() -> None:
    assert metrics.average_precision(LABELS, SCORES) == pytest.approx((1 + 2 / 3 + 3 / 4) / 3)


def test_average_precision_of_equal_scores_is_the_share_of_spam() -> None:
    assert metrics.average_precision(LABELS, np.full(5, 0.5)) == pytest.approx(3 / 5)


def test_roc_auc_counts_the_pairs_in_the_right_order() -> None:
    assert metrics.roc_auc(LABELS, SCORES) == pytest.approx(4 / 6)


def test_roc_auc_counts_ties_half() -> None:
    assert metrics.roc_auc(booleans(1, 0), floats(0.5, 0.5)) == 0.5


def test_weights_act_like_repeated_rows() -> None:
    repeated = np.array([0, 0, 1, 2, 2, 2, 3, 4])
    weights = floats(2, 1, 3, 1, 1)
    for figure in (metrics.average_precision, metrics.roc_auc):
        assert figure(LABELS, SCORES, weights) == pytest.approx(
            figure(LABELS[repeated], SCORES[repeated])
        )


def test_rates_at_a_threshold() -> None:
    positive = SCORES >= 0.7
    assert metrics.recall_at(LABELS, positive) == pytest.approx(2 / 3)
    assert metrics.false_positive_rate_at(LABELS, positive) == pytest.approx(1 / 2)
    assert metrics.f1(LABELS, positive) == pytest.approx(2 * 2 / (3 + 3))


def test_recall_below_a_false_positive_rate_takes_the_loosest_allowed_threshold() -> None:
    assert metrics.recall_below_false_positive_rate(LABELS, SCORES, 0.0) == pytest.approx(1 / 3)
    assert metrics.recall_below_false_positive_rate(LABELS, SCORES, 0.5) == pytest.approx(1.0)
    assert metrics.recall_below_false_positive_rate(LABELS, SCORES[::-1], 0.0) == 0.0


@pytest.mark.parametrize("labels", [booleans(1, 1), booleans(0, 0)])
def test_a_curve_of_one_class_is_refused(labels: metrics.Booleans) -> None:
    with pytest.raises(ValueError, match="both spam and ham"):
        metrics.average_precision(labels, floats(0.1, 0.2))


def test_clopper_pearson_without_success_is_one_minus_the_root_of_the_tail() -> None:
    estimate = metrics.clopper_pearson(0, 10)
    assert (estimate.value, estimate.low) == (0.0, 0.0)
    assert estimate.high == pytest.approx(1 - 0.025 ** (1 / 10))


def test_clopper_pearson_agrees_with_the_published_example() -> None:
    # Newcombe 1998 (single proportion), table I: 15 of 148, exact interval
    estimate = metrics.clopper_pearson(15, 148)
    assert (estimate.low, estimate.high) == pytest.approx((0.0578, 0.1617), abs=2e-4)


def test_wilson_agrees_with_the_published_example() -> None:
    # Newcombe 1998 (single proportion), table I: 15 of 148, score interval
    estimate = metrics.wilson(15, 148)
    assert (estimate.low, estimate.high) == pytest.approx((0.0624, 0.1605), abs=1e-4)


def test_newcombe_difference_agrees_with_the_published_example() -> None:
    # Newcombe 1998 (difference), table II, method 10: 56/70 - 48/80
    difference = metrics.newcombe_difference(metrics.wilson(56, 70), metrics.wilson(48, 80))
    assert difference.value == pytest.approx(0.2)
    assert (difference.low, difference.high) == pytest.approx((0.0524, 0.3339), abs=1e-4)


@pytest.mark.parametrize(("successes", "trials"), [(1, 0), (3, 2), (-1, 2)])
def test_impossible_counts_are_refused(successes: int, trials: int) -> None:
    for interval in (metrics.clopper_pearson, metrics.wilson):
        with pytest.raises(ValueError, match="counts"):
            interval(successes, trials)


def mean_of(values: metrics.Floats):
    return lambda weights: float(weights @ values / weights.sum())


def test_the_bootstrap_is_seeded_and_holds_the_value() -> None:
    values = np.arange(40.0)
    groups = np.arange(40)
    drawn = [
        metrics.paired_bootstrap(mean_of(values), groups, np.random.default_rng(3))
        for _ in range(2)
    ]
    assert drawn[0] == drawn[1]
    assert drawn[0].low < drawn[0].value == 19.5 < drawn[0].high
    # standard error of a mean of 40: 11.54 / sqrt(40) = 1.83
    assert drawn[0].high - drawn[0].low == pytest.approx(2 * 1.96 * 1.83, rel=0.15)


def test_copies_of_a_message_do_not_narrow_the_bootstrap() -> None:
    values, groups = np.arange(10.0), np.arange(10)
    one = metrics.paired_bootstrap(mean_of(values), groups, np.random.default_rng(3))
    copies = metrics.paired_bootstrap(
        mean_of(np.repeat(values, 20)), np.repeat(groups, 20), np.random.default_rng(3)
    )
    assert (copies.low, copies.high) == pytest.approx((one.low, one.high))


def test_a_bootstrap_that_never_computes_is_unbounded() -> None:
    def only_once(weights: metrics.Floats) -> float:
        if np.all(weights == 1):
            return 0.5
        raise ValueError("no rows")

    estimate = metrics.paired_bootstrap(
        only_once, np.arange(9), np.random.default_rng(0), resamples=5
    )
    assert estimate == Estimate(0.5, float("-inf"), float("inf"))
