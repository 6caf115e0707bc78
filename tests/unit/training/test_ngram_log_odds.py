"""Weights of n-grams and their average over folds."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.features.text.ngrams import BUCKETS, count_ngrams, ngram_rows
from training.ngram_log_odds import (
    NgramLogOdds,
    document_rarity,
    fit_ngram_log_odds,
    tfidf_matrix,
)

SPAM = ["win a free prize", "free cash now", "claim the free prize", "cash prize win"]
HAM = ["see you at home", "are you at work", "home by six", "see you at six"]


def _fitted() -> tuple[NgramLogOdds, np.ndarray]:
    rows = ngram_rows(SPAM + HAM)
    rarity = document_rarity(rows)
    matrix = tfidf_matrix(rows, rarity)
    targets = np.array([1] * 4 + [0] * 4)
    model = fit_ngram_log_odds(matrix, targets, rarity, 30.0)
    return model, matrix @ model.weights + model.intercept


def test_spam_words_score_above_ham_words() -> None:
    model, _ = _fitted()
    assert model.score(count_ngrams("free prize")) > 0 > model.score(count_ngrams("you at home"))


def test_one_text_scores_as_in_the_matrix_of_training() -> None:
    model, in_matrix = _fitted()
    alone = [model.score(count_ngrams(text)) for text in SPAM + HAM]
    np.testing.assert_allclose(alone, in_matrix, rtol=1e-4, atol=1e-5)


def test_texts_score_together_as_they_score_alone_bit_for_bit() -> None:
    model, _ = _fitted()
    texts = [*SPAM, "", "щщщ", *HAM]
    alone = [model.score(count_ngrams(text)) for text in texts]
    np.testing.assert_array_equal(model.scores(ngram_rows(texts)), alone)


def test_a_text_without_known_ngrams_has_the_intercept() -> None:
    model, _ = _fitted()
    assert model.score(count_ngrams("щщщ")) == model.intercept


def test_what_stands_in_one_text_only_is_no_feature() -> None:
    rarity = document_rarity(ngram_rows(["alpha", "alpha", "omega"]))
    omega = count_ngrams("omega").buckets
    assert (rarity[np.setdiff1d(omega, count_ngrams("alpha").buckets)] == 0).all()


def test_the_average_of_models_scores_as_the_mean_of_their_scores() -> None:
    model, _ = _fitted()
    other = NgramLogOdds(np.zeros(BUCKETS, np.float32), model.rarity, 1.0)
    text = count_ngrams("free cash at home")
    mean = (model.score(text) + other.score(text)) / 2
    assert NgramLogOdds.average([model, other]).score(text) == pytest.approx(mean, rel=1e-5)
