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
from pipelines.kernels import kernel

MINIMUM_DOCUMENTS = 2
_BLOCK, _LANES = 128, 8  # sums of a block are taken in lanes


@kernel("float64(float64[::1], int64, int64)")
def _sum(values: NDArray[np.float64], start: int, end: int) -> float:
    """Halves of halves down to blocks, each in lanes: the order of NumPy's pairwise sum."""
    size = end - start
    if size > _BLOCK:
        half = size // 2 - size // 2 % _LANES
        return _sum(values, start, start + half) + _sum(values, start + half, end)
    total, rest = 0.0, start
    if size >= _LANES:
        a, b, c, d = values[start], values[start + 1], values[start + 2], values[start + 3]
        e, f, g, h = values[start + 4], values[start + 5], values[start + 6], values[start + 7]
        rest += _LANES
        while rest + _LANES <= end:
            a, b, c = a + values[rest], b + values[rest + 1], c + values[rest + 2]
            d, e, f = d + values[rest + 3], e + values[rest + 4], f + values[rest + 5]
            g, h = g + values[rest + 6], h + values[rest + 7]
            rest += _LANES
        total = ((a + b) + (c + d)) + ((e + f) + (g + h))
    for at in range(rest, end):
        total += values[at]
    return total


@kernel("float64[::1](int32[::1], float32[::1], int64[::1], float32[:, ::1], float64)")
def _scores(
    buckets: NDArray[np.int32], values: NDArray[np.float32], starts: NDArray[np.int64],
    pairs: NDArray[np.float32], intercept: float,
) -> NDArray[np.float64]:  # fmt: skip
    scores = np.empty(len(starts) - 1)
    most = np.diff(starts).max() if len(scores) else 0
    squares, products = np.empty(most), np.empty(most)
    for row in range(len(scores)):
        start, size = starts[row], starts[row + 1] - starts[row]
        for at in range(size):
            bucket = buckets[start + at]
            value = np.float64(values[start + at] * pairs[bucket, 0])
            squares[at], products[at] = value * value, value * pairs[bucket, 1]
        square = squares[0] + _sum(squares, 1, size)
        product = products[0] + _sum(products, 1, size)
        scores[row] = product / np.sqrt(square if square > 0.0 else 1.0) + intercept
    return scores


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
        return _scores(rows.buckets, rows.values, rows.starts, self._pairs, self.intercept)

    @cached_property
    def _pairs(self) -> NDArray[np.float32]:
        """float32[BUCKETS, 2]: rarity and weight side by side, so that one look finds both."""
        return np.stack([self.rarity, self.weights], axis=1)

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
