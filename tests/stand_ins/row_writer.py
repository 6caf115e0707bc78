"""A process that puts rows of one entity into a store, in an order of its own. Light to start."""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from pathlib import Path

from pipelines.feature_store.base import FeatureView
from pipelines.feature_store.lmdb import LmdbStore
from pipelines.feature_store.redis import RedisStore

ROWS = 100


def put_shuffled(place: Path | str, view: FeatureView, newest: datetime, seed: int) -> None:
    """ROWS rows a second apart; `place` is a folder of LMDB, or the address of Redis."""
    seconds = list(range(ROWS))
    random.Random(seed).shuffle(seconds)
    opened = (
        LmdbStore(place, view, lambda: newest)
        if isinstance(place, Path)
        else RedisStore(place, view, lambda: newest, 10.0)
    )
    with opened as store:
        for second in seconds:
            store.put("a", [second, -second, 0.5], newest - timedelta(seconds=second))
