"""How alike two videos are: the share of frames that match along one line of time.

A copy may start elsewhere and run at another speed: its time is `speed * time + offset` of the
original's. Pairs of alike frames vote for speed and offset, and the frames along the best lines
are compared again: a Hough transform, as in M. Douze et al., "An Image-Based Approach to Video
Copy Detection With Spatio-Temporal Post-Filtering", IEEE Transactions on Multimedia 12 (2010).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipelines.features.video.sequence_hash import CROPS, VideoSignature

Distances = NDArray[np.int64]
Floats = NDArray[np.float64]

BITS = 256
SAME_FRAME_BITS = 80  # of 256: unrelated frames differ in 128, the nearest of many in 100
WHOLE = CROPS - 1  # the crop that has the bars
CROP_PAIRS = [*((0, crop) for crop in range(CROPS)), *((crop, 0) for crop in range(1, CROPS))]
CROP_PAIRS += [(WHOLE, WHOLE)]
SPEEDS = np.geomspace(0.4, 2.5, 47)
LEAST_FRAMES = 3  # along the line
LEAST_OVERLAP = 0.5  # of the shorter video
TRIED_LINES = 3
COPY = 0.5  # score at and above which two videos count as copies


class Match(NamedTuple):
    """`score` 0 to 1; the second video's time is `speed` times the first's plus `offset_seconds`.

    Where the score is 0, speed and offset are 1 and 0.
    """

    score: float
    offset_seconds: float = 0.0
    speed: float = 1.0

    @property
    def is_copy(self) -> bool:
        return self.score >= COPY


NO_MATCH = Match(0.0)


def similarity(first: VideoSignature, second: VideoSignature) -> Match:
    """The best alignment of two videos; NO_MATCH where no frames are alike."""
    distances = frame_distances(first, second)
    alike = distances <= SAME_FRAME_BITS
    fewest = min(LEAST_FRAMES, *distances.shape) or 1
    if min(alike.any(axis=1).sum(), alike.any(axis=0).sum()) < fewest:
        return NO_MATCH
    lines = _voted(first, second, alike)
    return max((_along(line, first, second, alike) for line in lines), key=lambda one: one.score)


def frame_distances(first: VideoSignature, second: VideoSignature) -> Distances:
    """int64[n, m]: bits between the most alike crops of each pair of frames.

    One of the two is always the full picture: two copies are rarely both cropped otherwise.
    """
    nearest = np.full((len(first.hashes), len(second.hashes)), BITS, np.int64)
    for ours, theirs in CROP_PAIRS:
        differing = first.hashes[:, None, ours] ^ second.hashes[None, :, theirs]
        nearest = np.minimum(nearest, np.bitwise_count(differing).sum(axis=-1, dtype=np.int64))
    return nearest


def _voted(
    first: VideoSignature, second: VideoSignature, alike: NDArray[np.bool_]
) -> list[tuple[float, float]]:
    """The (speed, offset) lines with the most pairs of alike frames on them."""
    rows, columns = np.nonzero(alike)
    width = _tolerance(first, second, 1.0)
    lines: list[tuple[int, float, float]] = []
    for speed in SPEEDS:
        offsets = second.times_seconds[columns] - speed * first.times_seconds[rows]
        bins, votes = np.unique(np.round(offsets / width), return_counts=True)
        most = int(votes.argmax())
        lines.append((int(votes[most]), float(speed), float(bins[most] * width)))
    lines.sort(key=lambda line: (-line[0], abs(np.log(line[1]))))
    return [(speed, offset) for _, speed, offset in lines[:TRIED_LINES]]


def _along(
    line: tuple[float, float],
    first: VideoSignature,
    second: VideoSignature,
    alike: NDArray[np.bool_],
) -> Match:
    """The share of frames, of either video where they overlap, that have a match on the line."""
    speed, offset = line
    expected = speed * first.times_seconds[:, None] + offset
    near = np.abs(expected - second.times_seconds) <= _tolerance(first, second, speed)
    matched = near & alike
    ours, theirs = near.any(axis=1), near.any(axis=0)
    enough = max(LEAST_OVERLAP * min(len(ours), len(theirs)), 1)
    if max(ours.sum(), theirs.sum()) < enough:
        return NO_MATCH
    shares = matched.any(axis=1)[ours].mean(), matched.any(axis=0)[theirs].mean()
    return Match(float(min(shares)), offset, speed)


def _tolerance(first: VideoSignature, second: VideoSignature, speed: float) -> float:
    """Seconds of the second video by which sampling alone may shift a frame."""
    return 0.75 * max(speed * _spacing(first), _spacing(second))


def _spacing(video: VideoSignature) -> float:
    times = video.times_seconds
    return float(np.median(np.diff(times))) if len(times) > 1 else max(video.duration_seconds, 0.1)
