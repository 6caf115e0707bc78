"""The ensemble's own inference: training, gates and serving all call `Ensemble.assess`.

Order: cheap features -> prefilter -> (early exit) -> text specialist -> meta-learner ->
calibration -> thresholds. Light to import: no torch, MLflow, Optuna or scikit-learn.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from data_contracts.errors import BadInput
from data_contracts.events import Event
from data_contracts.verdicts import SCORE_DECIMALS, Assessment, Stage
from pipelines.features.context import ContextColumns
from pipelines.features.text.encoder import OnnxEncoder, TextEncoder
from pipelines.features.text.extraction import CHEAP_NAMES, CheapFeatures, TextExtractor
from pipelines.features.text.segments import segment_of
from pipelines.features.text.vocabulary import Vocabulary
from training.artefact_files import (
    REMEDY,
    arrays_to_bytes,
    read_arrays,
    read_json,
    verify_artefact,
    write_artefact,
)
from training.boosted_trees import BoostedTrees
from training.logistic import sigmoid
from training.ngram_log_odds import NgramLogOdds
from training.policy import Policy
from training.prefilter import prefilter_columns
from training.reasons import reasons_for
from training.specialists.text_onnx import OnnxSpecialist
from training.unfamiliarity import Ground

ENCODER, SPECIALIST, PREFILTER = "encoder.onnx", "text_specialist.onnx", "prefilter.txt"
NGRAMS, VOCABULARY, GROUND = "ngrams.npz", "vocabulary.npz", "ground.npz"
OUT_OF_FOLD = "out_of_fold.npz"
POLICY, TRAINING = "policy.json", "training.json"


@dataclass(frozen=True)
class Parts:
    """Everything an ensemble is made of; `training` says what it was trained on and how."""

    vocabulary: Vocabulary
    context: ContextColumns
    ground: Ground
    ngrams: NgramLogOdds
    prefilter: str
    specialist: bytes
    encoder: Path
    policy: Policy
    training: Mapping[str, Any] = field(default_factory=dict)
    out_of_fold: bytes = b""


class Ensemble:
    """Assesses events one by one: an answer never depends on the neighbours in a batch."""

    def __init__(self, parts: Parts, encoder: TextEncoder | None = None) -> None:
        self.parts = parts
        self._encoder = encoder

    @classmethod
    def load(cls, directory: Path, encoder: TextEncoder | None = None) -> Ensemble:
        """Read and verify an artefact; MissingPart or BadInput says which file is wrong.

        `encoder` stands in for the artefact's own, for example one with a cache.
        """
        verify_artefact(directory)
        stored = read_json(directory / POLICY)
        arrays = read_arrays(directory / NGRAMS)
        try:
            if tuple(stored["cheap_names"]) != CHEAP_NAMES:
                raise BadInput(f"{directory} was trained on other features; train again")
            parts = Parts(
                vocabulary=Vocabulary(read_arrays(directory / VOCABULARY)["hashes"]),
                context=ContextColumns(tuple(stored["context_keys"])),
                ground=Ground(**read_arrays(directory / GROUND)),
                ngrams=NgramLogOdds(arrays["weights"], arrays["rarity"], stored["intercept"]),
                prefilter=(directory / PREFILTER).read_text(encoding="utf-8"),
                specialist=(directory / SPECIALIST).read_bytes(),
                encoder=directory / ENCODER,
                policy=Policy.from_record(stored["policy"]),
                training=read_json(directory / TRAINING),
                out_of_fold=(directory / OUT_OF_FOLD).read_bytes(),
            )
        except (KeyError, TypeError, ValueError) as error:
            where = directory / POLICY
            raise BadInput(f"{where} is not of this version: {error}; {REMEDY}") from None
        return cls(parts, encoder)

    def save(self, directory: Path) -> None:
        """Write ONNX, LightGBM text, JSON and .npz files with a manifest; no pickle."""
        parts = self.parts
        write_artefact(
            directory,
            {
                ENCODER: parts.encoder,
                SPECIALIST: parts.specialist,
                PREFILTER: parts.prefilter.encode(),
                NGRAMS: arrays_to_bytes(weights=parts.ngrams.weights, rarity=parts.ngrams.rarity),
                VOCABULARY: arrays_to_bytes(hashes=parts.vocabulary.hashes),
                GROUND: arrays_to_bytes(**parts.ground._asdict()),
                POLICY: self._policy_bytes,
                TRAINING: orjson.dumps(dict(parts.training), option=orjson.OPT_INDENT_2),
                OUT_OF_FOLD: parts.out_of_fold,
            },
        )

    @cached_property
    def version(self) -> str:
        """The artefact's own id: the same files have the same id, wherever they lie."""
        parts = (self.parts.prefilter.encode(), self.parts.specialist, self._policy_bytes)
        return f"ensemble-{_digest(*parts, self.parts.ngrams.weights.tobytes())}"

    @cached_property
    def threshold_version(self) -> str:
        """An id of the thresholds alone."""
        return f"thresholds-{_digest(orjson.dumps(asdict(self.parts.policy.thresholds)))}"

    @property
    def _policy_bytes(self) -> bytes:
        stored = {
            "cheap_names": CHEAP_NAMES,
            "context_keys": self.parts.context.keys,
            "intercept": self.parts.ngrams.intercept,
            "policy": self.parts.policy.as_record(),
        }
        return orjson.dumps(stored, option=orjson.OPT_INDENT_2)

    @property
    def training(self) -> Mapping[str, Any]:
        """What it was trained on: datasets, rows, parameters, quality out of fold."""
        return self.parts.training

    def assess(self, events: Sequence[Event], *, every_stage: bool = False) -> list[Assessment]:
        """One assessment an event, in order; `every_stage` forbids the early exit."""
        return [self._assess(event, every_stage) for event in events]

    def _assess(self, event: Event, every_stage: bool) -> Assessment:
        policy = self.parts.policy
        cheap = self._extractor.cheap(event.text)
        ngrams = self.parts.ngrams.score(cheap.ngrams)
        distance = float(self.parts.ground.distances(cheap.lexical[None, :])[0])
        prefilter = self._prefilter_log_odds(event, cheap, ngrams)
        unlike = policy.unfamiliarity.is_unlike_training(distance)
        if not every_stage and policy.early_exit.settles(prefilter, unlike):
            return self._settled_early(prefilter)
        content, style, general = self._specialist_log_odds(cheap)
        known = np.array([[ngrams, prefilter, content, style]])
        full = policy.full_log_odds(known, np.array([general]), np.array([distance]))
        score = round(float(policy.calibration.probability(full)[0]), SCORE_DECIMALS)
        action = policy.thresholds.action(score, segment_of(cheap.lexical, event.language))
        return Assessment(
            score=score,
            action=action,
            reasons=reasons_for(action, cheap, ngrams=ngrams, content=content, unlike=unlike),
            stages=(
                Stage("prefilter", True, self._early_score(prefilter)),
                Stage("text", True, _probability((content + style) / 2)),
                Stage("meta_learner", True, score),
            ),
        )

    def _prefilter_log_odds(self, event: Event, cheap: CheapFeatures, ngrams: float) -> float:
        context = self.parts.context.values(event)
        row = prefilter_columns(np.array([ngrams]), cheap.lexical[None, :], context[None, :])
        return self._prefilter.score(row[0])

    def _specialist_log_odds(self, cheap: CheapFeatures) -> tuple[float, float, float]:
        embedding = self._extractor.embedding(cheap.canonical)
        content, style, general = self._specialist.scores(embedding, cheap.lexical)
        return float(content), float(style), float(general)

    def _settled_early(self, prefilter: float) -> Assessment:
        score, why = self._early_score(prefilter), "prefilter settled clear ham"
        skipped = (Stage(name, False, skipped_because=why) for name in ("text", "meta_learner"))
        return Assessment(
            score, "allow", ("clear_ham",), (Stage("prefilter", True, score), *skipped)
        )

    def _early_score(self, prefilter: float) -> float:
        fitted = self.parts.policy.early.probability(np.array([prefilter]))
        return round(float(fitted[0]), SCORE_DECIMALS)

    @cached_property
    def _extractor(self) -> TextExtractor:
        encoder = self._encoder or OnnxEncoder(self.parts.encoder)
        return TextExtractor(self.parts.vocabulary, encoder)

    @cached_property
    def _prefilter(self) -> BoostedTrees:
        return BoostedTrees(self.parts.prefilter)

    @cached_property
    def _specialist(self) -> OnnxSpecialist:
        return OnnxSpecialist(self.parts.specialist)


def _digest(*parts: bytes) -> str:
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:12]


def _probability(log_odds: float) -> float:
    return round(float(sigmoid(np.array([log_odds]))[0]), SCORE_DECIMALS)
