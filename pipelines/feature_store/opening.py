"""Opens the online store that the configuration names."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import AbstractContextManager
from datetime import timedelta
from pathlib import Path

from data_contracts.config import FeatureStore
from data_contracts.errors import ConfigurationError
from data_contracts.secrets import REDIS_URL, secret
from pipelines.enrichment import SOURCES, Enrichment
from pipelines.feature_store.reading import Breaker, EventReads, FeatureReader
from pipelines.feature_store.states import BatchedStates, StateStore
from pipelines.features.behaviour.state import BehaviourState
from pipelines.features.media.base import MediaReader
from pipelines.features.surroundings.recognition import Recognition
from pipelines.features.surroundings.state import SurroundingsState

FOLDER = "features"


def open_states(
    settings: FeatureStore, home: Path, timeout_seconds: float | None = None
) -> AbstractContextManager[BatchedStates]:
    """The store, to be used in a `with` statement, once a process.

    `lmdb` lies under `home`; `redis` is where the secret WEIR_REDIS_URL says, and waits for
    `timeout_seconds` (None: as settings say, which suits verdicts). Raises MissingPart where the
    secret is not set, ConfigurationError where the engine is `none`.
    """
    if settings.engine == "none":
        raise ConfigurationError(
            "feature_store.engine is none: there is no store; use lmdb or redis"
        )
    if settings.engine == "lmdb":
        from pipelines.feature_store.lmdb import GIBIBYTE, LmdbStates

        return LmdbStates(home / FOLDER, int(settings.maximum_gib * GIBIBYTE))
    from pipelines.feature_store.redis import RedisStates

    return RedisStates(
        secret(REDIS_URL, home),
        timedelta(days=settings.time_to_live_days),
        timeout_seconds or settings.timeout_milliseconds / 1000,
    )


def enrichment_over(
    states: StateStore,
    media: MediaReader,
    recognition: Recognition | None = None,
    asked: Collection[str] = SOURCES,
) -> Enrichment:
    """The sources of the past over one store: their keys begin with what they hold."""
    surroundings = SurroundingsState(states, recognition)
    return Enrichment(BehaviourState(states), surroundings, media, asked)


def feature_reader(
    states: BatchedStates,
    media: MediaReader,
    breaker: Breaker,
    asked: Collection[str] = SOURCES,
) -> FeatureReader:
    """What serving asks before it judges an event: the sources that its ensemble knows."""
    reads = EventReads(states)
    return FeatureReader(reads, enrichment_over(reads, media, asked=asked), breaker)
