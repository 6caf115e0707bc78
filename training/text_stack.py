"""What the text alone says: cheap features, prefilter, specialist, meta-learner, thresholds.

Order: cheap features -> prefilter -> (early exit) -> text specialist -> meta-learner ->
calibration -> thresholds.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np

from data_contracts.events import Event
from data_contracts.verdicts import SCORE_DECIMALS, Assessment, Stage
from pipelines.features.text.encoder import Embedding, TextEncoder
from pipelines.features.text.extraction import CheapFeatures, TextExtractor
from pipelines.features.text.remembered import encoder_at
from pipelines.features.text.segments import segment_of
from training.boosted_trees import BoostedTrees
from training.logistic import sigmoid
from training.parts import Parts
from training.prefilter import prefilter_columns
from training.reasons import reasons_for
from training.specialists.text_onnx import OnnxSpecialist
from training.text_reading import TextReader


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
    """The text models of an ensemble; `encoder` stands in for the artefact's own."""

    def __init__(self, parts: Parts, encoder: TextEncoder | None = None) -> None:
        self._parts = parts
        self._encoder = encoder

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

    def assess(self, event: Event, glance: Glance, *, every_stage: bool) -> Assessment:
        """What the ensemble answers where an event carries nothing but text."""
        policy = self._parts.policy
        if not every_stage and policy.early_exit.settles(glance.prefilter, glance.unlike):
            return self._settled_early(glance)
        found = self.understand(glance)
        score = round(self.probability(found), SCORE_DECIMALS)
        action = policy.thresholds.action(score, segment_of(glance.cheap.lexical, event.language))
        return Assessment(
            score=score,
            action=action,
            reasons=reasons_for(
                action, glance.cheap, ngrams=glance.ngrams, content=found.content,
                unlike=glance.unlike,
            ),
            stages=(
                Stage("prefilter", True, self.early_score(glance)),
                Stage("text", True, _probability((found.content + found.style) / 2)),
                Stage("meta_learner", True, score),
            ),
        )  # fmt: skip

    def probability(self, found: Understanding) -> float:
        """The calibrated probability of spam by the text alone."""
        return float(self._parts.policy.calibration.probability(np.array([found.full]))[0])

    def early_score(self, glance: Glance) -> float:
        """The calibrated probability of spam by the prefilter alone."""
        fitted = self._parts.policy.early.probability(np.array([glance.prefilter]))
        return round(float(fitted[0]), SCORE_DECIMALS)

    @cached_property
    def reader(self) -> TextReader:
        """For text that was read out of media."""
        return TextReader(self._extractor, self._parts.ngrams, self._specialist.scores)

    def _settled_early(self, glance: Glance) -> Assessment:
        score, why = self.early_score(glance), "prefilter settled clear ham"
        skipped = (Stage(name, False, skipped_because=why) for name in ("text", "meta_learner"))
        return Assessment(
            score, "allow", ("clear_ham",), (Stage("prefilter", True, score), *skipped)
        )

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


def _probability(log_odds: float) -> float:
    return round(float(sigmoid(np.array([log_odds]))[0]), SCORE_DECIMALS)
