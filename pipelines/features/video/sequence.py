"""What the order of frames says: shots, repetition, loops, insertions, stillness and motion."""

from __future__ import annotations

from itertools import pairwise
from math import log, log1p

import numpy as np
from numpy.typing import NDArray

from pipelines.features.media.base import DecodedVideo
from pipelines.features.video.bars import Picture
from pipelines.features.video.frames import SAME, Floats, FrameReadings

CUT = 0.10  # mean difference of grey, 0 to 1, that a change of shot has at least
CUT_RATIO = 3.0  # and that it exceeds the usual difference around it by
AROUND = 3  # differences before and after that are looked at
STILL = 0.004
INSERTED_SECONDS = 1.5  # that an inserted shot lasts at most; or one sampled frame
LOOP_SHARE = 0.9  # of frames that a loop repeats at least
BLACK, FLAT = 0.06, 0.02

SEQUENCE_NAMES: tuple[str, ...] = (
    "duration_log", "frames_per_second", "aspect_log", "bar_share", "shots", "shots_per_second",
    "longest_shot_share", "shortest_shot_seconds", "repeated_share", "loop_seconds",
    "inserted_shots", "inserted_share", "still_share", "motion_mean", "motion_most",
)  # fmt: skip
FRAME_NAMES: tuple[str, ...] = (
    "black_share", "flat_share", "brightness_mean", "brightness_jump", "contrast_mean",
    "text_mean", "text_most", "text_jump",
)  # fmt: skip


def sequence_features(
    video: DecodedVideo, picture: Picture, readings: FrameReadings, distances: Floats
) -> list[float]:
    """In the order of SEQUENCE_NAMES, then FRAME_NAMES; finite."""
    height, width = video.rgb.shape[1:3]
    steps = np.diagonal(distances, 1)
    shots = shots_of(steps)
    lengths = np.diff(shots)
    duration = max(video.duration_seconds, 1e-3)
    spacing = duration / len(video.rgb)
    inserted = inserted_shots(shots, distances, max(int(INSERTED_SECONDS / spacing), 1))
    return [
        log1p(duration),
        video.frames_per_second,
        log(width / height),
        picture.bar_share(height, width),
        len(lengths),
        (len(lengths) - 1) / duration,
        float(lengths.max()) / len(video.rgb),
        float(lengths.min()) * spacing,
        float(repeats(distances).mean()),
        loop_frames(distances) * spacing,
        len(inserted),
        float(sum(lengths[shot] for shot in inserted)) / len(video.rgb),
        float((steps < STILL).mean()) if len(steps) else 1.0,
        float(steps.mean()) if len(steps) else 0.0,
        float(steps.max(initial=0.0)),
        *_looks(readings),
    ]


def shots_of(steps: Floats) -> NDArray[np.int64]:
    """Where shots begin, and the number of frames at the end, from `steps` between frames.

    A cut stands out from the motion around it, as in B.-L. Yeo and B. Liu, "Rapid Scene
    Analysis on Compressed Video", IEEE Transactions on Circuits and Systems 5 (1995).

    >>> shots_of(np.array([0.01, 0.5, 0.01, 0.01], np.float32)).tolist()
    [0, 2, 5]
    """
    cuts = [
        place + 1
        for place, step in enumerate(steps)
        if step >= CUT and step >= CUT_RATIO * _usual(steps, place)
    ]
    return np.array([0, *cuts, len(steps) + 1], np.int64)


def _usual(steps: Floats, place: int) -> float:
    around = steps[max(place - AROUND, 0) : place + AROUND + 1]
    return float(np.median(around)) if len(around) > 2 else 0.0


def inserted_shots(shots: NDArray[np.int64], distances: Floats, most_frames: int) -> list[int]:
    """Numbers of the shots, each of `most_frames` at most, that interrupt one longer shot.

    What is before and after is more like each other than like them, and the longer of the two
    kinds: in A b A b A only b is inserted.
    """
    lengths, found = np.diff(shots), []
    for shot in range(1, len(lengths) - 1):
        first, after = int(shots[shot]), int(shots[shot + 1])
        unlike = min(distances[first - 1, first], distances[after - 1, after])
        is_short = lengths[shot] <= min(most_frames, lengths[[shot - 1, shot + 1]].mean())
        if is_short and distances[first - 1, after] < unlike / 2:
            found.append(shot)
    return found


def repeats(distances: Floats) -> NDArray[np.bool_]:
    """bool[n]: frames that show again what was shown before something else came between."""
    repeated = np.zeros(len(distances), bool)
    for place, row in enumerate(distances):
        others = np.flatnonzero(row[:place] >= CUT)
        if len(others):
            repeated[place] = (row[: others[-1]] < SAME).any()
    return repeated


def loop_frames(distances: Floats) -> int:
    """The period, in frames, after which nearly all frames come again; 0 where there is none."""
    count = len(distances)
    changed = False
    for period in range(1, count // 2 + 1):
        later = np.diagonal(distances, period)
        if changed and (later < SAME).mean() >= LOOP_SHARE:
            return period
        changed = changed or bool((later >= CUT).mean() > 1 - LOOP_SHARE)
    return 0


def _looks(readings: FrameReadings) -> list[float]:
    return [
        float((readings.brightness < BLACK).mean()),
        float((readings.contrast < FLAT).mean()),
        float(readings.brightness.mean()),
        _jump(readings.brightness),
        float(readings.contrast.mean()),
        float(readings.text.mean()),
        float(readings.text.max()),
        _jump(readings.text),
    ]


def _jump(values: Floats) -> float:
    """The largest change from one frame to the next."""
    return max((abs(float(after - before)) for before, after in pairwise(values)), default=0.0)
