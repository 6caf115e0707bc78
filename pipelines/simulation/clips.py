"""Short clips: a walk over a photo, or the frames of a real one, with frames put in.

The same frames give the same bytes (H.264 on one thread, no times in the file).
"""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipelines.simulation.drawing import opened

Frame = NDArray[np.uint8]  # [height, width, 3]
FRAMES, FRAMES_PER_SECOND = 24, 8
HEIGHT, WIDTH = 192, 256
PLAIN_CODE = "asm=0"  # x264's vector code reads past the frame: its bytes would vary


def panning(photo: bytes, rng: np.random.Generator) -> list[Frame]:
    """A camera that moves over a photo and comes a little closer."""
    image = opened(photo)
    start, end = rng.uniform(0.0, 0.25, 2), rng.uniform(0.0, 0.25, 2)
    frames = []
    for step in np.linspace(0, 1, FRAMES):
        left, top = start + (end - start) * step
        size = 0.75 - 0.1 * step
        box = (left, top, left + size, top + size)
        edges = tuple(int(edge * side) for edge, side in zip(box, image.size * 2, strict=True))
        frames.append(np.asarray(image.crop(edges).resize((WIDTH, HEIGHT)), np.uint8))
    return frames


def frames_of(clip: bytes, rng: np.random.Generator) -> list[Frame]:
    """FRAMES consecutive frames of a real clip, scaled down, from a place drawn at random."""
    import av

    kept: list[Frame] = []
    with av.open(io.BytesIO(clip)) as container:
        stream = container.streams.video[0]
        skipped = int(rng.integers(0, max(1, min(stream.frames, 120) - 2 * FRAMES)))
        for number, frame in enumerate(container.decode(stream)):
            if number >= skipped and (number - skipped) % 2 == 0:
                kept.append(frame.to_ndarray(width=WIDTH, height=HEIGHT, format="rgb24"))
            if len(kept) == FRAMES:
                break
    return kept


def with_card(frames: Sequence[Frame], card: bytes, at: int, count: int) -> list[Frame]:
    """The clip with `count` frames of a still picture in place of its own, from frame `at`."""
    still = np.asarray(opened(card).resize((WIDTH, HEIGHT)), np.uint8)
    return [*frames[:at], *([still] * count), *frames[at + count :]]


def encoded(frames: Sequence[Frame]) -> bytes:
    """An MP4 file."""
    import av

    content = io.BytesIO()
    with av.open(content, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=FRAMES_PER_SECOND)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.options = {"crf": "27", "preset": "veryfast", "x264-params": PLAIN_CODE}
        stream.thread_count = 1
        for frame in frames:
            for packet in stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return content.getvalue()
