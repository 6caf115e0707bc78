"""The behaviour stage: what enrichment wrote under `behaviour.`, as columns."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import numpy as np

from data_contracts.events import Event
from pipelines.features.base import Features
from pipelines.features.behaviour import (
    devices,
    engagement,
    graph,
    repetition,
    rhythm,
    standing,
)
from pipelines.features.media.base import MediaReader

PREFIX = "behaviour."
LARGEST = 3e38
FAMILIES: Mapping[str, tuple[str, ...]] = {
    "account": standing.NAMES,
    "rhythm": rhythm.NAMES,
    "graph": graph.NAMES,
    "engagement": engagement.NAMES,
    "device": devices.NAMES,
    "repetition": repetition.NAMES,
}
FAMILY_OF = {name: family for family, names in FAMILIES.items() for name in names}


class BehaviourExtractor:
    """Reads the columns of FAMILIES; NaN where the past said nothing."""

    assets: ClassVar[tuple[str, ...]] = ()
    names: ClassVar[tuple[str, ...]] = tuple(FAMILY_OF)
    families: ClassVar[Mapping[str, str]] = FAMILY_OF
    dimensions: ClassVar[int] = 0

    def __init__(self, files: Mapping[str, Path], media: MediaReader) -> None:
        """Neither is needed: everything stands in the context."""

    def is_present(self, event: Event) -> bool:
        return any(key.startswith(PREFIX) for key in event.context)

    def extract(self, event: Event) -> Features:
        entries = [event.context.get(PREFIX + name) for name in self.names]
        columns = [float(one) if _is_number(one) else np.nan for one in entries]  # type: ignore[arg-type]
        return Features(np.array(columns, np.float32), np.zeros(0, np.float32))


def _is_number(entry: object) -> bool:
    """Whether float32 holds it."""
    return isinstance(entry, bool | int | float) and abs(entry) < LARGEST
