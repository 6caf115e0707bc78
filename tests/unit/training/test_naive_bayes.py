"""Log-count ratios, and the model that leans on them."""

from __future__ import annotations

from math import log

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from pipelines.features.text.ngrams import BUCKETS, count_ngrams, ngram_rows
from training.naive_bayes import fit_ngrams, log_count_ratio
from training.ngram_log_odds import document_rarity, fit_ngram_log_odds, tfidf_matrix

SPAM = ["win a free prize", "free cash now", "claim the free prize", "cash prize win"]
HAM = ["see you at home", "are you at work", "home by six", "see you at six"]
TARGETS = np.array([1] * 4 + [0] * 4)


def test_the_ratio_is_that_of_the_shares_of_texts() -> None:
    # spam holds the first n-gram twice and the second once, ham the second twice
    counted = [[0.3, 0.0], [0.7, 0.1], [0.0, 0.9], [0.0, 0.2]]
    matrix = csr_matrix(np.array(counted, np.float32), shape=(4, BUCKETS))
    ratio = log_count_ratio(matrix, np.array([1, 1, 0, 0]))
    unseen = 0.1 * (BUCKETS - 2)
    spam, ham = 2.1 + 1.1 + unseen, 0.1 + 2.1 + unseen
    assert ratio[0] == pytest.approx(log((2.1 / spam) / (0.1 / ham)), rel=1e-5)
    assert ratio[1] == pytest.approx(log((1.1 / spam) / (2.1 / ham)), rel=1e-5)


def test_an_ngram_of_one_text_has_no_ratio() -> None:
    matrix = csr_matrix(np.array([[1.0, 1.0], [1.0, 0.0]], np.float32), shape=(2, BUCKETS))
    ratio = log_count_ratio(matrix, np.array([1, 0]))
    assert (ratio[1:] == 0).all()


def test_the_mean_of_both_models_is_one_model_of_the_same_ngrams() -> None:
    rows = ngram_rows(SPAM + HAM)
    rarity = document_rarity(rows)
    matrix = tfidf_matrix(rows, rarity)
    both = fit_ngrams(matrix, TARGETS, rarity, 30.0)
    plain = fit_ngram_log_odds(matrix, TARGETS, rarity, 30.0)
    assert both.score(count_ngrams("free prize")) > 0 > both.score(count_ngrams("you at home"))
    assert not np.array_equal(both.weights, plain.weights)
    np.testing.assert_array_equal(both.weights[rarity == 0], 0)
