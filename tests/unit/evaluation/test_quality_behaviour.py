"""The arithmetic of the behaviour part of bench-quality, on inputs worked by hand."""

from __future__ import annotations

import numpy as np

from evaluation.metrics import Floats
from pipelines.account_sets import LabelledAccount
from tests.performance import quality_behaviour as bench

LABELS = np.array([True, False, True, False])
SCORES, ONES = np.array([2.0, 1.0, 0.5, -1.0]), np.ones(4)


def account(number: int) -> LabelledAccount:
    """Two of each name; spam has much of everything."""
    spam = number % 4 < 2
    value = float(number + 1000 * spam)
    return LabelledAccount(
        {"bio_length": value}, {"own": value}, {"raw": value},
        "spam" if spam else "ham", f"name {number // 2}",
    )  # fmt: skip


def test_no_account_is_scored_by_a_model_that_saw_its_name() -> None:
    accounts = [account(number) for number in range(40)]
    groups = bench.account_groups(accounts)

    def checked(training: bench.Accounts, asked: bench.Accounts) -> Floats:
        assert not {one.name for one in training} & {one.name for one in asked}
        return np.ones(len(asked))

    folds = bench.grouped_folds(groups, [0] * 40, bench.FOLDS, np.random.default_rng(0))
    assert bench._out_of_fold(checked, accounts, folds).tolist() == [1.0] * 40


def test_every_system_separates_what_is_separable() -> None:
    judged = bench._judged("made", [account(number) for number in range(120)])
    for scores in judged.scores.values():
        assert bench.average_precision(judged.labels, scores) == 1


def test_recall_is_that_above_the_ham_which_the_rate_allows() -> None:
    assert bench._recall_at(0.1)(LABELS, SCORES, ONES) == 0.5
    assert bench._recall_at(0.5)(LABELS, SCORES, ONES) == 1


def test_f1_and_accuracy_are_at_even_odds_and_weighted() -> None:
    assert bench._f1(LABELS, SCORES, ONES) == 0.8
    assert bench._accuracy(LABELS, SCORES, ONES) == 0.75
    assert bench._accuracy(LABELS, SCORES, np.array([1.0, 0, 1, 1])) == 1
