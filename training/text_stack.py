"""What the text alone says: cheap features, prefilter, specialist, meta-learner, thresholds.

Order: cheap features -> prefilter -> (early exit) -> text specialist -> meta-learner ->
calibration -> thresholds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np

from data_contracts.events import Event
from data_contracts.verdicts import SCORE_DECIMALS, Action, Assessment, Stage
from pipelines.features.text.encoder import Embedding, TextEncoder
from pipelines.features.text.extraction import CheapFeatures, TextExtractor
from pipelines.features.text.remembered import encoder_at
from pipelines.features.text.segments import segment_of
from training.boosted_trees import BoostedTrees
from training.fused_policy import PREFILTER, TEXT
from training.logistic import sigmoid_of
from training.parts import Parts
from training.prefilter import prefilter_columns
from training.reasons import reasons_for
from training.specialists.text_onnx import OnnxSpecialist
from training.stage_sources import Guarding, LeftOut, unguarded
from training.text_reading import Array, TextReader


class Glance(NamedTuple):
    """What is known of a text before any network ran; `prefilter` and `ngrams` are log-odds."""

    cheap: CheapFeatures
    ngrams: float
    prefilter: float
    distance: float
    unlike: bool


class Understanding(NamedTuple):
    """Log-odds of the specialist's heads, and `full`, the meta-learner's, before calibration."""

    embedding: Embedding
    content: float
    style: float
    general: float
    full: float


class TextStack:
    """The text models of an ensemble; `encoder` stands in for the artefact's own.

    `guarding` stands before all that runs a network. Where it leaves the text out, the prefilter
    decides.
    """

    def __init__(
        self,
        parts: Parts,
        encoder: TextEncoder | None = None,
        guarding: Guarding = unguarded,
    ) -> None:
        self._parts = parts
        self._encoder = encoder
        self._guarding = guarding
        self.understood: Callable[[Glance], Understanding | LeftOut] = guarding(
            TEXT, self.understand
        )

    def glance(self, event: Event) -> Glance:
        """The cheap part."""
        return self.glances([event])[0]

    def glances(self, events: Sequence[Event]) -> list[Glance]:
        """The cheap part of each event, as if it were alone, for a fraction of the time."""
        if not events:
            return []
        cheap = self._extractor.cheap_rows([event.text for event in events])
        ngrams = self._parts.ngrams.scores(cheap.ngrams)
        distances = self._parts.ground.distances(cheap.lexical)
        context = np.stack([self._parts.context.values(event) for event in events])
        known = self._prefilter.scores(prefilter_columns(ngrams, cheap.lexical, context))
        is_unlike = self._parts.policy.unfamiliarity.is_unlike_training
        numbers = zip(ngrams.tolist(), known.tolist(), distances.tolist(), strict=True)
        return [
            Glance(cheap.row(at), ngram, prefilter, distance, is_unlike(distance))
            for at, (ngram, prefilter, distance) in enumerate(numbers)
        ]

    def understand(self, glance: Glance) -> Understanding:
        """The dear part: the encoder, the specialist and the meta-learner."""
        embedding = self._extractor.embedding(glance.cheap.canonical)
        heads = self._specialist.scores(embedding, glance.cheap.lexical)
        content, style, general = map(float, heads)
        likeness = self._parts.likeness.score(embedding)
        known = np.array([[glance.ngrams, glance.prefilter, content, style, likeness]])
        full = self._parts.policy.full_log_odds(
            known, np.array([general]), np.array([glance.distance])
        )
        return Understanding(embedding, content, style, general, float(full[0]))

    def assess(
        self, event: Event, glance: Glance, *, every_stage: bool, threshold_shift: float = 0.0
    ) -> Assessment:
        """What the ensemble answers where an event carries nothing but text."""
        if not every_stage and (settled := self.settled(glance)):
            return settled
        found = self.understood(glance)
        if isinstance(found, LeftOut):
            return self._without_networks(event, glance, found.why, threshold_shift)
        score = round(self.probability(found), SCORE_DECIMALS)
        action = self._action(score, event, glance, threshold_shift)
        return Assessment(
            score=score,
            action=action,
            reasons=reasons_for(
                action, glance.cheap, ngrams=glance.ngrams, content=found.content,
                unlike=glance.unlike,
            ),
            stages=(
                Stage(PREFILTER, True, self.early_score(glance)),
                Stage(TEXT, True, _probability((found.content + found.style) / 2)),
                Stage("meta_learner", True, score),
            ),
        )  # fmt: skip

    def settled(self, glance: Glance) -> Assessment | None:
        """The answer to clear ham, by the prefilter alone; None where there is doubt."""
        if not self._parts.policy.early_exit.settles(glance.prefilter, glance.unlike):
            return None
        score, why = self.early_score(glance), "prefilter settled clear ham"
        return Assessment(score, "allow", ("clear_ham",), _by_prefilter(score, why))

    def probability(self, found: Understanding) -> float:
        """The calibrated probability of spam by the text alone."""
        return self._parts.policy.calibration.probability_of(found.full)

    def early_score(self, glance: Glance) -> float:
        """The calibrated probability of spam by the prefilter alone."""
        return round(self._parts.policy.early.probability_of(glance.prefilter), SCORE_DECIMALS)

    @cached_property
    def reader(self) -> TextReader:
        """For text that was read out of media."""
        return TextReader(self._extractor, self._parts.ngrams, self._specialist.scores)

    def reading_for(self, stage: str) -> Callable[[str, str], Array | LeftOut]:
        """`TextReader.columns` for the stage that read the text."""
        return self._guarding(stage, lambda caption, read: self.reader.columns(caption, read))

    def _without_networks(
        self, event: Event, glance: Glance, why: str, threshold_shift: float
    ) -> Assessment:
        """By the prefilter alone: its score is calibrated, so the same thresholds hold."""
        score = self.early_score(glance)
        action = self._action(score, event, glance, threshold_shift)
        reasons = reasons_for(
            action, glance.cheap, ngrams=glance.ngrams, content=0.0, unlike=glance.unlike
        )
        return Assessment(score, action, (*reasons, why), _by_prefilter(score, why))

    def _action(self, score: float, event: Event, glance: Glance, shift: float) -> Action:
        segment = segment_of(glance.cheap.lexical, event.language)
        return self._parts.policy.thresholds.action(score, segment, shift)

    @cached_property
    def _extractor(self) -> TextExtractor:
        encoder = self._encoder or encoder_at(self._parts.encoder)
        return TextExtractor(self._parts.vocabulary, encoder)

    @cached_property
    def _prefilter(self) -> BoostedTrees:
        return BoostedTrees(self._parts.prefilter)

    @cached_property
    def _specialist(self) -> OnnxSpecialist:
        return OnnxSpecialist(self._parts.specialist)


def _by_prefilter(score: float, why: str) -> tuple[Stage, ...]:
    skipped = (Stage(name, False, skipped_because=why) for name in (TEXT, "meta_learner"))
    return (Stage(PREFILTER, True, score), *skipped)


def _probability(log_odds: float) -> float:
    return round(sigmoid_of(log_odds), SCORE_DECIMALS)
