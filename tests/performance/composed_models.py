"""Models of composed traffic, and variants of them that lack a part: what each part is worth.

The text's models are trained once. A variant drops stages or feature families and trains again
what stands above: specialists, fusion, meta-learner, calibration.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data_contracts.events import Event
from data_contracts.labels import LabelledEvent
from pipelines.features.text.encoder import TextEncoder
from training.fused_ensemble import text_columns
from training.fused_policy import kind_of, late_fusion, run_after
from training.fused_training import (
    FittedStage,
    FusedParameters,
    FusedParts,
    FusedRows,
    TextToken,
    fit_stages,
    fusion_members,
    settle_fused,
    tokens_of,
)
from training.fusion import FusionRows, mean_score
from training.logistic import Floats, logit
from training.parts import Parts
from training.stage_models import StageModel
from training.stage_sources import TrainingStages
from training.stage_table import StageTable, read_stages
from training.text_reading import FAMILY, NAMES
from training.text_stack import TextStack
from training.train import Plan, TextModels, learn_text, staged_search
from training.tuning import NoTrialLog

Say = Callable[[str], None]
Booleans = NDArray[np.bool_]
TEXT_PARTS = ("present", "log_odds", "columns", "embeddings")


@dataclass(frozen=True)
class Bench:
    """A training and a test, every stage read once: `tables` are over the rows of each."""

    training: FusedRows
    training_tables: Mapping[str, StageTable]
    models: Mapping[str, StageModel]
    test: FusedRows
    test_tables: Mapping[str, StageTable]
    parts: Callable[[FusedParts], Parts]
    plan: Plan


@dataclass(frozen=True)
class Answered:
    """Over n test events: `by_step` float64[n, K + 1] probabilities, the last with everything,
    `late` the mean of the calibrated specialists, `alone` each stage's log-odds (NaN if absent),
    `fused` the fusion's, and `stages` and `costs` of the steps, float64[n, K].
    """

    by_step: Floats
    late: Floats
    alone: Mapping[str, Floats]
    fused: Floats
    costs: Floats


def read_bench(
    rows: Sequence[LabelledEvent],
    test: Sequence[LabelledEvent],
    encoder: TextEncoder,
    encoder_file: Path,
    plan: Plan,
    stages: TrainingStages,
    say: Say,
) -> Bench:
    """Train the text's models on `rows`, and read every stage of the rows and of the test."""
    search = staged_search(rows, plan, NoTrialLog(), say)
    models = learn_text(rows, encoder, plan, search, say, stages)
    tables = models.carried.with_read_text(models.text, say)
    parts = models.parts(encoder_file, rows, plan, search, None)
    text = TextStack(parts, encoder)
    say(f"reading {len(test)} events of the test")
    events = [row.event for row in test]
    found = read_stages(events, stages.extractors, say)
    found = {
        name: _read_text(table, events, text) for name, table in found.items() if name in tables
    }
    return Bench(
        models.carried.fused_rows(models.text), tables, models.carried.untrained(tables),
        _test_rows(test, found, text, models, stages), found,
        lambda fused: replace(parts, fused=fused, assets=stages.assets_of(fused.stages)), plan,
    )  # fmt: skip


def without(bench: Bench, *, stages: Sequence[str] = (), family: str | None = None) -> Bench:
    """The bench without some stages, or without a family of columns."""

    def kept(tables: Mapping[str, StageTable]) -> dict[str, StageTable]:
        left = {name: table for name, table in tables.items() if name not in stages}
        if family is None:
            return left
        dropped = {name: table.without(family) for name, table in left.items()}
        return {name: table for name, table in dropped.items() if table.names}

    def blind(rows: FusedRows) -> FusedRows:
        hidden = {
            name: replace(getattr(rows, name), present=getattr(rows, name).present & False)
            for name in ("prefilter", "text")
            if name in stages
        }
        return replace(rows, **hidden)

    return replace(
        bench,
        training=blind(bench.training), training_tables=kept(bench.training_tables),
        test=blind(bench.test), test_tables=kept(bench.test_tables),
    )  # fmt: skip


def halved(bench: Bench) -> Bench:
    """The bench with every second training row of those that carry more than text."""
    chosen = np.arange(0, len(bench.training), 2)
    rows = bench.training
    tokens = {
        name: TextToken(*(getattr(getattr(rows, name), part)[chosen] for part in TEXT_PARTS))
        for name in ("prefilter", "text")
    }
    plain = {
        name: getattr(rows, name)[chosen]
        for name in ("targets", "datasets", "folds", "kinds", "chances")
    }
    order = np.argsort(np.argsort(rows.order)[chosen])
    tables = {name: table.part(chosen) for name, table in bench.training_tables.items()}
    return replace(
        bench, training=FusedRows(**plain, **tokens, order=order), training_tables=tables
    )


