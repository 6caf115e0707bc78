"""Inference where an event carries more than text: stage after stage, while doubt is worth it.

Free stages -> fusion and meta-learner -> (settled?) -> the next dear stage -> fusion and
meta-learner -> … The score after each step is calibrated for that step, so an event that is
settled early has a probability as honest as one that ran everything.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from data_contracts.events import Event
from data_contracts.verdicts import SCORE_DECIMALS, Action, Assessment, Stage
from pipelines.features.base import Extractor, Features
from training.activation import DEADLINE
from training.fused_policy import FUSION, PREFILTER, TEXT, FusedPolicy, kind_of
from training.fused_training import FusedParts
from training.fusion import packed
from training.logistic import Floats, logit_of, sigmoid_of
from training.reasons import reasons_for
from training.stage_sources import LeftOut
from training.text_stack import Glance, TextStack, Understanding
from training.token_view import TokenView

Array = NDArray[np.float32]


class Place(NamedTuple):
    """Where fusion reads a stage: its number among the stages, and its columns of the inputs."""

    number: int
    columns: slice
    view: TokenView


class FusedEnsemble:
    """Assesses events with media, behaviour or surroundings; the text comes from `text`."""

    def __init__(
        self, parts: FusedParts, text: TextStack, extractors: Mapping[str, Extractor]
    ) -> None:
        self._parts = parts
        self._text = text
        self._extractors = extractors
        self._fusion = packed(parts.fusion)
        self._places = self._placed()
        self._reading_for = {
            name: text.reading_for(name) for name, model in parts.stages.items() if model.reads_text
        }

    @property
    def policy(self) -> FusedPolicy:
        return self._parts.policy

    def is_called_for(self, event: Event) -> bool:
        """Whether the event carries anything beside its text."""
        return any(
            model.modality != "text" and self._extractors[name].is_present(event)
            for name, model in self._parts.stages.items()
        )

    def assess(
        self,
        event: Event,
        glance: Glance,
        *,
        every_stage: bool = False,
        budget_milliseconds: float = float("inf"),
        threshold_shift: float = 0.0,
    ) -> Assessment:
        """`budget_milliseconds` bounds the expected CPU of the stages that are tried."""
        run = self._run_of(event, glance)
        self._run_free_stages(run)
        step, why = self._run_dear_stages(run, every_stage, budget_milliseconds)
        score = round(self._score(run, step), SCORE_DECIMALS)
        action = self.policy.action(score, run.kind, threshold_shift)
        return self._answer(run, score, action, why)

    def _placed(self) -> dict[str, Place]:
        own = {PREFILTER: self._parts.prefilter_view, TEXT: self._parts.text_view}
        own |= {name: model.view for name, model in self._parts.stages.items()}
        starts = self._fusion.starts.tolist()
        return {
            name: Place(at, slice(starts[at], starts[at + 1]), own[name])
            for at, name in enumerate(self.policy.tokens[:-1])
        }

    def _run_of(self, event: Event, glance: Glance) -> _Run:
        """Before any stage; what an event carries is asked once."""
        stages = self._parts.stages
        carried = {name for name in stages if self._extractors[name].is_present(event)}
        kind = kind_of([stages[name].modality for name in carried], event)
        carried |= {PREFILTER, TEXT} if event.text.strip() else {PREFILTER}
        return _Run(
            event, glance, kind, carried,
            present=np.zeros((1, len(self._places) + 1), bool),
            log_odds=np.zeros((1, len(self._places) + 1)),
            inputs=np.zeros((1, int(self._fusion.starts[-1])), np.float32),
        )  # fmt: skip

    def _run_free_stages(self, run: _Run) -> None:
        early = self._text.early_score(run.glance)
        self._show(run, PREFILTER, logit_of(early), run.glance.cheap.lexical, _NOTHING)
        for name in self._parts.stages:
            if name not in self.policy.activation.stages and name in run.carried:
                self._run_stage(name, run)

    def _run_dear_stages(
        self, run: _Run, every_stage: bool, budget: float
    ) -> tuple[int, str | None]:
        """How many steps were taken, and why no more."""
        activation = self.policy.activation
        for step, (name, cost) in enumerate(zip(activation.stages, activation.costs, strict=True)):
            if name not in run.carried:
                continue
            if not every_stage and (why := activation.settled(step, self._score(run, step))):
                return step, why
            if cost > budget:
                run.skipped[name] = DEADLINE
                continue
            budget -= cost
            self._run_stage(name, run)
        return len(activation.stages), None

    def _run_stage(self, name: str, run: _Run) -> None:
        if name == TEXT:
            self._run_text(run)
            return
        features, model = self._extractors[name].extract(run.event), self._parts.stages[name]
        if np.isnan(np.fmax.reduce(features.columns)):  # every column is unknown
            run.note(*features.notes)
            run.skipped[name] = features.notes[0] if features.notes else "nothing to read"
            return
        columns = self._columns(name, features, run.event)
        if isinstance(columns, LeftOut):
            run.leave_out(name, columns.why)
            return
        run.note(*features.notes)
        log_odds = model.log_odds(columns, features.embedding)
        self._show(run, name, log_odds, columns, features.embedding)

    def _run_text(self, run: _Run) -> None:
        found = self._text.understood(run.glance)
        if isinstance(found, LeftOut):
            run.leave_out(TEXT, found.why)
            return
        run.understanding = found
        columns = text_columns(run.glance.ngrams, found)
        log_odds = logit_of(self._text.probability(found))
        self._show(run, TEXT, log_odds, columns, found.embedding)

    def _show(
        self, run: _Run, name: str, log_odds: float, columns: Array, embedding: Array
    ) -> None:
        """Puts what a stage gave where fusion reads it."""
        place = self._places[name]
        run.tokens[name] = log_odds
        run.present[0, place.number] = True
        run.log_odds[0, place.number] = log_odds
        run.inputs[0, place.columns] = place.view.apply(columns[None], embedding[None])[0]

    def _columns(self, name: str, features: Features, event: Event) -> Array | LeftOut:
        """With what the text's networks say of text that the stage read, where it reads any."""
        if name not in self._reading_for:
            return features.columns
        read = self._reading_for[name](event.text, features.text)
        return read if isinstance(read, LeftOut) else np.append(features.columns, read)

    def _score(self, run: _Run, step: int) -> float:
        """The calibrated probability by the stages that ran, after `step` steps."""
        if run.weighed_over != len(run.tokens):  # a step that the event lacks changes nothing
            self._weigh(run)
        return self.policy.probability(step, run.weighed, run.kind)

    def _weigh(self, run: _Run) -> None:
        """The fusion is the last of the stages that the meta-learner weighs."""
        stages = slice(len(self._places))
        fused = self._fusion.scores_of(run.present[:, stages], run.log_odds[:, stages], run.inputs)
        run.fused = run.log_odds[0, -1] = float(fused[0])
        run.present[0, -1] = True
        run.weighed = float(self.policy.weighing.score(run.present, run.log_odds)[0])
        run.weighed_over = len(run.tokens)

    def _answer(self, run: _Run, score: float, action: Action, why: str | None) -> Assessment:
        stages = [self._stage(name, run, why) for name in self._places if name in run.carried]
        stages += [
            Stage(FUSION, True, _probability(run.fused)),
            Stage("meta_learner", True, score),
        ]
        return Assessment(score, action, self._reasons(run, action), tuple(stages))

    def _stage(self, name: str, run: _Run, why: str | None) -> Stage:
        if (log_odds := run.tokens.get(name)) is not None:
            return Stage(name, True, _probability(log_odds))
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
            for name, log_odds in run.tokens.items()
            if name not in (PREFILTER, TEXT) and log_odds > 0
        ]
        worded = tuple(one for one in worded if one != "combined_signals" or not signals)
        return (*worded, *signals, *run.notes)


