"""What one trial does: train on a part of the rows, and say how good the stages are."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from training.logistic import Floats
from training.meta_learner import cross_fitted
from training.objective import mean_average_precision
from training.prefilter import PrefilterParameters
from training.specialists.text import SpecialistParameters
from training.stacking import (
    Fitting,
    Folds,
    Parameters,
    divide,
    ngrams_out_of_fold,
    prefilter_out_of_fold,
    specialist_out_of_fold,
)
from training.table import Table

MOST_ROWS = 4000
FOLDS = 3
_KNOWN_HEADS = 2  # content and style; `general` stands apart


class TrialObjective:
    """Average precision after the n-grams, the prefilter, and the whole stack.

    Stages that an earlier trial trained with the same parameters are not trained again.
    """

    def __init__(self, table: Table, folds: Folds, fitting: Fitting) -> None:
        self._table = table
        self._folds = folds
        self._divisions = divide(folds, np.ones(len(table), bool))
        self._fitting = fitting
        self._ngrams: dict[float, Floats] = {}
        self._prefilter: dict[tuple[float, PrefilterParameters], Floats] = {}
        self._specialist: dict[SpecialistParameters, Floats] = {}

    def __call__(self, parameters: Parameters) -> Iterator[float]:
        ngrams = self._ngram_scores(parameters.ngram_strength)
        yield self._value(ngrams)
        prefilter = self._prefilter_scores(parameters)
        yield self._value(prefilter)
        heads = self._specialist_scores(parameters.specialist)
        known = np.column_stack([ngrams, prefilter, heads[:, :_KNOWN_HEADS]])
        yield self._value(cross_fitted(known, self._table.targets, self._folds))

    def _value(self, scores: Floats) -> float:
        return mean_average_precision(scores, self._table.targets, self._table.datasets)

    def _ngram_scores(self, strength: float) -> Floats:
        if strength not in self._ngrams:
            self._ngrams[strength], _ = ngrams_out_of_fold(self._table, self._divisions, strength)
        return self._ngrams[strength]

    def _prefilter_scores(self, parameters: Parameters) -> Floats:
        key = (parameters.ngram_strength, parameters.prefilter)
        if key not in self._prefilter:
            self._prefilter[key] = prefilter_out_of_fold(
                self._table, self._divisions, self._ngrams[parameters.ngram_strength],
                parameters.prefilter, self._fitting,
            )  # fmt: skip
        return self._prefilter[key]

    def _specialist_scores(self, parameters: SpecialistParameters) -> Floats:
        if parameters not in self._specialist:
            self._specialist[parameters], _ = specialist_out_of_fold(
                self._table, self._divisions, parameters, self._fitting
            )
        return self._specialist[parameters]


def trial_rows(
    groups: NDArray[np.int64], rng: np.random.Generator, most: int = MOST_ROWS
) -> NDArray[np.int64]:
    """Whole groups drawn at random until there are `most` rows; ascending row numbers."""
    order = rng.permutation(np.unique(groups))
    rank = np.empty(int(groups.max()) + 1, np.int64)
    rank[order] = np.arange(len(order))
    by_rank = np.argsort(rank[groups], kind="stable")
    return np.sort(by_rank[:most])
