"""How alike two videos are: the share of frames that match in order, at any speed.

A copy may start elsewhere, run faster, and have frames inserted. The longest chain of alike
frames that advances in both videos is found by dynamic programming, which follows all of that:
M.-C. Yeh and K.-T. Cheng, "Video Copy Detection by Fast Sequence Matching", CIVR 2009.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipelines.features.video.sequence_hash import CROPS, WORDS, VideoSignature

Integers = NDArray[np.int64]
Booleans = NDArray[np.bool_]
Floats = NDArray[np.float32]

BITS = 256
SAME_FRAME_BITS = 80  # unrelated frames differ in 128, the nearest of many in 90
PICTURE, WHOLE = 0, CROPS - 1  # the crop that is none, and the one that has the bars
CROP_PAIRS = (
    *((PICTURE, crop) for crop in range(CROPS)),
    *((crop, PICTURE) for crop in range(1, CROPS)),
    (WHOLE, WHOLE),
)
LEAST_FRAMES = 3  # of each video that match; of a shorter video all
COPY = 0.5  # score at and above which two videos count as copies


class Match(NamedTuple):
    """`score` 0 to 1: the share of frames in the chain, of the video that has more of it in there.

    The second video's time is about `speed` times the first's plus `offset_seconds`.
    """

    score: float
    offset_seconds: float = 0.0
    speed: float = 1.0

    @property
    def is_copy(self) -> bool:
        return self.score >= COPY


NO_MATCH = Match(0.0)


def similarity(first: VideoSignature, second: VideoSignature) -> Match:
    """The best alignment of two videos; NO_MATCH where too few frames are alike."""
    alike = frame_distances(first, second) <= SAME_FRAME_BITS
    fewest = max(min(LEAST_FRAMES, *alike.shape), 1)
    if min(alike.any(axis=1).sum(), alike.any(axis=0).sum()) < fewest:
        return NO_MATCH
    ours, theirs = longest_chain(alike)
    matched = len(set(ours)), len(set(theirs))
    if min(matched) < fewest:
        return NO_MATCH
    score = max(matched[0] / alike.shape[0], matched[1] / alike.shape[1])
    return Match(score, *_line(first.times_seconds[ours], second.times_seconds[theirs]))


def frame_distances(first: VideoSignature, second: VideoSignature) -> Integers:
    """int64[n, m]: bits between the most alike crops of each pair of frames.

    One of the two is always the full picture: two copies are rarely both cropped otherwise.
    """
    nearest = np.full((len(first.hashes), len(second.hashes)), BITS, np.uint16)
    for ours, theirs in CROP_PAIRS:
        differing = np.zeros_like(nearest)
        for word in range(WORDS):
            ends = first.hashes[:, ours, word], second.hashes[:, theirs, word]
            differing += np.bitwise_count(np.bitwise_xor.outer(*ends))
        np.minimum(nearest, differing, out=nearest)
    return nearest.astype(np.int64)


def longest_chain(alike: Booleans) -> tuple[list[int], list[int]]:
    """Rows and columns of the alike pairs on a path that never goes back in `alike: bool[n, m]`.

    Of all such paths, one that meets the most different rows and columns.

    >>> longest_chain(np.array([[1, 0, 0], [0, 0, 1], [1, 0, 1]], bool))
    ([0, 1, 2], [0, 2, 2])
    """
    reached = _reached(alike)
    row, column = alike.shape
    pairs: list[tuple[int, int]] = []
    while row and column:
        gain = int(alike[row - 1, column - 1])
        if gain:
            pairs.append((row - 1, column - 1))
        if reached[row, column] == reached[row - 1, column - 1] + 2 * gain:
            row, column = row - 1, column - 1
        elif reached[row, column] == reached[row - 1, column] + gain:
            row -= 1
        else:
            column -= 1
    return [one for one, _ in reversed(pairs)], [other for _, other in reversed(pairs)]


def _reached(alike: Booleans) -> Integers:
    """int64[n + 1, m + 1]: the rows and columns that a path to each place has met at most."""
    reached = np.zeros((alike.shape[0] + 1, alike.shape[1] + 1), np.int64)
    for row, gains in enumerate(alike.astype(np.int64), 1):
        above = reached[row - 1]
        met = np.maximum(above[1:] + gains, above[:-1] + 2 * gains)
        along = np.cumsum(gains)
        reached[row, 1:] = along + np.maximum.accumulate(met - along)
    return reached


def _line(ours: Floats, theirs: Floats) -> tuple[float, float]:
    """Offset and speed of the straight line through the chain: Theil-Sen's median of slopes."""
    apart = ours[:, None] - ours > 0
    slopes = (theirs[:, None] - theirs)[apart] / (ours[:, None] - ours)[apart]
    speed = float(np.median(slopes)) if len(slopes) else 1.0
    return float(np.median(theirs - speed * ours)), speed
