"""The models of `bench-gates`: a training for each, kept as an artefact until its sources change.

Each model takes its own nine tenths of the rows and its own seed, as the retrains of another week
would. A defect of a finished model is planted in an honest one, the base, which is judged, too.
"""

from __future__ import annotations

import hashlib
import inspect
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from data_contracts.config import PROJECT, Hardening, Settings
from data_contracts.events import Event
from data_contracts.labels import LabelledEvent
from data_contracts.verdicts import Assessment
from pipelines.configured_encoder import encoder_file, encoder_version
from pipelines.features.text.embedding_cache import CachedEncoder
from pipelines.features.text.encoder import TextEncoder
from pipelines.features.text.token_encoder import encoder_of
from tests.performance.gate_defects import Defect
from tests.performance.gate_rows import SEED, Material
from training.artefact_files import verify_artefact
from training.ensemble import ENCODER, Ensemble
from training.hardening import NONE
from training.train import Plan, train
from training.tuning import NoTrialLog

# With some thousand ham, one in a thousand is read off a tail: four honest retrains with seeds for
# development then caught .54 to .86 of the YouTube spam, at five in a thousand .88 to .93.
FOLDS, RATE, KEPT_SHARE = 3, 0.005, 0.9
SOURCES = ("data_contracts", "pipelines", "training")
SOURCES_VARIABLE = "WEIR_BENCH_GATES_SOURCES"  # while developing: a fixed name for the sources


@dataclass(frozen=True)
class Recipe:
    """One model: its name, the seed of its rows and training, and its defect, None for honest."""

    name: str
    seed: int
    defect: Defect | None = None


def rows_for(recipe: Recipe, given: Material) -> list[LabelledEvent]:
    """Nine tenths of the groups, by the recipe's seed, with what its defect does to them."""
    rng = np.random.default_rng([SEED, recipe.seed])
    known = np.unique(given.groups)
    kept = rng.permutation(known)[: round(KEPT_SHARE * len(known))]
    chosen = np.flatnonzero(np.isin(given.groups, kept))
    rows = [given.pool[int(at)] for at in chosen]
    return recipe.defect.rows(rows, given.held_out, rng) if recipe.defect else rows


@dataclass(frozen=True)
class Workshop:
    """Trains and opens models under `folder`. `encoder` caches its vectors."""

    settings: Settings
    given: Material
    encoder: TextEncoder
    folder: Path

    def model(self, recipe: Recipe, base: Recipe) -> Broken:
        """The recipe's model, built where it is not there yet.

        A defect that is done to a finished model is done to that of `base`.
        """
        directory = self.folder / f"{recipe.name}-{self.digest(recipe, base)}"
        if not is_whole(directory):
            self._build(recipe, base, directory)
        encoder = recipe.defect.encoder(self.encoder) if recipe.defect else self.encoder
        return Broken(directory.name, Ensemble.load(directory, encoder), recipe.defect)

    def digest(self, recipe: Recipe, base: Recipe) -> str:
        """Of the rows, the plan, the defect's own source and the sources of training."""
        trained = self._trained_as(recipe, base)
        parts = [sources_digest(), content_digest(rows_for(trained, self.given))]
        parts += [repr(replace(self._plan(trained), studies=Path())), _encoder_name(self.settings)]
        parts += [recipe.defect.source if recipe.defect else ""]
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]

    def _trained_as(self, recipe: Recipe, base: Recipe) -> Recipe:
        return base if recipe.defect and not recipe.defect.retrains else recipe

    def _build(self, recipe: Recipe, base: Recipe, directory: Path) -> None:
        defect = recipe.defect
        if defect is not None and not defect.retrains:
            ensemble = self.model(base, base).ensemble
        else:
            ensemble = self._train(recipe)
        if defect is not None:
            parts = defect.surgery(ensemble.parts, np.random.default_rng([SEED, recipe.seed]))
            ensemble = Ensemble(parts, self.encoder)
        ensemble.save(directory)
        _share(directory / ENCODER, ensemble.parts.encoder)

    def _train(self, recipe: Recipe) -> Ensemble:
        file = encoder_file(self.settings.data, self.settings.cache)
        rows, plan = rows_for(recipe, self.given), self._plan(recipe)
        silent = lambda message: None  # noqa: E731
        if recipe.defect is None:
            return train(rows, self.encoder, file, plan, NoTrialLog(), silent)
        with recipe.defect.reading():
            return train(rows, self.encoder, file, plan, NoTrialLog(), silent)

    def _plan(self, recipe: Recipe) -> Plan:
        return Plan(
            trials=0, folds=FOLDS, seed=recipe.seed, target_false_positive_rate=RATE,
            studies=self.folder / "studies", hardening=self._hardening(recipe.defect),
        )  # fmt: skip

    def _hardening(self, defect: Defect | None) -> Hardening:
        """Half of the default's copies: the other half would cost as much as all the rows."""
        default = self.settings.training.hardening
        shares = {"spam_share": default.spam_share / 2, "ham_share": default.ham_share / 2}
        hardened = defect is None or defect.hardened
        return default.model_copy(update=shares) if hardened else NONE


@dataclass(frozen=True)
class Broken:
    """An ensemble that answers the way its defect makes it read; an honest one as it is."""

    name: str
    ensemble: Ensemble
    defect: Defect | None

    def assess(self, events: Sequence[Event]) -> list[Assessment]:
        if self.defect is None:
            return self.ensemble.assess(events)
        with self.defect.reading():
            return self.ensemble.assess([self.defect.seen(event) for event in events])


def opened_encoder(settings: Settings) -> CachedEncoder:
    """The configured encoder with its vectors on disk; a context manager."""
    file = encoder_file(settings.data, settings.cache)
    version = encoder_version(settings.data, settings.cache)
    return CachedEncoder(encoder_of(file), settings.cache / "embeddings", version)


def is_whole(directory: Path) -> bool:
    """Whether an artefact is there; one that is damaged is refused with its own error."""
    return directory.is_dir() and bool(verify_artefact(directory))


def content_digest(rows: Sequence[LabelledEvent]) -> str:
    """Hexadecimal sha256 of everything that training reads of the rows, their context too."""
    total = hashlib.sha256()
    for row in rows:
        fields: tuple[Any, ...] = (row.dataset, row.label, row.group, row.event.model_dump_json())
        total.update(orjson.dumps(fields) + b"\1")
    return total.hexdigest()


@cache
def sources_digest() -> str:
    """Of every source that a model comes from, so that a change builds all of them again."""
    if fixed := os.environ.get(SOURCES_VARIABLE):
        return fixed
    total = hashlib.sha256(inspect.getsource(inspect.getmodule(Recipe)).encode())  # type: ignore[arg-type]
    for folder in SOURCES:
        for path in sorted((PROJECT / folder).rglob("*.py")):
            total.update(str(path.relative_to(PROJECT)).encode() + b"\0" + path.read_bytes())
    return total.hexdigest()


def _encoder_name(settings: Settings) -> str:
    return encoder_version(settings.data, settings.cache)


def _share(copy: Path, original: Path) -> None:
    """One file for all artefacts: forty copies of an encoder would be two gigabytes."""
    if copy.stat().st_dev != original.stat().st_dev or copy.samefile(original):
        return
    link = copy.with_suffix(".link")
    os.link(original, link)
    link.replace(copy)