@dataclass
class _Run:
    """One event on its way through the stages.

    `carried` are the stages whose content it has; `tokens` are the calibrated log-odds of those
    that ran. For fusion and meta-learner, `present` bool[1, S + 1] and `log_odds` float64[1, S + 1]
    with the fusion last, and `inputs` float32[1, d].
    """

    event: Event
    glance: Glance
    kind: str
    carried: Collection[str]
    present: NDArray[np.bool_]
    log_odds: Floats
    inputs: Array
    tokens: dict[str, float] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    understanding: Understanding | None = None
    fused: float = 0.0
    weighed: float = 0.0  # the meta-learner's log-odds over so many tokens
    weighed_over: int = 0

    def note(self, *notes: str) -> None:
        """Each once, in the order in which they came."""
        self.notes += [note for note in notes if note not in self.notes]

    def leave_out(self, stage: str, why: str) -> None:
        """As if the stage had been withheld for that reason, which is what replay does."""
        self.skipped[stage] = why
        self.note(why)


_NOTHING = np.zeros(0, np.float32)


def text_columns(ngrams: float, found: Understanding) -> Array:
    """float32[4]: what fusion sees of the text models beside the embedding."""
    return np.array([ngrams, found.content, found.style, found.general], np.float32)


def _probability(log_odds: float) -> float:
    return round(sigmoid_of(log_odds), SCORE_DECIMALS)
