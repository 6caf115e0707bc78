"""What an artefact can say of its training rows without keeping them: has it seen this before?

The gates ask: a suite that was trained on tells nothing, and a language or a time that was not
tells how far the model carries.
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data_contracts.events import Event
from data_contracts.labels import LabelledEvent
from pipelines.text_signatures import Fingerprints, fingerprints, resemble

TEXTS, MEDIA = "seen_texts", "seen_media"
_MEDIUM_DIGITS = 16  # of the sha256: enough to tell media apart, and half of it


@dataclass(frozen=True)
class SeenRows:
    """Fingerprints of texts, uint8[m, 64], and the first digits of the sha256 of media."""

    texts: Fingerprints
    media: frozenset[str]

    def saw(self, events: Sequence[Event]) -> NDArray[np.bool_]:
        """bool[n]: the events that are near-duplicates of a row, in words or bytes of a medium."""
        by_text = resemble([event.text for event in events], self.texts)
        by_media = [
            any(medium.sha256[:_MEDIUM_DIGITS] in self.media for medium in event.media)
            for event in events
        ]
        return np.asarray(by_text | np.array(by_media, dtype=bool))

    @classmethod
    def of(cls, out_of_fold: bytes) -> SeenRows | None:
        """From an artefact's out-of-fold arrays; None where an older training kept none."""
        if not out_of_fold:
            return None
        with np.load(io.BytesIO(out_of_fold), allow_pickle=False) as arrays:
            if TEXTS not in arrays.files:
                return None
            return cls(arrays[TEXTS], frozenset(arrays[MEDIA].tolist()))


def seen_rows(rows: Sequence[LabelledEvent]) -> dict[str, NDArray[Any]]:
    """The arrays that `SeenRows.of` reads."""
    media = {medium.sha256[:_MEDIUM_DIGITS] for row in rows for medium in row.event.media}
    return {
        TEXTS: fingerprints([row.event.text for row in rows]),
        MEDIA: np.array(sorted(media), dtype=f"<U{_MEDIUM_DIGITS}"),
    }


def described_reach(rows: Sequence[LabelledEvent]) -> dict[str, Any]:
    """For the training record: rows by language (primary subtag) and the latest event's time."""
    languages = Counter(
        row.event.language.split("-")[0].lower() for row in rows if row.event.language
    )
    times = [row.event.occurred_at for row in rows if row.event.occurred_at]
    latest = max(times).isoformat() if times else None
    return {"languages": dict(sorted(languages.items())), "latest_event": latest}
