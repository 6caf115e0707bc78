"""Training beyond the text: specialists, fusion, meta-learner, calibration, activation.

Everything is fitted on out-of-fold log-odds of the part before it, so no stage learns to trust
what another one remembers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from training.activation import Activation, fit_activation, never_settles
from training.footing import footing
from training.fused_policy import (
    FUSION,
    PREFILTER,
    TEXT,
    TEXT_MILLISECONDS,
    FusedPolicy,
    run_after,
    steps_of,
)
from training.fusion import Fusion, FusionParameters, FusionRows
from training.fusion_fitting import fit_fusion
from training.logistic import Floats
from training.sliced_calibration import SlicedCalibration, fit_sliced_calibration
from training.stage_models import Parameters, StageModel, can_learn, fit_stage
from training.stage_table import StageTable
from training.thresholds import FEWEST_IN_TAIL, fit_thresholds
from training.token_view import TokenView
from training.weighing import Weighing, WeighingParameters, fit_weighing, track_records

Number = TypeVar("Number", bound=np.generic)
Say = Callable[[str], None]
Strings = NDArray[np.str_]
Integers = NDArray[np.int64]
Steps = list[tuple[NDArray[np.bool_], Floats]]
PREFILTER_MILLISECONDS = 0.2


@dataclass(frozen=True)
class FusedParameters:
    """What a search may change beyond the text: `specialists` by stage, and the fusion."""

    specialists: Mapping[str, Parameters] = field(default_factory=dict)
    fusion: FusionParameters = field(default_factory=FusionParameters)
    weighing: WeighingParameters = field(default_factory=WeighingParameters)


@dataclass(frozen=True)
class TextToken:
    """What the text models say of n events out of fold: calibrated `log_odds` float64[n], and
    the `columns` float32[n, k] and `embeddings` float32[n, d] that fusion sees of them.
    """

    present: NDArray[np.bool_]
    log_odds: Floats
    columns: NDArray[np.float32]
    embeddings: NDArray[np.float32]


@dataclass(frozen=True)
class FusedRows:
    """n events of a training: labels, folds, kinds (`kind_of`), chances of their draw, the order
    of their times, and what the text models say.
    """

    targets: Integers
    datasets: Strings
    folds: Integers
    kinds: Strings
    chances: Floats
    order: Integers
    prefilter: TextToken
    text: TextToken

    def __len__(self) -> int:
        return len(self.targets)


@dataclass(frozen=True)
class FusedParts:
    """The trained ensemble beyond the text: as the artefact holds it."""

    prefilter_view: TokenView
    text_view: TokenView
    stages: Mapping[str, StageModel]
    fusion: tuple[Fusion, ...]
    policy: FusedPolicy


class FittedStage(NamedTuple):
    """A trained stage, and its calibrated log-odds out of fold over its table's rows."""

    model: StageModel
    log_odds: Floats


@dataclass(frozen=True)
class Tokens:
    """Out-of-fold log-odds and vectors of all stages over n events, as fusion reads them."""

    names: tuple[str, ...]
    rows: FusionRows
    views: tuple[TokenView, ...]
    stages: Mapping[str, StageModel]


@dataclass(frozen=True)
class FusedScores:
    """Out of fold: `by_step` float64[n, K + 1] probabilities, `log_odds` float64[n, S + 1] with
    the fusion last, `present` alike, and what each step costs, float64[n, K].
    """

    by_step: Floats
    log_odds: Floats
    present: NDArray[np.bool_]
    costs: Floats


def fit_fused(
    rows: FusedRows,
    tables: Mapping[str, StageTable],
    models: Mapping[str, StageModel],
    parameters: FusedParameters,
    target_rate: float,
    say: Say,
    *,
    seed: int,
) -> tuple[FusedParts, FusedScores, Tokens]:
    """All parts, the out-of-fold scores they were settled on, and what the fusion learnt from.

    `models` are untrained.
    """
    tokens = fit_tokens(rows, tables, models, parameters.specialists, say, seed=seed)
    say(f"training the fusion of {', '.join(tokens.names)}")
    members = fusion_members(rows, tokens.rows, parameters.fusion, seed=seed)
    say("settling the meta-learner, calibration, thresholds and activation")
    return *settle_fused(rows, tokens, members, parameters.weighing, target_rate), tokens


