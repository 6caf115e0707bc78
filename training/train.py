"""The story of one training: read, check, describe, search, stack, settle, save."""

from __future__ import annotations

import hashlib
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data_contracts.config import Hardening
from data_contracts.labels import LabelledEvent
from data_contracts.protocols import TrialLog
from pipelines.features.context import ContextColumns
from pipelines.features.text.encoder import TextEncoder
from pipelines.features.text.extraction import CHEAP_NAMES, TextExtractor
from pipelines.features.text.vocabulary import Vocabulary
from pipelines.near_duplicates import group_related
from pipelines.splits import grouped_folds
from training.artefact_files import arrays_to_bytes
from training.beyond_text import Carried, Fused, TextOutOfFold
from training.ensemble import Ensemble
from training.fusion_tokens import FusionTask, task_of, write_task
from training.hardening import NONE, Copies, disguised_copies, with_copies
from training.labelled_rows import check_groups
from training.logistic import Floats
from training.parts import Parts
from training.policy import Policy
from training.search_space import Value, load_search_space, text_parameters
from training.searching import StagedSearch
from training.seen_rows import described_reach, seen_rows
from training.settling import early_scores, fitted_on, quality, settle, text_positive
from training.specialists.text_onnx import export_specialist
from training.stacking import Fitting, Folds, fit_stack
from training.stage_sources import TrainingStages
from training.table import Table, build_table
from training.trials import FOLDS, TrialObjective, trial_rows
from training.unfamiliarity import Ground

Clock = Callable[[], float]


@dataclass(frozen=True)
class Plan:
    """How to train. `studies` is where searches keep their journals.

    `trials` bounds the search of each stage, `search_seconds` that of all of them together.
    `hardening` says which disguised copies the text models learn from, too. `fusion_tokens` is a
    file to write what the fusion learnt from to, so that `training fit-fusion` can train it anew.
    """

    trials: int
    folds: int
    seed: int
    target_false_positive_rate: float
    studies: Path
    search_seconds: float = 3600.0
    hardening: Hardening = NONE
    fusion_tokens: Path | None = None


@dataclass(frozen=True)
class Progress:
    """Says on stderr what is going on, with the seconds since the start."""

    began: float
    clock: Clock = time.monotonic

    def __call__(self, message: str) -> None:
        seconds = self.clock() - self.began
        print(f"train {seconds:6.1f} s  {message}", file=sys.stderr, flush=True)


def train(
    rows: Sequence[LabelledEvent],
    encoder: TextEncoder,
    encoder_file: Path,
    plan: Plan,
    log: TrialLog,
    say: Callable[[str], None],
    stages: TrainingStages | None = None,
) -> Ensemble:
    """One ensemble from labelled events. The same rows, plan and encoder give the same one.

    `stages` are those beside the text; without them, or where the rows carry too little for
    them, the ensemble is one of text alone.
    """
    stages = stages or TrainingStages()
    search = staged_search(rows, plan, log, say)
    models = learn_text(rows, encoder, plan, search, say, stages)
    rate = plan.target_false_positive_rate
    fused = models.carried.fit(models.text, search, rate, plan.seed, say)
    ensemble = Ensemble(
        models.parts(encoder_file, rows, plan, search, fused), encoder, stages.extractors
    )
    if plan.fusion_tokens and fused:
        say(f"writing what the fusion learnt from to {plan.fusion_tokens}")
        write_task(plan.fusion_tokens, models.fusion_task(fused, plan, ensemble.version))
    return ensemble


