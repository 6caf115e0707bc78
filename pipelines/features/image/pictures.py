"""The pictures of one event, decoded: what all stages of the image modality start from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from data_contracts.events import Event, MediaReference
from pipelines.features.media.base import DecodedImage, MediaReader, Unreadable

MOST_PICTURES = 4  # of one event; later ones are not read

Floats = NDArray[np.float32]


class Pictures(NamedTuple):
    """The readable ones of the first MOST_PICTURES, in order, and why others are missing."""

    references: tuple[MediaReference, ...]
    images: tuple[DecodedImage, ...]
    notes: tuple[str, ...]


def has_picture(event: Event) -> bool:
    return any(reference.kind == "image" for reference in event.media)


def pictures(event: Event, media: MediaReader) -> Pictures:
    """Never raises for what a file holds."""
    wanted = [reference for reference in event.media if reference.kind == "image"]
    read = [(reference, media.image(reference)) for reference in wanted[:MOST_PICTURES]]
    good = [(reference, image) for reference, image in read if not isinstance(image, Unreadable)]
    notes = [image.reason for _, image in read if isinstance(image, Unreadable)]
    notes += [note for _, image in good for note in image.notes]
    return Pictures(
        tuple(reference for reference, _ in good),
        tuple(image for _, image in good),
        tuple(dict.fromkeys(notes)),
    )


def combined(rows: list[Floats], how: Callable[..., Any]) -> Floats:
    """One row of several by `how` (numpy.nanmean); NaN only where a column is NaN in all."""
    table = np.array(rows, np.float32)
    known = ~np.isnan(table).all(axis=0)
    result = np.full(table.shape[1], np.nan, np.float32)
    result[known] = how(table[:, known], axis=0)
    return result
