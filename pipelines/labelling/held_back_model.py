"""A cheap model that judges labels which it has not seen, nor anything much like them.

A row's score comes from a model that was taught by other reviewers only (whoever gave a bad label
never teaches its judge) and without the row's near-duplicates. How often the model and an honest
reviewer disagree is counted where the model is as sure, among the answers of the others.
Cross-fitting (V. Chernozhukov et al., "Double/debiased machine learning", Econometrics Journal 21,
2018) in two directions: folds of reviewers times folds of near-duplicate groups.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from pipelines.features.text.ngrams import ngram_rows

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Booleans = NDArray[np.bool_]

TEACHER_FOLDS, GROUP_FOLDS = 5, 4
FEWEST_ROWS, FEWEST_A_LABEL = 40, 10
MOST_ROWS = 4000  # teach one model; a linear solve grows with the cube
LEVELS = 5  # of sureness on each side
RIDGE = np.float32(1.0)


class HeldBackModel(Protocol):
    """Learns labels (`spam: bool[m]`) of some rows and scores others: float64[k], 0.5 from spam on.

    Rows are numbers into the features that the model was made with.
    """

    def taught(self, rows: Integers, spam: Booleans, asked: Integers) -> Floats: ...


class TextModel:
    """Regularised least squares on embeddings (float32[n, d]) and hashed n-grams of the texts.

    R. Rifkin, G. Yeo and T. Poggio, "Regularized Least-Squares Classification" (2003): one
    matrix of similarities serves every fold, and a fold costs one linear solve.
    """

    def __init__(self, texts: Sequence[str], embeddings: NDArray[np.float32]) -> None:
        if len(texts) != len(embeddings):
            raise ValueError(f"{len(texts)} texts for {len(embeddings)} embeddings; give one each")
        self._texts = texts
        self._embeddings = embeddings

    def taught(self, rows: Integers, spam: Booleans, asked: Integers) -> Floats:
        taught = self._similarities[np.ix_(rows, rows)]
        taught[np.diag_indices_from(taught)] += RIDGE
        weights = np.linalg.solve(taught, np.where(spam, 1.0, -1.0).astype(np.float32))
        margins = (self._similarities[np.ix_(asked, rows)] @ weights).astype(np.float64)
        scores: Floats = (margins + 1.0) / 2.0
        return scores

    @cached_property
    def _similarities(self) -> NDArray[np.float32]:
        """float32[n, n]: cosine of the embeddings plus that of the n-grams, and 1 for the mean."""
        from scipy.sparse import csr_matrix

        counted = ngram_rows(self._texts)
        columns, places = np.unique(counted.buckets, return_inverse=True)
        rows = csr_matrix(
            (counted.values, places, counted.starts), shape=(len(self._texts), len(columns))
        )
        lengths = np.sqrt(np.maximum(rows.multiply(rows).sum(axis=1), 1e-9))
        unit = rows.multiply(1.0 / np.asarray(lengths)).tocsr()
        grams = (unit @ unit.T).toarray()
        similar: NDArray[np.float32] = (grams + self._embeddings @ self._embeddings.T + 1.0).astype(
            np.float32
        )
        return similar


def held_back_scores(
    model: HeldBackModel,
    texts: Integers,
    spam: Booleans,
    teachers: Integers,
    groups: Integers,
    rng: np.random.Generator,
) -> Floats:
    """float64[n]: each answer's score by a model that knows neither its teacher nor its group.

    `texts: int64[n]` are the answers' rows in the features of the model. NaN where too few answers
    are left to learn from.
    """
    teacher_fold = _folds(teachers, TEACHER_FOLDS, rng)
    group_fold = _folds(groups, GROUP_FOLDS, rng)
    scores = np.full(len(spam), np.nan)
    for teacher in np.unique(teacher_fold):
        for group in np.unique(group_fold):
            asked = np.flatnonzero((teacher_fold == teacher) & (group_fold == group))
            rows = np.flatnonzero((teacher_fold != teacher) & (group_fold != group))
            if len(rows) > MOST_ROWS:
                rows = np.sort(rng.choice(rows, MOST_ROWS, replace=False))
            if len(asked) and _is_enough(spam[rows]):
                scores[asked] = model.taught(texts[rows], spam[rows], texts[asked])
    return scores


def sureness_levels(scores: Floats) -> Integers:
    """int64[n]: the side that the score is on, and how far from the middle, in LEVELS a side."""
    levels = np.zeros(len(scores), dtype=np.int64)
    for side, chosen in enumerate([scores < 0.5, scores >= 0.5]):
        if chosen.any():
            cuts = np.quantile(scores[chosen], np.arange(1, LEVELS) / LEVELS)
            levels[chosen] = side * LEVELS + np.searchsorted(cuts, scores[chosen], side="right")
    return levels


def expected_rates(levels: Integers, disagrees: Booleans, teachers: Integers) -> Floats:
    """float64[n]: how often the others disagree with the model at the row's level.

    One disagreement in twice as many answers is added, so that no rate is 0 or 1.
    """
    who, teacher = np.unique(teachers, return_inverse=True)
    shape = (len(who), int(levels.max(initial=0)) + 1)
    wrong, asked = np.zeros(shape), np.zeros(shape)
    np.add.at(wrong, (teacher, levels), disagrees)
    np.add.at(asked, (teacher, levels), 1.0)
    rates: Floats = (wrong.sum(0) - wrong + 1.0) / (asked.sum(0) - asked + 2.0)
    return rates[teacher, levels]


def _folds(of: Integers, folds: int, rng: np.random.Generator) -> Integers:
    """int64[n]: the fold of each row; whole values of `of`, dealt out by size."""
    values, place, sizes = np.unique(of, return_inverse=True, return_counts=True)
    shuffled = rng.permutation(len(values))
    order = shuffled[np.argsort(-sizes[shuffled], kind="stable")]
    fold, load = np.zeros(len(values), dtype=np.int64), np.zeros(min(folds, len(values)))
    for value in order:
        fold[value] = int(np.argmin(load))
        load[fold[value]] += sizes[value]
    return fold[place]


def _is_enough(spam: Booleans) -> bool:
    fewest = min(int(spam.sum()), int((~spam).sum()))
    return len(spam) >= FEWEST_ROWS and fewest >= FEWEST_A_LABEL
