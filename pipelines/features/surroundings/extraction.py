"""The columns of an event's surroundings, as enrichment left them in its context."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import numpy as np

from data_contracts.events import Event
from pipelines.features.base import Features
from pipelines.features.media.base import MediaReader
from pipelines.features.surroundings import (
    cross_posts,
    geography,
    local_time,
    platform_signals,
    recognition,
    trending,
)

PREFIX = "surroundings."
FAMILIES: Mapping[str, tuple[str, ...]] = {
    "local_time": local_time.NAMES,
    "geography": geography.NAMES,
    "trending": trending.NAMES,
    "platform": platform_signals.NAMES,
    "cross_post": cross_posts.NAMES,
    "hashes": recognition.NAMES,
}


class SurroundingsExtractor:
    """Reads `surroundings.<name>`: nothing is computed here, and what is absent is NaN."""

    assets: ClassVar[tuple[str, ...]] = ()
    names: ClassVar[tuple[str, ...]] = tuple(name for names in FAMILIES.values() for name in names)
    families: ClassVar[Mapping[str, str]] = {
        name: family for family, names in FAMILIES.items() for name in names
    }
    dimensions: ClassVar[int] = 0

    def __init__(self, files: Mapping[str, Path], media: MediaReader) -> None:  # noqa: ARG002
        self._keys = tuple(PREFIX + name for name in self.names)

    def is_present(self, event: Event) -> bool:
        return any(key in event.context for key in self._keys)

    def extract(self, event: Event) -> Features:
        entries = [event.context.get(key) for key in self._keys]
        numbers = [float(e) if isinstance(e, int | float) else np.nan for e in entries]
        return Features(np.array(numbers, np.float32), np.zeros(0, np.float32))
