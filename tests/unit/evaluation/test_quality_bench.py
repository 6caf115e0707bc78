"""The arithmetic and the baselines of bench-quality, on inputs worked by hand."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.performance import bench_quality as bench
from tests.performance import quality_baselines as baselines

SPAM = [f"claim your free prize number {word}" for word in ("one", "two", "three", "four")] * 3
HAM = [f"shall we have lunch on {day}" for day in ("monday", "tuesday", "friday", "sunday")] * 3
SPLIT = baselines.Split(
    texts=[*SPAM, *HAM],
    labels=np.array([True] * 12 + [False] * 12),
    folds=np.tile(np.arange(4), 6),
    test_texts=["claim a free prize", "lunch on monday", ""],
)


def test_the_threshold_lets_at_most_the_rate_of_ham_pass() -> None:
    ham = np.arange(1000) / 1000
    assert int((ham >= bench._quantile_threshold(ham, 0.002)).sum()) == 2
    assert int((ham >= bench._quantile_threshold(ham, 0.0005)).sum()) == 0


def test_the_best_f1_threshold_moves_ties_together() -> None:
    labels = np.array([True, True, False, True, False])
    scores = np.array([0.9, 0.5, 0.5, 0.5, 0.1])
    assert bench._best_f1_threshold(labels, scores) == 0.5


def test_tfidf_separates_and_gives_every_training_row_a_foreign_score() -> None:
    scores = baselines.tfidf_logistic_regression(SPLIT)
    assert scores.out_of_fold.shape == (24,)
    assert scores.out_of_fold[:12].min() > scores.out_of_fold[12:].max()
    assert scores.test[0] > 0 > scores.test[1]


@pytest.mark.skipif(shutil.which("bogofilter") is None, reason="bogofilter is not installed")
def test_bogofilter_answers_every_message_in_order() -> None:
    scores = baselines.bogofilter(SPLIT)
    assert scores.test[0] > 0.9
    assert scores.test[1] < 0.1
    assert len(scores.test) == 3


def test_a_from_line_does_not_end_a_message() -> None:
    assert baselines._escaped("From me\nto >From you") == b">From me\nto >From you"
    assert baselines._escaped(">From") == b">From"


def test_scores_are_computed_once(tmp_path: Path) -> None:
    calls = []

    def counting(split: baselines.Split) -> baselines.Scores:
        calls.append(split)
        return baselines.Scores(np.zeros(24), np.ones(3))

    for _ in range(2):
        assert baselines.cached(counting, SPLIT, tmp_path).test.tolist() == [1.0, 1.0, 1.0]
    assert len(calls) == 1