@dataclass(frozen=True)
class TextModels:
    """The text's models, what they say of every row out of fold, and what rows carry beside."""

    vocabulary: Vocabulary
    context: ContextColumns
    ground: Ground
    policy: Policy
    learnt: NDArray[np.bool_]
    text: TextOutOfFold
    carried: Carried
    copies: Copies

    def parts(
        self,
        encoder_file: Path,
        rows: Sequence[LabelledEvent],
        plan: Plan,
        search: StagedSearch,
        fused: Fused | None,
    ) -> Parts:
        """Everything of the ensemble, with `fused` above the text."""
        table, stack, stages = self.text.table, self.text.stack, self.carried.stages
        judged = _judged(table, self.policy, self.text.scores, self.carried, fused)
        learnt = table.part(np.flatnonzero(self.learnt))
        return Parts(
            vocabulary=self.vocabulary,
            context=self.context,
            ground=self.ground,
            ngrams=stack.ngrams,
            prefilter=stack.prefilter.model_to_string(),
            specialist=export_specialist(stack.specialists),
            likeness=stack.likeness,
            encoder=encoder_file,
            policy=self.policy,
            fused=fused.parts if fused else None,
            assets=stages.assets_of(fused.parts.stages) if fused else {},
            training={
                **_described(rows, plan, search),
                **fitted_on(learnt, plan.target_false_positive_rate),
                "hardening": self.copies.record(),
                "quality_out_of_fold": quality(table, judged.scores, judged.positive),
            },
            out_of_fold=_out_of_fold(rows, self.text, judged),
        )

    def fusion_task(self, fused: Fused, plan: Plan, version: str) -> FusionTask:
        """What `training fit-fusion` needs to train the fusion of this ensemble anew."""
        return task_of(
            fused.rows, fused.tokens, fused.parameters, at=self.carried.fused, seed=plan.seed,
            positive=text_positive(self.policy, self.text.table, self.text.scores),
            target_rate=plan.target_false_positive_rate, model_version=version,
        )  # fmt: skip


def learn_text(
    rows: Sequence[LabelledEvent],
    encoder: TextEncoder,
    plan: Plan,
    search: StagedSearch,
    say: Callable[[str], None],
    stages: TrainingStages,
) -> TextModels:
    """Everything below the fusion but the other stages' specialists."""
    say(f"reading {len(rows)} labelled events")
    table, vocabulary, context = build_table(rows, encoder, say)
    say("grouping near-duplicates")
    groups = group_related(rows)
    check_groups(rows, groups, plan.folds)
    fitting = Fitting(("ngram_log_odds", *CHEAP_NAMES, *context.names), plan.seed)
    chosen = search.best("text", "text", _text_objective(table, groups, plan.seed, fitting)).chosen
    folds = _folds(table, groups, plan.folds, plan.seed)
    carried = Carried.by(rows, stages, say)
    learnt = carried.text_learns_from()
    extractor = TextExtractor(vocabulary, encoder)
    copies = disguised_copies(rows, folds, learnt, plan.hardening, plan.seed)
    say(f"reading {len(copies.rows)} disguised copies")
    hardened = with_copies(table, folds, learnt, copies, extractor, context, say)
    stack = fit_stack(
        hardened.table, hardened.folds, text_parameters(chosen), fitting, say, hardened.learnt
    ).of_first(len(rows))
    say("settling calibration and thresholds")
    ground = Ground.of(table.lexical[learnt])
    rate = plan.target_false_positive_rate
    policy, scores = settle(table, ground, folds, stack.log_odds, rate, learnt)
    early = early_scores(policy, stack.log_odds)
    text = TextOutOfFold(table, folds, stack, early, scores, extractor)
    return TextModels(vocabulary, context, ground, policy, learnt, text, carried, copies)


@dataclass(frozen=True)
class _Judged:
    """Out of fold: the probability of each row, its kind, and whether it would be acted on."""

    scores: Floats
    kinds: NDArray[np.str_]
    positive: NDArray[np.bool_]


def _judged(
    table: Table, policy: Policy, scores: Floats, carried: Carried, fused: Fused | None
) -> _Judged:
    """By the text alone, and by everything together where a row carries more."""
    positive = text_positive(policy, table, scores)
    if fused is None:
        return _Judged(scores, table.segments, positive)
    scores, kinds = scores.copy(), table.segments.astype(object)
    scores[carried.fused], kinds[carried.fused] = fused.scores.by_step[:, -1], fused.rows.kinds
    positive[carried.fused] = fused.positive
    return _Judged(scores, kinds.astype(str), positive)


