"""What one trial beyond the text does: train on a part of the rows, say how good it is.

Values are average precision out of fold, the mean over the folds so far after each fold, so that
a weak trial is pruned before its last one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from training.fused_training import (
    FusedParameters,
    FusedRows,
    Steps,
    after_each_step,
    fit_tokens,
    fusion_members,
    weighed,
)
from training.fusion import FusionParameters, FusionRows
from training.fusion_fitting import fit_fusion
from training.logistic import Floats
from training.objective import average_precision
from training.search_space import Value
from training.searching import StagedSearch
from training.specialists.base import StageRows
from training.stage_models import StageModel, can_learn, family_of
from training.stage_table import StageTable
from training.weighing import WeighingParameters

MOST_ROWS = 2500
Say = Callable[[str], None]
Trial = Callable[[Mapping[str, Value]], Iterator[float]]
Integers = NDArray[np.int64]


def search_fused(
    rows: FusedRows,
    tables: Mapping[str, StageTable],
    models: Mapping[str, StageModel],
    search: StagedSearch,
    say: Say,
    *,
    seed: int,
) -> FusedParameters:
    """The best parameters, stage after stage: each is searched over the best of those before."""
    learnable = {
        name: table for name, table in tables.items() if can_learn(rows.targets[table.rows])
    }
    specialists = {
        name: search.best(
            "specialist", name, specialist_trial(models[name].family, table, rows, seed),
            parts=len(learnable),
        ).chosen
        for name, table in learnable.items()
    }  # fmt: skip
    if search.trials == 0:
        return FusedParameters(specialists)
    tokens = fit_tokens(rows, learnable, models, specialists, say, seed=seed)
    fusion = fusion_parameters(
        search.best("fusion", "fusion", fusion_trial(rows, tokens.rows, seed)).chosen
    )
    steps = after_each_step(rows, tokens, fusion_members(rows, tokens.rows, fusion, seed=seed))
    weighing = search.best("meta_learner", "meta_learner", weighing_trial(rows, steps)).chosen
    return FusedParameters(specialists, fusion, weighing_parameters(weighing))


def specialist_trial(
    family: str, table: StageTable, rows: FusedRows, seed: int, most: int = MOST_ROWS
) -> Trial:
    """Trains one stage's specialist on at most `most` of its rows."""
    at = np.sort(np.random.default_rng(seed).permutation(len(table))[:most])
    chosen = table.rows[at]
    given = StageRows(
        table.columns[at], table.embeddings[at], rows.targets[chosen], rows.datasets[chosen]
    )
    folds = rows.folds[chosen]

    def fitted(parameters: Mapping[str, Value], seen: Integers, held_out: Integers) -> Floats:
        member = family_of(family).fit(given.part(seen), table.names, parameters, seed=seed)
        pairs = zip(given.columns[held_out], given.embeddings[held_out], strict=True)
        return np.array([member.score(*pair) for pair in pairs])

    return lambda parameters: _by_fold(given.targets, folds, lambda *at: fitted(parameters, *at))


def fusion_trial(rows: FusedRows, tokens: FusionRows, seed: int) -> Trial:
    """Trains the fusion over finished specialists."""

    def fitted(parameters: FusionParameters, seen: Integers, held_out: Integers) -> Floats:
        weights = np.ones(len(seen))
        member = fit_fusion(tokens.part(seen), rows.targets[seen], weights, parameters, seed=seed)
        return member.score(tokens.part(held_out))

    def trial(parameters: Mapping[str, Value]) -> Iterator[float]:
        typed = fusion_parameters(parameters)
        return _by_fold(rows.targets, rows.folds, lambda *at: fitted(typed, *at))

    return trial


def weighing_trial(rows: FusedRows, steps: Steps) -> Trial:
    """Fits the meta-learner over a finished fusion; one value, after everything ran."""

    def trial(parameters: Mapping[str, Value]) -> Iterator[float]:
        _, logits = weighed(rows, steps, weighing_parameters(parameters))
        yield average_precision(logits[-1], rows.targets)

    return trial


def fusion_parameters(chosen: Mapping[str, Value]) -> FusionParameters:
    """Named as in the space `fusion`; what it leaves out is as by default."""
    whole = {"width", "epochs"}
    typed = {name: int(value) if name in whole else float(value) for name, value in chosen.items()}
    return replace(FusionParameters(), **typed)  # type: ignore[arg-type]


def weighing_parameters(chosen: Mapping[str, Value]) -> WeighingParameters:
    """Named as in the space `meta_learner`."""
    return WeighingParameters(float(chosen["ridge"]), float(chosen["recent_rows"]))


def _by_fold(
    targets: Integers, folds: Integers, fitted: Callable[[Integers, Integers], Floats]
) -> Iterator[float]:
    values: list[float] = []
    for fold in np.unique(folds):
        seen, held_out = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
        if not can_learn(targets[seen]) or not targets[held_out].any():
            continue
        values.append(average_precision(fitted(seen, held_out), targets[held_out]))
        yield float(np.mean(values))
    if not values:
        yield 0.0