def fit_tokens(
    rows: FusedRows,
    tables: Mapping[str, StageTable],
    models: Mapping[str, StageModel],
    parameters: Mapping[str, Parameters],
    say: Say,
    *,
    seed: int,
) -> Tokens:
    """Every specialist out of fold, and what fusion reads of them."""
    return tokens_of(rows, tables, fit_stages(rows, tables, models, parameters, say, seed=seed))


def fit_stages(
    rows: FusedRows,
    tables: Mapping[str, StageTable],
    models: Mapping[str, StageModel],
    parameters: Mapping[str, Parameters],
    say: Say,
    *,
    seed: int,
) -> dict[str, FittedStage]:
    """The specialists; a stage with too few rows of a label is left out, and said."""
    fitted = {}
    for name, table in tables.items():
        targets = rows.targets[table.rows]
        if not can_learn(targets):
            say(f"stage {name}: too few labelled events ({len(table)}), left out")
            continue
        say(f"training the specialist of {name} on {len(table)} events")
        fitted[name] = FittedStage(
            *fit_stage(
                models[name], table, targets, rows.datasets[table.rows], rows.folds[table.rows],
                parameters.get(name, {}), seed=seed,
            )
        )  # fmt: skip
    return fitted


def tokens_of(
    rows: FusedRows, tables: Mapping[str, StageTable], fitted: Mapping[str, FittedStage]
) -> Tokens:
    """What fusion reads of the text and of fitted stages."""
    names = [PREFILTER, TEXT, *fitted]
    present, log_odds, vectors, views = _text_tokens(rows)
    for name, stage in fitted.items():
        table, view = tables[name], stage.model.view
        views.append(view)
        present.append(_spread(np.ones(len(table), bool), table.rows, len(rows)))
        log_odds.append(_spread(stage.log_odds, table.rows, len(rows)))
        seen = view.apply(table.columns, table.embeddings)
        vectors.append(_spread(seen, table.rows, len(rows)))
    together = FusionRows(np.column_stack(present), np.column_stack(log_odds), tuple(vectors))
    models = {name: stage.model for name, stage in fitted.items()}
    return Tokens(tuple(names), together, tuple(views), models)


def fusion_members(
    rows: FusedRows, tokens: FusionRows, parameters: FusionParameters, *, seed: int
) -> list[Fusion]:
    """A network a fold, none of which saw its own fold."""
    weights = np.ones(len(rows))
    return [
        fit_fusion(
            tokens.part(rows.folds != fold), rows.targets[rows.folds != fold],
            weights[rows.folds != fold], parameters, seed=seed + int(fold),
        )
        for fold in np.unique(rows.folds)
    ]  # fmt: skip


def settle_fused(
    rows: FusedRows,
    tokens: Tokens,
    members: Sequence[Fusion],
    parameters: WeighingParameters,
    target_rate: float,
) -> tuple[FusedParts, FusedScores]:
    """From tokens and members to a policy; `members` are in the order of the folds."""
    activation = untuned(tokens)
    steps = after_each_step(rows, tokens, members)
    weighing, logits = weighed(rows, steps, parameters)
    by_chance = footing(rows.chances, rows.targets, fewest_ham=FEWEST_IN_TAIL).weights
    slices = np.array([kind.partition("/")[0] for kind in rows.kinds])
    calibrations = tuple(fit_sliced_calibration(one, rows.targets, slices) for one in logits)
    scores = _probabilities(calibrations, logits, slices)
    thresholds = fit_thresholds(scores[:, -1], rows.targets, rows.kinds, target_rate, by_chance)
    lowest = np.array([thresholds.of(kind)[0] for kind in rows.kinds])
    costs = _costs(tokens, activation)
    tuned = fit_activation(activation, scores, costs, rows.targets, float(np.median(lowest)))
    policy = FusedPolicy((*tokens.names, FUSION), weighing, calibrations, tuned, thresholds)
    parts = FusedParts(tokens.views[0], tokens.views[1], tokens.stages, tuple(members), policy)
    present, log_odds = steps[-1]
    return parts, FusedScores(scores, log_odds, present, costs)


def after_each_step(rows: FusedRows, tokens: Tokens, members: Sequence[Fusion]) -> Steps:
    """Presence bool[n, S + 1] and log-odds float64[n, S + 1] after each step, the fusion last and
    out of fold.
    """
    activation = untuned(tokens)
    return [
        _with_fusion(tokens.rows.keeping(run_after(tokens.names, activation, step)), members, rows)
        for step in range(len(activation.stages) + 1)
    ]


