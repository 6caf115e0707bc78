"""A small ensemble of every stage, trained on composed traffic that is made up whole."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from data_contracts.config import Settings
from data_contracts.labels import LabelledEvent
from pipelines.assets import asset_file
from pipelines.enrichment import Enrichment
from pipelines.feature_store.states import MemoryStates
from pipelines.features.behaviour.state import BehaviourState
from pipelines.features.media.base import MediaReader
from pipelines.features.surroundings.state import SurroundingsState
from pipelines.features.text.encoder import OnnxEncoder
from pipelines.simulation.composition.composing import Composition, Plan, compose
from pipelines.simulation.composition.sources import Sources, made_up
from pipelines.simulation.synthetic import synthetic_events
from training.ensemble import Ensemble
from training.stage_sources import training_stages
from training.train import Plan as TrainingPlan
from training.train import train
from training.tuning import NoTrialLog

SEED = 5


def composed(settings: Settings, events: int, media: MediaReader, seed: int = SEED) -> Composition:
    """Enriched traffic of made-up sources; its media lie under the media root."""
    plan = Plan(events=events, spam_share=0.3, buckets=tuple(range(6)), days=6)
    sources = made_up(texts=1200, pictures=4, profiles=8)
    return composed_of(sources, plan, settings, media, seed)


def composed_of(
    sources: Sources, plan: Plan, settings: Settings, media: MediaReader, seed: int
) -> Composition:
    """The same of other sources, and as much of each as `plan` says."""
    found = compose(sources, plan, np.random.default_rng(seed))
    found.write_media(settings.media_root)
    behaviour, surroundings = BehaviourState(MemoryStates()), SurroundingsState(MemoryStates())
    return found.enriched(Enrichment(behaviour, surroundings, media))


def small_ensemble(
    settings: Settings, rows: list[LabelledEvent], media: MediaReader, folder: Path
) -> Ensemble:
    """Trained on `rows` beside some made-up texts, with the default parameters."""
    encoder_file = asset_file(settings.data.encoder, settings.data, settings.cache)
    with training_stages(settings, media) as stages:
        return train(
            [*synthetic_events(300, SEED), *rows], OnnxEncoder(encoder_file), encoder_file,
            TrainingPlan(0, 3, SEED, 0.01, folder / "studies"), NoTrialLog(),
            lambda _line: None, stages,
        )  # fmt: skip
