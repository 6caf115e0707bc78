"""Numbers that come with an event: media counts, and the numeric entries of its context."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from data_contracts.events import ENRICHED_PREFIXES, Event

MINIMUM_SHARE = 0.01
ALWAYS = ("images", "videos")


@dataclass(frozen=True)
class ContextColumns:
    """Which context keys are columns; fixed when a model is trained. A missing entry is NaN.

    Enriched keys are none: they belong to the specialists of behaviour and surroundings.
    """

    keys: tuple[str, ...] = ()

    @classmethod
    def of(cls, events: Sequence[Event], minimum_share: float = MINIMUM_SHARE) -> ContextColumns:
        """Keys with a number or a truth value in at least `minimum_share` of the events."""
        counts = Counter(
            key
            for event in events
            for key, entry in event.context.items()
            if _is_number(entry) and not key.startswith(ENRICHED_PREFIXES)
        )
        enough = minimum_share * len(events)
        return cls(tuple(sorted(key for key, count in counts.items() if count >= enough)))

    @property
    def names(self) -> tuple[str, ...]:
        return (*ALWAYS, *(f"context.{key}" for key in self.keys))

    def values(self, event: Event) -> NDArray[np.float32]:
        """float32[len(names)]."""
        kinds = Counter(reference.kind for reference in event.media)
        entries = [event.context.get(key) for key in self.keys]
        numbers = [float(entry) if _is_number(entry) else np.nan for entry in entries]  # type: ignore[arg-type]
        return np.array([kinds["image"], kinds["video"], *numbers], np.float32)


def _is_number(entry: object) -> bool:
    return isinstance(entry, bool | int | float)
