"""Bars around a picture: even borders of one colour that stay the same in every frame."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Frames = NDArray[np.uint8]

COLOUR_TOLERANCE = 14  # levels by which compression may move a bar's colour
SHARP_EDGE = 40  # levels by which the picture beside a bar differs: a gradient is no bar
EVEN_SHARE = 0.93  # of a line's pixels, over all frames, that have its colour
SMALLEST_PICTURE = 0.2  # of a side: where bars would leave less, they are the picture
LOOKED_AT = 8  # frames, evenly taken
EDGE_LINES = 8  # within which a bar ends, however poor the compression
MIXED_LINES = 1  # at the edge, which scaling mixes


class Picture(NamedTuple):
    """The box inside the bars, in pixels; `bottom` and `right` are exclusive."""

    top: int
    bottom: int
    left: int
    right: int

    def of(self, rgb: Frames) -> Frames:
        """uint8[..., h, w, 3] without its bars."""
        return rgb[..., self.top : self.bottom, self.left : self.right, :]

    def bar_share(self, height: int, width: int) -> float:
        """The share of the frame's area that bars cover."""
        return 1.0 - (self.bottom - self.top) * (self.right - self.left) / (height * width)


def picture_of(rgb: Frames) -> Picture:
    """Where the picture lies in `rgb: uint8[n, h, w, 3]`; the whole frame where it has no bars.

    >>> frames = np.zeros((2, 40, 40, 3), np.uint8)
    >>> frames[:, 10:30] = (np.arange(20)[:, None] * 40 + np.arange(40) * 97)[..., None] % 256
    >>> picture_of(frames)
    Picture(top=11, bottom=29, left=0, right=40)
    """
    some = rgb[np.unique(np.linspace(0, len(rgb) - 1, LOOKED_AT).astype(int))]
    top, bottom = _inside(some.swapaxes(0, 1))
    left, right = _inside(some[:, top:bottom].transpose(2, 0, 1, 3))
    return Picture(top, bottom, left, right)


def _inside(lines: Frames) -> tuple[int, int]:
    """First and past-the-last of `lines: uint8[lines, frames, pixels, 3]` that are no bar."""
    first, last = _bar(lines), len(lines) - _bar(lines[::-1])
    return (first, last) if last - first >= SMALLEST_PICTURE * len(lines) else (0, len(lines))


def _bar(lines: Frames) -> int:
    """How many lines from the first on are bar or mixed with it; 0 without a sharp edge."""
    colour = np.median(lines[0].reshape(-1, 3), axis=0)
    even = (_away(line, colour) <= COLOUR_TOLERANCE for line in lines)
    row = next((row for row, line in enumerate(even) if line.mean() < EVEN_SHARE), 0)
    for inside in range(row, min(row + EDGE_LINES, len(lines))) if row else ():
        if (_away(lines[inside], colour) >= SHARP_EDGE).mean() > 1 - EVEN_SHARE:
            return inside + MIXED_LINES
    return 0


def _away(line: Frames, colour: NDArray[np.float64]) -> NDArray[np.float64]:
    away: NDArray[np.float64] = np.abs(line - colour).max(axis=-1)
    return away
