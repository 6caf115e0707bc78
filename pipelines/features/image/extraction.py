"""The stage `image`: what a picture looks like, and its embedding."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np

from data_contracts.events import Event, MediaReference
from pipelines.features.base import Features, no_features
from pipelines.features.image.appearance import FAMILIES, NAMES, appearance
from pipelines.features.image.efficientnet import DIMENSIONS
from pipelines.features.image.network import ImageEncoder
from pipelines.features.image.pictures import combined, has_picture, pictures
from pipelines.features.media.base import MediaReader, Unreadable

ENCODER = "efficientnet-lite0"


class ImageExtractor:
    """Columns and embedding are the means over the event's pictures (the first four)."""

    assets: ClassVar[tuple[str, ...]] = (ENCODER,)
    names: ClassVar[tuple[str, ...]] = NAMES
    families: ClassVar[Mapping[str, str]] = FAMILIES
    dimensions: ClassVar[int] = DIMENSIONS
    revision: ClassVar[int] = 2  # of what `appearance` gives; kept features are of one

    def __init__(self, files: Mapping[str, Path], media: MediaReader) -> None:
        self._files = files
        self._media = media

    @cached_property
    def _encoder(self) -> ImageEncoder:
        return ImageEncoder(self._files[ENCODER])

    def is_present(self, event: Event) -> bool:
        return has_picture(event)

    def extract(self, event: Event) -> Features:
        references, images, notes = pictures(event, self._media)
        if not images:
            return no_features(len(self.names), self.dimensions, *notes)
        rows = [
            appearance(image, self._size(reference))
            for reference, image in zip(references, images, strict=True)
        ]
        embeddings = [self._encoder.encode(image.rgb) for image in images]
        mean = np.asarray(np.mean(embeddings, axis=0), np.float32)
        return Features(combined(rows, np.nanmean), mean, notes)

    def _size(self, reference: MediaReference) -> int | None:
        content = self._media.content(reference)
        return None if isinstance(content, Unreadable) else len(content)
