"""Out-of-fold training of every stage: no row's score comes from a model that saw the row.

The models of the folds are then averaged (n-grams, specialist) or refitted on all rows with the
out-of-fold log-odds as input (prefilter), or take all rows as they are (likeness).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.likeness import Directions, Likeness
from training.logistic import Floats
from training.naive_bayes import fit_ngrams
from training.ngram_log_odds import NgramLogOdds
from training.prefilter import (
    PrefilterParameters,
    fit_prefilter,
    prefilter_columns,
    raw_scores,
)
from training.specialists.text import (
    SpecialistParameters,
    TextSpecialist,
    fit_text_specialist,
)
from training.table import Say, Table

STAGES = ("ngrams", "prefilter", "content", "style", "general", "likeness")
Folds = NDArray[np.int64]
Booleans = NDArray[np.bool_]
Division = tuple[NDArray[np.int64], NDArray[np.int64]]


@dataclass(frozen=True)
class Parameters:
    """What a search may change."""

    ngram_strength: float = 30.0
    prefilter: PrefilterParameters = field(default_factory=PrefilterParameters)
    specialist: SpecialistParameters = field(default_factory=SpecialistParameters)


@dataclass(frozen=True)
class Fitting:
    """Names of the prefilter's columns, and the seed of everything that is drawn."""

    column_names: tuple[str, ...]
    seed: int


@dataclass(frozen=True)
class Stack:
    """`log_odds` float64[n, len(STAGES)] out of fold, and the models for unseen events.

    `ngram_members` and `specialists` are those of the folds in their order: each one never saw
    its own fold.
    """

    log_odds: Floats
    ngrams: NgramLogOdds
    ngram_members: list[NgramLogOdds]
    prefilter: Any
    specialists: list[TextSpecialist]
    likeness: Likeness

    def of_first(self, rows: int) -> Stack:
        """The same models, with the log-odds of the first `rows` rows alone."""
        return replace(self, log_odds=self.log_odds[:rows])


def fit_stack(
    table: Table,
    folds: Folds,
    parameters: Parameters,
    fitting: Fitting,
    say: Say,
    learnt: Booleans | None = None,
) -> Stack:
    """Train all stages of the text. `folds` int64[n] from a grouped split.

    Of the rows only those `learnt` (bool[n]; None: all) are trained on; all are scored, each by
    models that did not see its fold.
    """
    learnt = np.ones(len(table), bool) if learnt is None else learnt
    divisions = divide(folds, learnt)
    say("training the n-gram log-odds")
    ngrams, members = ngrams_out_of_fold(table, divisions, parameters.ngram_strength)
    say("training the prefilter")
    prefilter = prefilter_out_of_fold(table, divisions, ngrams, parameters.prefilter, fitting)
    booster = _fit_prefilter(table, np.flatnonzero(learnt), ngrams, parameters.prefilter, fitting)
    say("training the text specialist")
    heads, specialists = specialist_out_of_fold(table, divisions, parameters.specialist, fitting)
    directions = Directions.of(table.embeddings[learnt])
    nearness = likeness_out_of_fold(table, divisions, directions, fitting)
    return Stack(
        log_odds=np.column_stack([ngrams, prefilter, heads, nearness]),
        ngrams=NgramLogOdds.average(members),
        ngram_members=members,
        prefilter=booster,
        specialists=specialists,
        likeness=_likeness(table, np.flatnonzero(learnt), directions, fitting),
    )


def divide(folds: Folds, learnt: Booleans) -> list[Division]:
    """(training rows, held-out rows) of each fold; the former of those `learnt` alone."""
    return [
        (np.flatnonzero((folds != fold) & learnt), np.flatnonzero(folds == fold))
        for fold in np.unique(folds)
    ]


def ngrams_out_of_fold(
    table: Table, divisions: Sequence[Division], strength: float
) -> tuple[Floats, list[NgramLogOdds]]:
    """Log-odds float64[n], and the model of each fold."""
    scores, models = np.zeros(len(table)), []
    for training, held_out in divisions:
        model = fit_ngrams(table.matrix[training], table.targets[training], table.rarity, strength)
        scores[held_out] = table.matrix[held_out] @ model.weights + model.intercept
        models.append(model)
    return scores, models


def prefilter_out_of_fold(
    table: Table,
    divisions: Sequence[Division],
    ngrams: Floats,
    parameters: PrefilterParameters,
    fitting: Fitting,
) -> Floats:
    """Log-odds float64[n]; `ngrams` are the out-of-fold log-odds of the n-grams."""
    scores = np.zeros(len(table))
    for training, held_out in divisions:
        booster = _fit_prefilter(table, training, ngrams, parameters, fitting)
        scores[held_out] = raw_scores(booster, _prefilter_rows(table, held_out, ngrams))
    return scores


def specialist_out_of_fold(
    table: Table,
    divisions: Sequence[Division],
    parameters: SpecialistParameters,
    fitting: Fitting,
) -> tuple[Floats, list[TextSpecialist]]:
    """Log-odds float64[n, 3] by head, and the specialist of each fold."""
    scores, models = np.zeros((len(table), 3)), []
    for number, (training, held_out) in enumerate(divisions):
        model = fit_text_specialist(
            table.embeddings[training], table.lexical[training], table.targets[training],
            parameters, seed=fitting.seed + 10 * number,
            weights=_balanced(table.datasets[training], table.targets[training]),
        )  # fmt: skip
        scores[held_out] = model.scores(table.embeddings[held_out], table.lexical[held_out])
        models.append(model)
    return scores, models


def likeness_out_of_fold(
    table: Table, divisions: Sequence[Division], directions: Directions, fitting: Fitting
) -> Floats:
    """float64[n]: how much nearer than ham the spam of the other folds is."""
    scores = np.zeros(len(table))
    for training, held_out in divisions:
        known = _likeness(table, training, directions, fitting)
        scores[held_out] = known.scores(table.embeddings[held_out])
    return scores


def _likeness(
    table: Table, rows: NDArray[np.int64], directions: Directions, fitting: Fitting
) -> Likeness:
    rng = np.random.default_rng(fitting.seed)
    return Likeness.to(table.embeddings[rows], table.targets[rows], directions, rng)


def _fit_prefilter(
    table: Table,
    rows: NDArray[np.int64],
    ngrams: Floats,
    parameters: PrefilterParameters,
    fitting: Fitting,
) -> Any:
    return fit_prefilter(
        _prefilter_rows(table, rows, ngrams), table.targets[rows], fitting.column_names,
        parameters, seed=fitting.seed,
    )  # fmt: skip


def _prefilter_rows(table: Table, rows: NDArray[np.int64], ngrams: Floats) -> NDArray[np.float32]:
    return prefilter_columns(ngrams[rows], table.lexical[rows], table.context[rows])


def _balanced(datasets: NDArray[np.str_], targets: NDArray[np.int64]) -> NDArray[np.float64]:
    """float64[n], mean 1: every label of every dataset weighs the same in all."""
    strata = np.char.add(datasets.astype(str), targets.astype(str))
    _, stratum_of, counts = np.unique(strata, return_inverse=True, return_counts=True)
    return np.asarray(len(targets) / (len(counts) * counts[stratum_of]), np.float64)
