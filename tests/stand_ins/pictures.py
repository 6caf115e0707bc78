"""A reader of media that holds its pictures itself, and pictures with words on them."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from data_contracts.events import Event, MediaReference
from pipelines.features.media.base import DecodedImage, DecodedVideo, Unreadable


class Shelf:
    """Pictures by name, uint8[h, w, 3]; a name that is not there is a truncated file."""

    def __init__(self, **pictures: NDArray[np.uint8]) -> None:
        self._pictures = {_sha256(name): rgb for name, rgb in pictures.items()}

    def event(self, *names: str) -> Event:
        media = tuple(
            MediaReference(kind="image", sha256=_sha256(name), path=name) for name in names
        )
        return Event(event_id="e", text="", media=media)

    def image(self, reference: MediaReference) -> DecodedImage | Unreadable:
        rgb = self._pictures.get(reference.sha256)
        if rgb is None:
            return Unreadable("image_truncated")
        return DecodedImage(rgb, rgb.shape[1], rgb.shape[0], "PNG", 1)

    def video(self, reference: MediaReference) -> DecodedVideo | Unreadable:
        return Unreadable("video_truncated")

    def content(self, reference: MediaReference) -> bytes | Unreadable:
        rgb = self._pictures.get(reference.sha256)
        return Unreadable("image_truncated") if rgb is None else rgb.tobytes()


def written(*lines: str, background: NDArray[np.uint8] | None = None) -> NDArray[np.uint8]:
    """Black lines of text in Pillow's own font on white, or on grey uint8[h, w, 1]."""
    ground = np.full((120, 360, 1), 255, np.uint8) if background is None else background
    picture = Image.fromarray(np.repeat(ground, 3, axis=2))
    drawing = ImageDraw.Draw(picture)
    for number, line in enumerate(lines):
        drawing.text((20, 10 + 35 * number), line, fill=0, font=ImageFont.load_default(24))
    return np.asarray(picture, np.uint8)


def _sha256(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()
