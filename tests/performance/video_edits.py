"""What people do to a video before they post it again: frames in, frames and their rate out."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping

import av
import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from evaluation.attacks.video import (
    INSERTIONS,
    POOR_QUALITY,
    Clip,
    Frame,
    any_colour,
    at_speed,
    with_bars,
    with_stills,
)

READ_SIDE = 360  # longer side, in pixels, at which clips are edited

Draw = Callable[[Image.Image], Image.Image]
Edit = Callable[[Clip, np.random.Generator], Clip]


def read_clip(content: bytes, every: int = 2) -> Clip:
    """Every second frame of a video file, scaled to READ_SIDE."""
    with av.open(io.BytesIO(content)) as container:
        stream = container.streams.video[0]
        frames = [
            _even(frame.to_image(), READ_SIDE)
            for place, frame in enumerate(container.decode(stream))
            if place % every == 0
        ]
        return Clip(frames, float(stream.average_rate) / every)


def _even(image: Image.Image, side: int) -> Frame:
    """Scaled to a longer side of `side`, both sides even as H.264 needs them."""
    scale = side / max(image.size)
    width, height = (max(round(length * scale / 2) * 2, 2) for length in image.size)
    return np.asarray(image.convert("RGB").resize((width, height), Image.Resampling.BILINEAR))


def _drawn(clip: Clip, draw: Draw) -> Clip:
    frames = [np.asarray(draw(Image.fromarray(frame))) for frame in clip.frames]
    return clip._replace(frames=frames)


def _recompressed(clip: Clip, rng: np.random.Generator) -> Clip:
    return clip._replace(quality=POOR_QUALITY)


def _scaled(clip: Clip, rng: np.random.Generator) -> Clip:
    return clip._replace(frames=[_even(Image.fromarray(f), READ_SIDE // 2) for f in clip.frames])


def _stretched(clip: Clip, rng: np.random.Generator) -> Clip:
    return _drawn(clip, lambda image: image.resize((320, 240)))


def _fewer_frames(clip: Clip, rng: np.random.Generator) -> Clip:
    return clip._replace(frames=clip.frames[::2], rate=clip.rate / 2)


def _at_speed(factor: float) -> Edit:
    return lambda clip, rng: at_speed(clip, factor)


def _logo(clip: Clip, rng: np.random.Generator) -> Clip:
    """A filled disc of a fifth of the width in one corner."""
    colour, (right, low) = any_colour(rng), rng.integers(0, 2, 2)

    def draw(image: Image.Image) -> Image.Image:
        size = image.width // 5
        left = (image.width - size - 8) if right else 8
        top = (image.height - size - 8) if low else 8
        ImageDraw.Draw(image).ellipse((left, top, left + size, top + size), fill=colour)
        return image

    return _drawn(clip, draw)


def _banner(clip: Clip, rng: np.random.Generator) -> Clip:
    """A strip with a line of writing over the lower 15 %, inside the picture."""
    colour = any_colour(rng)

    def draw(image: Image.Image) -> Image.Image:
        top = round(image.height * 0.85)
        pen = ImageDraw.Draw(image)
        pen.rectangle((0, top, image.width, image.height), fill=colour)
        pen.text((10, top + 5), "WIN A PRIZE  www.example.com", fill=(255, 255, 255))
        return image

    return _drawn(clip, draw)


def _bars(across: float, down: float, black: bool) -> Edit:
    return lambda clip, rng: with_bars(clip, across, down, (0, 0, 0) if black else any_colour(rng))


def _grey(clip: Clip, rng: np.random.Generator) -> Clip:
    return _drawn(clip, lambda image: image.convert("L").convert("RGB"))


def _blurred(clip: Clip, rng: np.random.Generator) -> Clip:
    return _drawn(clip, lambda image: image.filter(ImageFilter.GaussianBlur(4)))


def _brighter(clip: Clip, rng: np.random.Generator) -> Clip:
    return _drawn(clip, lambda image: image.point(lambda level: min(int(level * 1.3) + 20, 255)))


def _cropped(share: float, centred: bool = True) -> Edit:
    """Cuts `share` of width and height off, evenly or from one corner."""

    def edit(clip: Clip, rng: np.random.Generator) -> Clip:
        def draw(image: Image.Image) -> Image.Image:
            width, height = (round(length * (1 - share) / 2) * 2 for length in image.size)
            left, top = image.width - width, image.height - height
            if centred:
                left, top = left // 2, top // 2
            return image.crop((left, top, left + width, top + height))

        return _drawn(clip, draw)

    return edit


def _without_foot(clip: Clip, rng: np.random.Generator) -> Clip:
    height = round(clip.frames[0].shape[0] * 0.85 / 2) * 2
    return clip._replace(frames=[np.ascontiguousarray(frame[:height]) for frame in clip.frames])


def _trimmed(clip: Clip, rng: np.random.Generator) -> Clip:
    """One half of the clip, beginning anywhere."""
    half = len(clip.frames) // 2
    start = int(rng.integers(0, len(clip.frames) - half + 1))
    return clip._replace(frames=clip.frames[start : start + half])


def _with_insertions(clip: Clip, rng: np.random.Generator) -> Clip:
    """A foreign still of 0.4 s at three places."""
    return with_stills(clip, INSERTIONS, rng)


def _mirrored(clip: Clip, rng: np.random.Generator) -> Clip:
    return clip._replace(frames=[np.ascontiguousarray(frame[:, ::-1]) for frame in clip.frames])


def _all_of(*edits: Edit) -> Edit:
    def edit(clip: Clip, rng: np.random.Generator) -> Clip:
        for one in edits:
            clip = one(clip, rng)
        return clip

    return edit


EDITS: Mapping[str, Edit] = {
    "recompressed": _recompressed,
    "half the size": _scaled,
    "stretched to 4:3": _stretched,
    "half the frame rate": _fewer_frames,
    "speed 0.5": _at_speed(0.5),
    "speed 0.8": _at_speed(0.8),
    "speed 1.25": _at_speed(1.25),
    "speed 2": _at_speed(2.0),
    "logo": _logo,
    "banner 15 %": _banner,
    "black bars above and below": _bars(0.0, 0.4, black=True),
    "coloured bars at the sides": _bars(0.4, 0.0, black=False),
    "coloured frame": _bars(0.2, 0.2, black=False),
    "grey": _grey,
    "blur": _blurred,
    "brighter": _brighter,
    "crop 5 %": _cropped(0.05),
    "crop 10 %": _cropped(0.1),
    "crop 15 %": _cropped(0.15),
    "crop 20 %": _cropped(0.2),
    "crop 10 % at a corner": _cropped(0.1, centred=False),
    "crop 15 % at a corner": _cropped(0.15, centred=False),
    "crop 20 % at a corner": _cropped(0.2, centred=False),
    "lower 15 % cut off": _without_foot,
    "trimmed to half": _trimmed,
    "stills inserted": _with_insertions,
    "grey, crop 5 %, bars, speed 1.25": _all_of(
        _grey, _cropped(0.05), _bars(0.0, 0.3, black=False), _at_speed(1.25), _recompressed
    ),
    "mirrored": _mirrored,
}