def staged_search(
    rows: Sequence[LabelledEvent], plan: Plan, log: TrialLog, say: Callable[[str], None]
) -> StagedSearch:
    """The search of this training; the same rows and seed resume it."""
    name = f"{rows_digest(rows)[:12]}-seed{plan.seed}"
    return StagedSearch(
        load_search_space(), name, plan.studies, plan.trials, plan.search_seconds, plan.seed,
        _Told(log, say), say,
    )  # fmt: skip


def _text_objective(
    table: Table, groups: NDArray[np.int64], seed: int, fitting: Fitting
) -> Callable[[Mapping[str, Value]], Iterator[float]]:
    """Trials on a part of the rows, which is made when the first one starts."""

    @cache
    def objective() -> TrialObjective:
        chosen = trial_rows(groups, np.random.default_rng(seed))
        part = table.part(chosen)
        return TrialObjective(part, _folds(part, groups[chosen], FOLDS, seed), fitting)

    return lambda chosen: objective()(text_parameters(chosen))


@dataclass(frozen=True)
class _Told:
    """Wraps a trial log: every trial is also said."""

    log: TrialLog
    say: Callable[[str], None]

    def trial(
        self, stage: str, number: int, parameters: Any, value: float | None, state: str
    ) -> None:
        reached = "no value" if value is None else f"mean average precision {value:.4f}"
        self.say(f"{stage} trial {number} {state.lower()}: {reached}")
        self.log.trial(stage, number, parameters, value, state)

    def importances(self, stage: str, shares: Mapping[str, float]) -> None:
        self.log.importances(stage, shares)


def _folds(table: Table, groups: NDArray[np.int64], folds: int, seed: int) -> Folds:
    """int64[n]: groups stay whole, each dataset's labels are balanced over the folds."""
    labels = zip(table.datasets, table.targets, strict=True)
    strata = [f"{name} {target}" for name, target in labels]
    return grouped_folds(groups, strata, folds, np.random.default_rng(seed))


def rows_digest(rows: Sequence[LabelledEvent]) -> str:
    """Hexadecimal sha256 of the rows' content and order."""
    total = hashlib.sha256()
    for row in rows:
        fields = (row.dataset, row.label, row.event.event_id, row.event.text)
        total.update("\0".join(fields).encode("utf-8", "surrogatepass") + b"\1")
    return total.hexdigest()


def _described(rows: Sequence[LabelledEvent], plan: Plan, search: StagedSearch) -> dict[str, Any]:
    names = sorted({row.dataset for row in rows})
    return {
        "rows": len(rows),
        "spam": sum(row.is_spam for row in rows),
        "datasets": {name: sum(row.dataset == name for row in rows) for name in names},
        **described_reach(rows),
        "rows_sha256": rows_digest(rows),
        "seed": plan.seed,
        "folds": plan.folds,
        "trials": sum(found.trials for found in search.found.values()),
        "best_trial_values": {stage: found.value for stage, found in search.found.items()},
        "parameters": {
            f"{stage}.{name}": value
            for stage, found in search.found.items()
            for name, value in found.chosen.items()
        },
        "importances": {stage: dict(found.importances) for stage, found in search.found.items()},
    }


def _out_of_fold(rows: Sequence[LabelledEvent], text: TextOutOfFold, judged: _Judged) -> bytes:
    """Scores of rows by models that did not see them: thresholds can be fitted on these again."""
    table = text.table
    return arrays_to_bytes(
        event_ids=np.array([row.event.event_id for row in rows]),
        datasets=table.datasets, segments=judged.kinds, targets=table.targets, folds=text.folds,
        scores=judged.scores, log_odds=text.stack.log_odds, chances=table.chances,
        **seen_rows(rows),
    )  # fmt: skip
