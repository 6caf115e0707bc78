"""Inference where an event carries more than text: stage after stage, while doubt is worth it.

Free stages -> fusion and meta-learner -> (settled?) -> the next dear stage -> fusion and
meta-learner -> … The score after each step is calibrated for that step, so an event that is
settled early has a probability as honest as one that ran everything.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from data_contracts.events import Event
from data_contracts.verdicts import SCORE_DECIMALS, Assessment, Stage
from pipelines.features.base import Extractor, Features
from training.activation import DEADLINE
from training.fused_policy import FUSION, PREFILTER, TEXT, FusedPolicy, kind_of
from training.fused_training import FusedParts
from training.fusion import FusionRows, mean_score
from training.logistic import logit, sigmoid
from training.reasons import reasons_for
from training.text_stack import Glance, TextStack, Understanding
from training.token_view import TokenView

Array = NDArray[np.float32]


class Token(NamedTuple):
    """What one stage gave: calibrated log-odds and the vector that fusion reads."""

    log_odds: float
    vector: Array


class FusedEnsemble:
    """Assesses events with media, behaviour or surroundings; the text comes from `text`."""

    def __init__(
        self, parts: FusedParts, text: TextStack, extractors: Mapping[str, Extractor]
    ) -> None:
        self._parts = parts
        self._text = text
        self._extractors = extractors

    @property
    def policy(self) -> FusedPolicy:
        return self._parts.policy

    def is_called_for(self, event: Event) -> bool:
        """Whether the event carries anything beside its text."""
        return bool(self._modalities(event))

    def assess(
        self,
        event: Event,
        glance: Glance,
        *,
        every_stage: bool = False,
        budget_milliseconds: float = float("inf"),
    ) -> Assessment:
        """`budget_milliseconds` bounds the expected CPU of the stages that are tried."""
        run = _Run(event, glance, kind_of(self._modalities(event), event))
        self._run_free_stages(run)
        step, why = self._run_dear_stages(run, every_stage, budget_milliseconds)
        score = round(self._score(run, step), SCORE_DECIMALS)
        return self._answer(run, score, why)

    def _modalities(self, event: Event) -> list[str]:
        return [
            model.modality
            for name, model in self._parts.stages.items()
            if model.modality != "text" and self._extractors[name].is_present(event)
        ]

    def _run_free_stages(self, run: _Run) -> None:
        early = self._text.early_score(run.glance)
        view = self._parts.prefilter_view
        run.tokens[PREFILTER] = _token(_logit(early), view, run.glance.cheap.lexical, _NOTHING)
        for name in self._parts.stages:
            if name not in self.policy.activation.stages and self._is_carried(name, run.event):
                self._run_stage(name, run)

    def _run_dear_stages(
        self, run: _Run, every_stage: bool, budget: float
    ) -> tuple[int, str | None]:
        """How many steps were taken, and why no more."""
        activation = self.policy.activation
        for step, (name, cost) in enumerate(zip(activation.stages, activation.costs, strict=True)):
            if not every_stage and (why := activation.settled(step, self._score(run, step))):
                return step, why
            if not self._is_carried(name, run.event):
                continue
            if cost > budget:
                run.skipped[name] = DEADLINE
                continue
            budget -= cost
            self._run_stage(name, run)
        return len(activation.stages), None

    def _is_carried(self, name: str, event: Event) -> bool:
        if name == TEXT:
            return bool(event.text.strip())
        return self._extractors[name].is_present(event)

    def _run_stage(self, name: str, run: _Run) -> None:
        if name == TEXT:
            self._run_text(run)
            return
        features, model = self._extractors[name].extract(run.event), self._parts.stages[name]
        run.notes += [note for note in features.notes if note not in run.notes]
        if np.isnan(features.columns).all():
            run.skipped[name] = features.notes[0] if features.notes else "nothing to read"
            return
        columns = (
            self._with_read_text(features, run.event) if model.reads_text else features.columns
        )
        log_odds = model.log_odds(columns, features.embedding)
        run.tokens[name] = _token(log_odds, model.view, columns, features.embedding)

    def _run_text(self, run: _Run) -> None:
        found = run.understanding = self._text.understand(run.glance)
        columns = text_columns(run.glance.ngrams, found)
        log_odds = _logit(self._text.probability(found))
        run.tokens[TEXT] = _token(log_odds, self._parts.text_view, columns, found.embedding)

    def _with_read_text(self, features: Features, event: Event) -> Array:
        return np.append(features.columns, self._text.reader.columns(event.text, features.text))

    def _score(self, run: _Run, step: int) -> float:
        """The calibrated probability by the stages that ran, after `step` steps."""
        if run.weighed_over != len(run.tokens):  # a step that the event lacks changes nothing
            self._weigh(run)
        return self.policy.probability(step, run.weighed, run.kind)

    def _weigh(self, run: _Run) -> None:
        rows = self._fusion_rows(run)
        run.fused = float(mean_score(self._parts.fusion, rows)[0])
        present = np.append(rows.present[0], True)
        log_odds = np.append(rows.log_odds[0], run.fused)
        run.weighed = float(self.policy.weighing.score(present[None], log_odds[None])[0])
        run.weighed_over = len(run.tokens)

    def _fusion_rows(self, run: _Run) -> FusionRows:
        names = self.policy.tokens[:-1]
        tokens = [run.tokens.get(name) for name in names]
        vectors = tuple(
            (np.zeros(self._view(name).width, np.float32) if token is None else token.vector)[None]
            for name, token in zip(names, tokens, strict=True)
        )
        return FusionRows(
            np.array([[token is not None for token in tokens]]),
            np.array([[0.0 if token is None else token.log_odds for token in tokens]]),
            vectors,
        )

    def _view(self, name: str) -> TokenView:
        own = {PREFILTER: self._parts.prefilter_view, TEXT: self._parts.text_view}
        return own[name] if name in own else self._parts.stages[name].view

    def _answer(self, run: _Run, score: float, why: str | None) -> Assessment:
        action = self.policy.action(score, run.kind)
        names = [name for name in self.policy.tokens[:-1] if self._is_shown(name, run)]
        stages = [self._stage(name, run, why) for name in names]
        stages += [
            Stage(FUSION, True, _probability(run.fused)),
            Stage("meta_learner", True, score),
        ]
        return Assessment(score, action, self._reasons(run, action), tuple(stages))

    def _is_shown(self, name: str, run: _Run) -> bool:
        return name == PREFILTER or self._is_carried(name, run.event)

    def _stage(self, name: str, run: _Run, why: str | None) -> Stage:
        if token := run.tokens.get(name):
            return Stage(name, True, _probability(token.log_odds))
        return Stage(name, False, skipped_because=run.skipped.get(name) or why)

    def _reasons(self, run: _Run, action: str) -> tuple[str, ...]:
        found = run.understanding
        worded = reasons_for(
            action, run.glance.cheap, ngrams=run.glance.ngrams,  # type: ignore[arg-type]
            content=found.content if found else 0.0, unlike=run.glance.unlike,
        )  # fmt: skip
        if action == "allow":
            return (*worded, *run.notes)
        signals = [
            f"signals_of_{name}"
            for name, token in run.tokens.items()
            if name not in (PREFILTER, TEXT) and token.log_odds > 0
        ]
        worded = tuple(one for one in worded if one != "combined_signals" or not signals)
        return (*worded, *signals, *run.notes)


@dataclass
class _Run:
    """One event on its way through the stages."""

    event: Event
    glance: Glance
    kind: str
    tokens: dict[str, Token] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    understanding: Understanding | None = None
    fused: float = 0.0
    weighed: float = 0.0  # the meta-learner's log-odds over so many tokens
    weighed_over: int = 0


_NOTHING = np.zeros(0, np.float32)


def text_columns(ngrams: float, found: Understanding) -> Array:
    """float32[4]: what fusion sees of the text models beside the embedding."""
    return np.array([ngrams, found.content, found.style, found.general], np.float32)


def _token(log_odds: float, view: TokenView, columns: Array, embedding: Array) -> Token:
    return Token(log_odds, view.apply(columns[None], embedding[None])[0])


def _logit(probability: float) -> float:
    return float(logit(np.array([probability]))[0])


def _probability(log_odds: float) -> float:
    return round(float(sigmoid(np.array([log_odds]))[0]), SCORE_DECIMALS)
