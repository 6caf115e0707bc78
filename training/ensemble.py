"""The ensemble's own inference: training, gates and serving all call `Ensemble.assess`.

An event that carries nothing but text is answered by the text's stages (`training.text_stack`),
any other by all of them together (`training.fused_ensemble`). Light to import: no torch, MLflow,
Optuna or scikit-learn.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

import orjson

from data_contracts.errors import BadInput
from data_contracts.events import Event
from data_contracts.verdicts import Assessment
from pipelines.features.base import Extractor
from pipelines.features.context import ContextColumns
from pipelines.features.text.encoder import TextEncoder
from pipelines.features.text.extraction import CHEAP_NAMES
from pipelines.features.text.vocabulary import Vocabulary
from training.artefact_files import (
    REMEDY,
    arrays_to_bytes,
    read_arrays,
    read_json,
    verify_artefact,
    write_artefact,
)
from training.fused_ensemble import FusedEnsemble
from training.fused_files import fused_to_files, read_fused
from training.likeness import Likeness
from training.ngram_log_odds import NgramLogOdds
from training.parts import Parts
from training.policy import Policy
from training.stage_sources import Guarding, StageSources, unguarded
from training.text_stack import Glance, TextStack
from training.unfamiliarity import Ground

ENCODER, SPECIALIST, PREFILTER = "encoder.onnx", "text_specialist.onnx", "prefilter.txt"
NGRAMS, VOCABULARY, GROUND = "ngrams.npz", "vocabulary.npz", "ground.npz"
LIKENESS, OUT_OF_FOLD = "likeness.npz", "out_of_fold.npz"
POLICY, TRAINING = "policy.json", "training.json"


class Ensemble:
    """Assesses events one by one: an answer never depends on the neighbours in a batch."""

    def __init__(
        self,
        parts: Parts,
        encoder: TextEncoder | None = None,
        extractors: Mapping[str, Extractor] | None = None,
        guarding: Guarding = unguarded,
    ) -> None:
        self.parts = parts
        self._encoder = encoder
        self._extractors = extractors or {}
        self._guarding = guarding

    @classmethod
    def load(
        cls,
        directory: Path,
        encoder: TextEncoder | None = None,
        sources: StageSources | None = None,
    ) -> Ensemble:
        """Read and verify an artefact; MissingPart or BadInput says which file is wrong.

        `encoder` stands in for the artefact's own, for example one with a cache. `sources` are
        the configured stages, which a model of more than text needs.
        """
        verify_artefact(directory)
        fused = read_fused(directory, sources.families if sources else {})
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
                likeness=Likeness(**read_arrays(directory / LIKENESS)),
                encoder=directory / ENCODER,
                policy=Policy.from_record(stored["policy"]),
                fused=fused[0] if fused else None,
                assets=fused[1] if fused else {},
                training=read_json(directory / TRAINING),
                out_of_fold=(directory / OUT_OF_FOLD).read_bytes(),
            )
        except (KeyError, TypeError, ValueError) as error:
            where = directory / POLICY
            raise BadInput(f"{where} is not of this version: {error}; {REMEDY}") from None
        guarding = sources.guarding() if sources else unguarded
        return cls(parts, encoder, _opened(parts, sources), guarding)

    def save(self, directory: Path) -> None:
        """Write ONNX, LightGBM text, JSON and .npz files with a manifest; no pickle."""
        parts = self.parts
        write_artefact(
            directory,
            {
                ENCODER: parts.encoder,
                SPECIALIST: parts.specialist,
                LIKENESS: arrays_to_bytes(**parts.likeness._asdict()),
                PREFILTER: parts.prefilter.encode(),
                NGRAMS: arrays_to_bytes(weights=parts.ngrams.weights, rarity=parts.ngrams.rarity),
                VOCABULARY: arrays_to_bytes(hashes=parts.vocabulary.hashes),
                GROUND: arrays_to_bytes(**parts.ground._asdict()),
                POLICY: self._policy_bytes,
                TRAINING: orjson.dumps(dict(parts.training), option=orjson.OPT_INDENT_2),
                OUT_OF_FOLD: parts.out_of_fold,
                **self._fused_files,
            },
        )

    @cached_property
    def version(self) -> str:
        """The artefact's own id: the same files have the same id, wherever they lie."""
        parts = (self.parts.prefilter.encode(), self.parts.specialist, self._policy_bytes)
        arrays = (self.parts.ngrams.weights, *self.parts.likeness)
        files = self._fused_files
        fused = [part for name in sorted(files) if isinstance(part := files[name], bytes)]
        return f"ensemble-{_digest(*parts, *(one.tobytes() for one in arrays), *fused)}"

    @cached_property
    def threshold_version(self) -> str:
        """An id of the thresholds alone."""
        parts = self.parts
        fitted = [
            parts.policy.thresholds,
            *([parts.fused.policy.thresholds] if parts.fused else []),
        ]
        return f"thresholds-{_digest(*(orjson.dumps(asdict(one)) for one in fitted))}"

    @property
    def _fused_files(self) -> dict[str, bytes | Path]:
        """Nothing for an ensemble of text alone. An asset that is the encoder is not kept twice."""
        if self.parts.fused is None:
            return {}
        names = {
            name: ENCODER if path == self.parts.encoder else f"asset.{name}"
            for name, path in self.parts.assets.items()
        }
        assets = {names[name]: path for name, path in self.parts.assets.items()}
        return {**assets, **fused_to_files(self.parts.fused, names)}

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

    def has_stage(self, name: str) -> bool:
        """Whether it was trained with this stage beside the text."""
        return self.parts.fused is not None and name in self.parts.fused.stages

    def assess(
        self,
        events: Sequence[Event],
        *,
        every_stage: bool = False,
        budget_milliseconds: float = math.inf,
        threshold_shift: float = 0.0,
    ) -> list[Assessment]:
        """One assessment an event, in order.

        `every_stage` forbids every early exit; `budget_milliseconds` bounds the expected CPU of
        the stages that are tried for one event beyond the cheap ones; `threshold_shift` log-odds
        are added to every threshold.
        """
        return [
            self._assess(event, glance, every_stage, budget_milliseconds, threshold_shift)
            for event, glance in zip(events, self._text.glances(events), strict=True)
        ]

    def settled(self, events: Sequence[Event]) -> list[Assessment | None]:
        """The answers of `assess` that need no network; None where one is called for."""
        alone = [at for at, event in enumerate(events) if not self._is_fused(event)]
        glances = self._text.glances([events[at] for at in alone])
        found: list[Assessment | None] = [None] * len(events)
        for at, glance in zip(alone, glances, strict=True):
            found[at] = self._text.settled(glance)
        return found

    def _assess(
        self,
        event: Event,
        glance: Glance,
        every_stage: bool,
        budget_milliseconds: float,
        threshold_shift: float,
    ) -> Assessment:
        if self._fused is None or not self._is_fused(event):
            return self._text.assess(
                event, glance, every_stage=every_stage, threshold_shift=threshold_shift
            )
        return self._fused.assess(
            event, glance, every_stage=every_stage, budget_milliseconds=budget_milliseconds,
            threshold_shift=threshold_shift,
        )  # fmt: skip

    def _is_fused(self, event: Event) -> bool:
        return self._fused is not None and self._fused.is_called_for(event)

    @cached_property
    def _text(self) -> TextStack:
        return TextStack(self.parts, self._encoder, self._guarding)

    @cached_property
    def _fused(self) -> FusedEnsemble | None:
        if self.parts.fused is None:
            return None
        return FusedEnsemble(self.parts.fused, self._text, self._extractors)


def _opened(parts: Parts, sources: StageSources | None) -> dict[str, Extractor]:
    if parts.fused is None or sources is None:
        return {}
    return {name: sources.extractor(name, parts.assets) for name in parts.fused.stages}


def _digest(*parts: bytes) -> str:
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:12]
