"""Cheap readings of each sampled frame, and how far frames are from one another."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipelines.features.image.network import resized
from pipelines.features.video.bars import Frames, Picture

Floats = NDArray[np.float32]

SIDE, CELL = 128, 8  # pixels; each frame is read at SIDE x SIDE
SAME = 0.04  # mean difference of grey, 0 to 1, below which two frames show the same
STEP = 0.12  # of grey, between neighbours: an edge
WRITTEN_STEPS = 0.25  # share of a cell's neighbours with such a step: strokes of letters


class FrameReadings(NamedTuple):
    """Of n frames, grey from 0 to 1: `thumbnails` float32[n, 256], the others float32[n].

    `text` is the share of cells as dense in upright edges as writing is (after X. Chen and
    A. Yuille, "Detecting and Reading Text in Natural Scenes", CVPR 2004).
    """

    thumbnails: Floats
    brightness: Floats
    contrast: Floats
    text: Floats

    def distances(self) -> Floats:
        """float32[n, n]: mean absolute difference of the thumbnails, 0 to 1."""
        rows = [np.abs(self.thumbnails - one).mean(axis=1) for one in self.thumbnails]
        return np.array(rows, np.float32)


def read_frames(rgb: Frames, picture: Picture) -> FrameReadings:
    """Read `rgb: uint8[n, h, w, 3]` inside its bars."""
    grey = np.stack([_grey(resized(picture.of(frame), SIDE, SIDE)) for frame in rgb])
    cells = grey.reshape(len(grey), SIDE // CELL, CELL, SIDE // CELL, CELL)
    return FrameReadings(
        cells.mean(axis=(2, 4)).reshape(len(grey), -1),
        grey.mean(axis=(1, 2)),
        grey.std(axis=(1, 2)),
        _text(grey),
    )


def novel_frames(distances: Floats, most: int) -> list[int]:
    """The frame most like all others, then each time the one least like those before.

    At most `most`, in order of time; none that shows the SAME as one before it.
    """
    chosen = [int(distances.mean(axis=0).argmin())]
    while len(chosen) < most:
        away = distances[chosen].min(axis=0)
        if away.max() < SAME:
            break
        chosen.append(int(away.argmax()))
    return sorted(chosen)


def _grey(rgb: Frames) -> Floats:
    weights = np.array([0.299, 0.587, 0.114], np.float32) / np.float32(255)
    return np.asarray(rgb.astype(np.float32) @ weights)


def _text(grey: Floats) -> Floats:
    steps = np.abs(np.diff(grey, axis=2, append=grey[:, :, -1:])) > STEP
    cells = steps.reshape(len(grey), SIDE // CELL, CELL, SIDE // CELL, CELL).mean(axis=(2, 4))
    return np.asarray((cells >= WRITTEN_STEPS).mean(axis=(1, 2)), np.float32)