def _text_tokens(
    rows: FusedRows,
) -> tuple[list[NDArray[np.bool_]], list[Floats], list[NDArray[np.float32]], list[TokenView]]:
    present, log_odds, vectors, views = [], [], [], []
    for token in (rows.prefilter, rows.text):
        shown = token.present
        seen = shown if shown.any() else ~shown  # without any text, scaled by what is there
        view = TokenView.of(token.columns[seen], token.embeddings[seen])
        views.append(view)
        present.append(shown)
        log_odds.append(np.where(shown, token.log_odds, 0.0))
        vectors.append(view.apply(token.columns, token.embeddings) * shown[:, None])
    return present, log_odds, vectors, views


def untuned(tokens: Tokens) -> Activation:
    costs = {PREFILTER: PREFILTER_MILLISECONDS, TEXT: TEXT_MILLISECONDS}
    costs |= {name: model.cpu_milliseconds for name, model in tokens.stages.items()}
    _, dear = steps_of(costs)
    return never_settles(dear, [costs[name] for name in dear])


def _with_fusion(
    shown: FusionRows, members: Sequence[Fusion], rows: FusedRows
) -> tuple[NDArray[np.bool_], Floats]:
    """`present` bool[n, S + 1] and `log_odds` float64[n, S + 1], the fusion out of fold."""
    fused = np.zeros(len(rows))
    for member, fold in zip(members, np.unique(rows.folds), strict=True):
        own = rows.folds == fold
        fused[own] = member.score(shown.part(own))
    some = shown.present.any(axis=1)
    return (
        np.column_stack([shown.present, some]),
        np.column_stack([shown.log_odds, np.where(some, fused, 0.0)]),
    )


def weighed(
    rows: FusedRows, steps: Steps, parameters: WeighingParameters
) -> tuple[Weighing, list[Floats]]:
    """The weighing fitted on all rows, and the log-odds after each step by one that did not see
    the row's fold.
    """
    present, log_odds = steps[-1]
    records = np.zeros(log_odds.shape)
    records[rows.order] = track_records(
        present[rows.order], log_odds[rows.order], rows.targets[rows.order],
        parameters.recent_rows,
    )  # fmt: skip
    logits = [np.zeros(len(rows)) for _ in steps]
    for fold in np.unique(rows.folds):
        own = rows.folds == fold
        member = _fit_on(steps, records, rows, ~own, parameters.ridge)
        for at, (shown, known) in enumerate(steps):
            logits[at][own] = member.score(shown[own], known[own])
    everything = np.ones(len(rows), bool)
    return _fit_on(steps, records, rows, everything, parameters.ridge), logits


def _fit_on(
    steps: Steps,
    records: Floats,
    rows: FusedRows,
    chosen: NDArray[np.bool_],
    ridge: float,
) -> Weighing:
    """On the events as they look after every step; all steps of an event weigh one row."""
    present = np.concatenate([shown[chosen] for shown, _ in steps])
    log_odds = np.concatenate([known[chosen] for _, known in steps])
    latest = records[rows.order[-1]]
    fitted = fit_weighing(
        present, log_odds, np.tile(records[chosen], (len(steps), 1)),
        np.tile(rows.targets[chosen], len(steps)), np.full(len(present), 1.0 / len(steps)),
        ridge,
    )  # fmt: skip
    return Weighing(fitted.weights, fitted.intercept, tuple(map(float, latest)))


def _probabilities(
    calibrations: Sequence[SlicedCalibration], logits: Sequence[Floats], slices: Strings
) -> Floats:
    pairs = zip(calibrations, logits, strict=True)
    return np.column_stack([fit.probability(one, slices) for fit, one in pairs])


def _costs(tokens: Tokens, activation: Activation) -> Floats:
    """float64[n, K]: what each step costs each event; nothing where it lacks the content."""
    at = [tokens.names.index(name) for name in activation.stages]
    return np.asarray(tokens.rows.present[:, at] * np.array(activation.costs))


def _spread(values: NDArray[Number], rows: Integers, n: int) -> NDArray[Number]:
    """Values of some rows among n, zero elsewhere."""
    spread = np.zeros((n, *values.shape[1:]), values.dtype)
    spread[rows] = values
    return spread