def fitted(
    bench: Bench, known: Mapping[str, FittedStage] | None = None
) -> tuple[FusedParts, dict[str, FittedStage]]:
    """Everything above the text's models, with the default parameters.

    `known` are stages that were fitted before; one whose columns are not those of the bench is
    fitted again.
    """
    parameters, quiet = FusedParameters(), lambda _line: None
    same = {
        name: stage
        for name, stage in (known or {}).items()
        if name in bench.training_tables and _has_its_columns(stage, bench.training_tables[name])
    }
    left = {name: table for name, table in bench.training_tables.items() if name not in same}
    new = fit_stages(bench.training, left, bench.models, {}, quiet, seed=bench.plan.seed)
    stages = {name: (same | new)[name] for name in bench.training_tables if name in same | new}
    tokens = tokens_of(bench.training, bench.training_tables, stages)
    members = fusion_members(bench.training, tokens.rows, parameters.fusion, seed=bench.plan.seed)
    rate = bench.plan.target_false_positive_rate
    parts, _ = settle_fused(bench.training, tokens, members, parameters.weighing, rate)
    return parts, stages


def _has_its_columns(stage: FittedStage, table: StageTable) -> bool:
    return len(stage.model.view.middle) == table.columns.shape[1]


def answered(bench: Bench, parts: FusedParts) -> Answered:
    """What the models say of the test."""
    rows = _fusion_rows(bench, parts)
    names, policy = parts.policy.tokens[:-1], parts.policy
    slices = [kind.partition("/")[0] for kind in bench.test.kinds]
    steps = []
    for step in range(len(policy.activation.stages) + 1):
        shown = rows.keeping(run_after(names, policy.activation, step))
        some = shown.present.any(axis=1)
        fused = np.where(some, mean_score(parts.fusion, shown), 0.0)
        logits = policy.weighing.score(
            np.column_stack([shown.present, some]), np.column_stack([shown.log_odds, fused])
        )
        steps.append(policy.calibrations[step].probability(logits, np.array(slices)))
    at = [names.index(name) for name in policy.activation.stages]
    return Answered(
        by_step=np.column_stack(steps),
        late=late_fusion(rows.present, rows.log_odds),
        alone={
            name: np.where(rows.present[:, number], rows.log_odds[:, number], np.nan)
            for number, name in enumerate(names)
        },
        fused=fused,
        costs=rows.present[:, at] * np.array(policy.activation.costs),
    )


def _fusion_rows(bench: Bench, parts: FusedParts) -> FusionRows:
    test, n = bench.test, len(bench.test)
    present, log_odds, vectors = [], [], []
    pairs = ((test.prefilter, parts.prefilter_view), (test.text, parts.text_view))
    for token, view in pairs:
        present.append(token.present)
        log_odds.append(np.where(token.present, token.log_odds, 0.0))
        vectors.append(view.apply(token.columns, token.embeddings) * token.present[:, None])
    for name, model in parts.stages.items():
        table = bench.test_tables.get(name)
        shown, scores = np.zeros(n, bool), np.zeros(n)
        vector = np.zeros((n, model.view.width), np.float32)
        if table is not None:
            shown[table.rows] = True
            pairs_of = zip(table.columns, table.embeddings, strict=True)
            scores[table.rows] = [model.log_odds(*pair) for pair in pairs_of]
            vector[table.rows] = model.view.apply(table.columns, table.embeddings)
        present.append(shown)
        log_odds.append(scores)
        vectors.append(vector)
    return FusionRows(np.column_stack(present), np.column_stack(log_odds), tuple(vectors))


def _read_text(table: StageTable, events: Sequence[Event], text: TextStack) -> StageTable:
    if not any(table.texts):
        return table
    columns = [
        text.reader.columns(events[at].text, read)
        for at, read in zip(table.rows, table.texts, strict=True)
    ]
    return table.with_columns(np.stack(columns), NAMES, FAMILY)


def _test_rows(
    test: Sequence[LabelledEvent],
    tables: Mapping[str, StageTable],
    text: TextStack,
    models: TextModels,
    stages: TrainingStages,
) -> FusedRows:
    glances = [text.glance(row.event) for row in test]
    understood = [text.understand(glance) for glance in glances]
    carried: list[list[str]] = [[] for _ in test]
    for name, table in tables.items():
        for at in table.rows:
            carried[at].append(stages.stages[name].modality)
    n = len(test)
    early = np.array([text.early_score(glance) for glance in glances])
    said = np.array([text.probability(found) for found in understood])
    columns = [text_columns(g.ngrams, u) for g, u in zip(glances, understood, strict=True)]
    worded = np.array([bool(row.event.text.strip()) for row in test])
    nothing: Any = np.zeros((n, 0), np.float32)
    return FusedRows(
        targets=np.array([row.is_spam for row in test], np.int64),
        datasets=np.array([row.dataset for row in test]),
        folds=np.zeros(n, np.int64),
        kinds=np.array([kind_of(c, row.event) for c, row in zip(carried, test, strict=True)]),
        chances=np.ones(n),
        order=np.arange(n),
        prefilter=TextToken(
            np.ones(n, bool), logit(early), np.stack([g.cheap.lexical for g in glances]), nothing
        ),
        text=TextToken(
            worded, logit(said), np.stack(columns), np.stack([u.embedding for u in understood])
        ),
    )
