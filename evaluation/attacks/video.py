"""Attacks on videos: another speed, bars at the edges, foreign frames put in.

What is attacked are the evenly sampled frames that the bounded reader gives (at most 64, 512
pixels), so that a long clip comes out with fewer frames a second than it had. Law-To et al. 2007,
"Video Copy Detection: a Comparative Study" (CIVR), lists what copies undergo.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from data_contracts.events import Event, MediaReference
from evaluation.attacks.base import Family
from evaluation.attacks.media import OpenMedia, rewritten
from pipelines.features.media.base import DecodedVideo, Unreadable
from pipelines.perturbations.base import check_rate
from pipelines.simulation.clips import PLAIN_CODE

USUAL_QUALITY, POOR_QUALITY = 26, 40  # x264's constant rate factor; more is worse
QUALITIES = (USUAL_QUALITY, 33, POOR_QUALITY)
FASTEST = 2.0
BARS_SHARE = 0.4  # of width or height, on both sides together
INSERTED_SECONDS, INSERTIONS = 0.4, 3
BLOCKS = 6

Frame = NDArray[np.uint8]  # [height, width, 3]
Colour = tuple[int, int, int]


class Clip(NamedTuple):
    """Frames, all of one even size, and how they are shown and stored."""

    frames: list[Frame]
    rate: float
    quality: int = USUAL_QUALITY


Edit = Callable[[Clip, float, np.random.Generator], Clip]


class VideoAttack:
    """One edit of EDITS on every video of an event that can be read; its paper stands there."""

    family: Family = "video"

    def __init__(self, name: str, media: OpenMedia) -> None:
        self.name = name
        self._edit = EDITS[name]
        self._media = media

    def applies_to(self, event: Event) -> bool:
        return any(one.kind == "video" for one in event.media)

    def disguise(self, event: Event, strength: float, rng: np.random.Generator) -> Event:
        share = check_rate(strength)

        def rewrite(one: MediaReference, room: int) -> bytes | None:
            found = self._media().video(one)
            if isinstance(found, Unreadable):
                return None
            return _within(self._edit(_clip(found), share, rng), room)

        return rewritten(event, "video", rewrite)


def speed(clip: Clip, strength: float, rng: np.random.Generator) -> Clip:
    """Shown up to twice as fast, or half as fast, as chance decides (Law-To et al. 2007)."""
    factor = float(FASTEST**strength)
    return at_speed(clip, factor if rng.random() < 0.5 else 1 / factor)


def bars(clip: Clip, strength: float, rng: np.random.Generator) -> Clip:
    """Bars above and below, or at the sides, black or coloured.

    Over, Awad, Fiscus et al. 2011, "TRECVID 2011 - An Overview": letter boxes among the
    transformations of content-based copy detection.
    """
    share = strength * BARS_SHARE
    colour = (0, 0, 0) if rng.random() < 0.5 else any_colour(rng)
    across, down = (share, 0.0) if rng.random() < 0.5 else (0.0, share)
    return with_bars(clip, across, down, colour)


def inserted_frames(clip: Clip, strength: float, rng: np.random.Generator) -> Clip:
    """A foreign still of 0.4 s at up to three places.

    Wei, Zhu, Yuan & Su 2019, "Sparse Adversarial Perturbations for Videos" (AAAI): few frames
    decide what a classifier of sequences says.
    """
    return with_stills(clip, int(np.ceil(strength * INSERTIONS)), rng)


EDITS: Mapping[str, Edit] = {
    "speed": speed,
    "bars": bars,
    "inserted_frames": inserted_frames,
}


def at_speed(clip: Clip, factor: float) -> Clip:
    return clip._replace(rate=clip.rate * factor)


def with_bars(clip: Clip, across: float, down: float, colour: Colour) -> Clip:
    """Bars that add `across` of the width and `down` of the height, on both sides together."""
    height, width = clip.frames[0].shape[:2]
    left, top = round(width * across / 4) * 2, round(height * down / 4) * 2
    page = np.empty((height + 2 * top, width + 2 * left, 3), np.uint8)
    page[:] = colour

    def framed(frame: Frame) -> Frame:
        wide = page.copy()
        wide[top : top + height, left : left + width] = frame
        return wide

    return clip._replace(frames=[framed(frame) for frame in clip.frames])


def with_stills(clip: Clip, count: int, rng: np.random.Generator) -> Clip:
    """A foreign still of INSERTED_SECONDS at `count` places."""
    from PIL import Image

    height, width = clip.frames[0].shape[:2]
    blocks = rng.integers(0, 256, (BLOCKS, BLOCKS, 3)).astype(np.uint8)
    foreign = np.asarray(Image.fromarray(blocks).resize((width, height), Image.Resampling.BICUBIC))
    frames = list(clip.frames)
    for place in sorted(rng.integers(0, len(frames), count), reverse=True):
        frames[place:place] = [foreign] * max(round(INSERTED_SECONDS * clip.rate), 1)
    return clip._replace(frames=frames)


def any_colour(rng: np.random.Generator) -> Colour:
    red, green, blue = (int(level) for level in rng.integers(0, 256, 3))
    return red, green, blue


def written(clip: Clip) -> bytes:
    """The clip as MP4 (H.264): the same clip gives the same bytes with the same encoder."""
    import av

    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        rate = Fraction(clip.rate).limit_denominator(1000)
        stream = container.add_stream("libx264", rate=rate)
        stream.height, stream.width = clip.frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.options = {
            "crf": str(clip.quality), "preset": "ultrafast", "threads": "1",
            "x264-params": PLAIN_CODE,
        }  # fmt: skip
        for frame in clip.frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return file.getvalue()


def _clip(video: DecodedVideo) -> Clip:
    """The sampled frames, cut to even sides, at the rate at which they last as long as before."""
    height, width = (side // 2 * 2 for side in video.rgb.shape[1:3])
    frames = [np.ascontiguousarray(frame[:height, :width]) for frame in video.rgb]
    rate = len(frames) / video.duration_seconds if video.duration_seconds > 0 else 1.0
    return Clip(frames, rate)


def _within(clip: Clip, room: int) -> bytes | None:
    """The clip in at most `room` bytes, at the best of QUALITIES; None where none fits."""
    for quality in QUALITIES:
        content = written(clip._replace(quality=quality))
        if len(content) <= room:
            return content
    return None
