"""The stage `objects`: nudity, body parts and faces.

Adult adverts are a large part of image spam, and faces tell personal photographs. Two networks:
Yahoo's open_nsfw (Mahadeokar, Pesavento 2016) for the whole picture, and NudeNet, a YOLOv8n
(Jocher et al. 2023), for where things are.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from data_contracts.events import Event
from pipelines.features.base import Features, no_features
from pipelines.features.image.network import ImageNetwork, Pixels, resized
from pipelines.features.image.pictures import combined, has_picture, pictures
from pipelines.features.media.base import MediaReader

NSFW, DETECTOR = "opennsfw", "nudenet-320n"
NSFW_SIDE, NSFW_MARGIN = 256, 16
NSFW_MEAN_BGR = np.array([104, 117, 123], np.float32)
DETECTOR_SIDE = 320
CONFIDENCE, OVERLAP = 0.25, 0.45
CLASSES: tuple[str, ...] = (
    "female_genitalia_covered", "face_female", "buttocks_exposed", "female_breast_exposed",
    "female_genitalia_exposed", "male_breast_exposed", "anus_exposed", "feet_exposed",
    "belly_covered", "feet_covered", "armpits_covered", "armpits_exposed", "face_male",
    "belly_exposed", "male_genitalia_exposed", "anus_covered", "female_breast_covered",
    "buttocks_covered",
)  # fmt: skip
FACES = [number for number, name in enumerate(CLASSES) if name.startswith("face")]
EXPOSED = [number for number, name in enumerate(CLASSES) if name.endswith("exposed")]
COUNTS = ("detections", "faces", "bodies", "exposures", "largest_box_share")
NAMES: tuple[str, ...] = ("nsfw", *CLASSES, *COUNTS)

Floats = NDArray[np.float32]


class ObjectsExtractor:
    """Each column is the largest value among the event's pictures (the first four)."""

    assets: ClassVar[tuple[str, ...]] = (NSFW, DETECTOR)
    names: ClassVar[tuple[str, ...]] = NAMES
    families: ClassVar[Mapping[str, str]] = {
        "nsfw": "nsfw",
        **dict.fromkeys((*CLASSES, *COUNTS), "objects"),
    }
    dimensions: ClassVar[int] = 0

    def __init__(self, files: Mapping[str, Path], media: MediaReader) -> None:
        self._files = files
        self._media = media

    def is_present(self, event: Event) -> bool:
        return has_picture(event)

    def extract(self, event: Event) -> Features:
        _, images, notes = pictures(event, self._media)
        if not images:
            return no_features(len(self.names), 0, *notes)
        rows = [self._seen(image.rgb) for image in images]
        return Features(combined(rows, np.nanmax), np.zeros(0, np.float32), notes)

    def _seen(self, rgb: Pixels) -> Floats:
        unsafe = self._nsfw.answer(nsfw_input(rgb))[1]
        boxes, scores = divided(self._detector.answer(detector_input(rgb)))
        return np.concatenate([[unsafe], scores.max(axis=0), counted(boxes, scores, rgb)])

    @cached_property
    def _nsfw(self) -> ImageNetwork:
        return ImageNetwork(self._files[NSFW])

    @cached_property
    def _detector(self) -> ImageNetwork:
        return ImageNetwork(self._files[DETECTOR])


def nsfw_input(rgb: Pixels) -> Floats:
    """float32[224, 224, 3], BGR less the channel means, of the middle of the squeezed picture."""
    inside = slice(NSFW_MARGIN, NSFW_SIDE - NSFW_MARGIN)
    middle = resized(rgb, NSFW_SIDE, NSFW_SIDE)[inside, inside, ::-1]
    return middle.astype(np.float32) - NSFW_MEAN_BGR


def detector_input(rgb: Pixels) -> Floats:
    """float32[3, 320, 320], 0 to 1, the picture at the upper left of a black square."""
    scale = DETECTOR_SIDE / max(rgb.shape[:2])
    height, width = (max(1, round(side * scale)) for side in rgb.shape[:2])
    square = np.zeros((DETECTOR_SIDE, DETECTOR_SIDE, 3), np.float32)
    square[:height, :width] = resized(rgb, width, height) / np.float32(255)
    return np.ascontiguousarray(square.transpose(2, 0, 1))


def divided(answer: Floats) -> tuple[Floats, Floats]:
    """Boxes float32[n, 4] as left, top, right, bottom, and scores float32[n, classes]."""
    centre, size = answer[:2].T, answer[2:4].T
    return np.hstack([centre - size / 2, centre + size / 2]), answer[4:].T


def counted(boxes: Floats, scores: Floats, rgb: Pixels) -> Floats:
    """The figures of COUNTS, after doubled boxes are dropped."""
    kept = distinct(boxes, scores.max(axis=1))
    kinds = scores[kept].argmax(axis=1)
    faces = np.isin(kinds, FACES)
    height, width = np.array(rgb.shape[:2]) * (DETECTOR_SIDE / max(rgb.shape[:2]))
    share = _areas(np.clip(boxes[kept], 0, [width, height, width, height])) / (width * height)
    figures = [
        len(kept), faces.sum(), (~faces).sum(), np.isin(kinds, EXPOSED).sum(),
        share.max(initial=0.0),
    ]  # fmt: skip
    return np.array(figures, np.float32)


def distinct(boxes: Floats, scores: Floats) -> NDArray[np.int64]:
    """Rows at or above CONFIDENCE, best first, none overlapping a better one by over OVERLAP.

    Non-maximum suppression by intersection over union, over all classes together.
    """
    rest = np.flatnonzero(scores >= CONFIDENCE)
    rest = rest[np.argsort(-scores[rest], kind="stable")]
    kept: list[int] = []
    while len(rest):
        best, rest = rest[0], rest[1:]
        kept.append(int(best))
        rest = rest[_overlaps(boxes[best], boxes[rest]) <= OVERLAP]
    return np.array(kept, np.int64)


def _overlaps(box: Floats, others: Floats) -> Floats:
    """float32[n]: intersection over union of one box with each other."""
    corner = np.hstack([np.maximum(box[:2], others[:, :2]), np.minimum(box[2:], others[:, 2:])])
    shared = _areas(corner)
    union = _areas(box[None]) + _areas(others) - shared
    return np.asarray(shared / np.maximum(union, np.float32(1e-9)))


def _areas(boxes: Floats) -> Floats:
    sides = np.maximum(boxes[:, 2:] - boxes[:, :2], 0)
    return np.asarray(sides[:, 0] * sides[:, 1])
