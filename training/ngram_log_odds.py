"""Log-odds of spam from hashed n-grams: TF-IDF and a linear model, averaged over folds.

Linear models of the folds, averaged, are one linear model: bagging at the cost of one.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.features.text.ngrams import BUCKETS, CountedNgrams, NgramRows

MINIMUM_DOCUMENTS = 2
ROWS_AT_ONCE = 16  # few enough that what is looked up stays in a core's cache


@dataclass(frozen=True)
class NgramLogOdds:
    """`weights` and `rarity` (inverse document frequency, 0 where unseen): float32[BUCKETS]."""

    weights: NDArray[np.float32]
    rarity: NDArray[np.float32]
    intercept: float

    def score(self, ngrams: CountedNgrams) -> float:
        """Log-odds of one text; the intercept alone where no n-gram is known."""
        ends = np.array([0, len(ngrams.buckets)])
        return float(self.scores(NgramRows(ngrams.buckets, ngrams.values, ends))[0])

    def scores(self, rows: NgramRows) -> NDArray[np.float64]:
        """`score` of each text, float64[n], bit for bit: a row is summed apart from its neighbours.

        Every text has an n-gram, if only that of the blanks around it.
        """
        bounds = range(0, len(rows.starts) - 1, ROWS_AT_ONCE)
        parts = [self._scored(rows, rows.starts[at : at + ROWS_AT_ONCE + 1]) for at in bounds]
        return np.concatenate([np.empty(0), *parts])

    def _scored(self, rows: NgramRows, starts: NDArray[np.int64]) -> NDArray[np.float64]:
        part = slice(starts[0], starts[-1])
        known = self._pairs[rows.buckets[part]]
        values = (rows.values[part] * known.real).astype(np.float64)
        squares = np.add.reduceat(values * values, starts[:-1] - starts[0])
        products = np.add.reduceat(values * known.imag, starts[:-1] - starts[0])
        lengths = np.sqrt(np.where(squares > 0.0, squares, 1.0))
        return np.asarray(products / lengths + self.intercept)

    @cached_property
    def _pairs(self) -> NDArray[np.complex64]:
        """complex64[BUCKETS]: rarity and weight side by side, so that one look finds both."""
        return np.stack([self.rarity, self.weights], axis=1).view(np.complex64)[:, 0]

    @classmethod
    def average(cls, models: list[NgramLogOdds]) -> NgramLogOdds:
        """One model that scores as the mean of models with the same rarity."""
        weights = np.stack([model.weights for model in models]).mean(axis=0).astype(np.float32)
        intercept = float(np.mean([model.intercept for model in models]))
        return cls(weights, models[0].rarity, intercept)


def document_rarity(rows: NgramRows) -> NDArray[np.float32]:
    """float32[BUCKETS]: smoothed inverse document frequency; 0 below MINIMUM_DOCUMENTS."""
    documents = np.bincount(rows.buckets, minlength=BUCKETS)
    count = len(rows.starts) - 1
    rarity = np.log((1 + count) / (1 + documents)) + 1.0
    return np.where(documents >= MINIMUM_DOCUMENTS, rarity, 0.0).astype(np.float32)


def tfidf_matrix(rows: NgramRows, rarity: NDArray[np.float32]) -> Any:
    """scipy CSR float32[n, BUCKETS] with rows of length 1."""
    from scipy.sparse import csr_matrix

    values = rows.values * rarity[rows.buckets]
    row_of = np.repeat(np.arange(len(rows.starts) - 1), np.diff(rows.starts))
    squares = np.bincount(row_of, values.astype(np.float64) ** 2, len(rows.starts) - 1)
    lengths = np.sqrt(np.where(squares > 0, squares, 1.0))
    scaled = (values / lengths[row_of]).astype(np.float32)
    return csr_matrix((scaled, rows.buckets, rows.starts), shape=(len(rows.starts) - 1, BUCKETS))


def fit_ngram_log_odds(
    matrix: Any, targets: NDArray[np.int64], rarity: NDArray[np.float32], strength: float
) -> NgramLogOdds:
    """L2-regularised logistic regression by dual coordinate descent; `strength` is C."""
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(
        C=strength, solver="liblinear", dual=True, tol=1e-2, max_iter=100, random_state=0
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # close to the optimum is close enough for a feature
        model.fit(matrix, targets)
    return NgramLogOdds(model.coef_[0].astype(np.float32), rarity, float(model.intercept_[0]))
