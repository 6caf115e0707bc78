"""What one stage reads out of an event: the interface of every extractor.

The same extractor runs when a model is trained, gated and served. What it needs of the past
(an account's history, other posts of the same content) stands in the event's context under
`behaviour.` and `surroundings.`, put there by enrichment as of the event's time.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from data_contracts.events import Event
from pipelines.features.media.base import MediaReader


class Features(NamedTuple):
    """`columns` float32[len(names)], NaN where unknown; `embedding` float32[dimensions].

    `notes` are reason codes for what could not be read (`image_truncated`), empty otherwise.
    `text` is text that was read out of media, for the text specialist.
    """

    columns: NDArray[np.float32]
    embedding: NDArray[np.float32]
    notes: tuple[str, ...] = ()
    text: str = ""


class Extractor(Protocol):
    """Reads one kind of content, one event at a time: no answer depends on a neighbour.

    Made with the files of its model assets and a reader of media: the constructor stores, the
    first `extract` loads. `names` are the columns in order; `families` gives each column's
    feature family, the unit of the ablation table.
    """

    assets: ClassVar[tuple[str, ...]]  # names of model assets in the catalogue
    names: ClassVar[tuple[str, ...]]
    families: ClassVar[Mapping[str, str]]
    dimensions: ClassVar[int]  # of the embedding; 0 where there is none

    def __init__(self, files: Mapping[str, Path], media: MediaReader) -> None: ...

    def is_present(self, event: Event) -> bool:
        """Whether the event carries what this extractor reads. Cheap: nothing is decoded."""
        ...

    def extract(self, event: Event) -> Features:
        """Never raises for what a user sent: content that cannot be read gives notes and NaN."""
        ...


def no_features(columns: int, dimensions: int, *notes: str) -> Features:
    """What stands where nothing could be read: NaN columns and a zero embedding."""
    return Features(
        np.full(columns, np.nan, np.float32), np.zeros(dimensions, np.float32), tuple(notes)
    )
