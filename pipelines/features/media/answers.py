"""What the decoding process says of one file, and how it crosses to the process that asked.

A header of fixed length goes over the channel: numbers, and positions in the tuples below, so
that no text and no object of a process that reads untrusted bytes is ever interpreted. Pixels
lie in the exchange file: RGB rows, for a video after the times of its frames (float64[n]).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import NamedTuple

from pipelines.features.media.base import MediaLimits, Unreadable

FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF")
IMAGE_NOTES = (
    "image_truncated", "image_damaged", "image_animated", "image_16_bit", "image_cmyk",
)  # fmt: skip
VIDEO_NOTES = ("video_cut", "video_damaged")
NOTES = IMAGE_NOTES + VIDEO_NOTES
REASONS = (
    "media_memory_exceeded",
    "image_is_not_an_image", "image_too_many_pixels", "image_truncated", "image_damaged",
    "video_is_not_a_video", "video_too_many_pixels", "video_has_no_frames", "video_damaged",
    "video_codec_unknown",
)  # fmt: skip

UNREADABLE, IMAGE, VIDEO = range(3)
READY = b"ready"


class ImagePixels(NamedTuple):
    """`rgb` holds height * width * 3 bytes; sizes are (width, height), `stored` as in the file."""

    rgb: bytes
    size: tuple[int, int]
    stored: tuple[int, int]
    format: str
    frames: int
    notes: tuple[str, ...] = ()


class VideoPixels(NamedTuple):
    """`frames` of height * width * 3 bytes each, shown at `times_seconds`; (width, height)."""

    frames: tuple[bytes, ...]
    times_seconds: tuple[float, ...]
    size: tuple[int, int]
    duration_seconds: float
    frames_per_second: float
    notes: tuple[str, ...] = ()


Answer = ImagePixels | VideoPixels | Unreadable


class Request(NamedTuple):
    """`number` counts the files of one worker; `kind` is IMAGE or VIDEO; `length` in bytes."""

    number: int
    kind: int
    length: int

    def packed(self) -> bytes:
        return _REQUEST.pack(*self)

    @classmethod
    def unpacked(cls, packed: bytes) -> Request:
        return cls(*_REQUEST.unpack(packed))


class Header(NamedTuple):
    """`code` is a position in REASONS or FORMATS, `notes` a bit for each of NOTES that applies.

    `frames` are those that the file has (image), or that are given (video).
    """

    number: int
    kind: int
    code: int = 0
    notes: int = 0
    frames: int = 0
    width: int = 0
    height: int = 0
    stored_width: int = 0
    stored_height: int = 0
    duration_seconds: float = 0.0
    frames_per_second: float = 0.0

    def packed(self) -> bytes:
        return _HEADER.pack(*self)

    @classmethod
    def unpacked(cls, packed: bytes) -> Header:
        """struct.error where the length is another."""
        return cls(*_HEADER.unpack(packed))

    def named_notes(self) -> tuple[str, ...]:
        return tuple(name for position, name in enumerate(NOTES) if self.notes >> position & 1)


_REQUEST = struct.Struct("<IBQ")
_HEADER = struct.Struct("<IBBIIIIIIdd")
HEADER_BYTES, REQUEST_BYTES = _HEADER.size, _REQUEST.size


def longest_answer_bytes(limits: MediaLimits) -> int:
    """What the exchange file has to hold at most after a file is decoded."""
    video = limits.frames * (3 * limits.frame_side**2 + 8)
    return max(3 * limits.image_side**2, video)


def header_and_parts(number: int, answer: Answer) -> tuple[Header, Sequence[bytes]]:
    """The header of an answer, and what stands one after the other in the exchange file."""
    if isinstance(answer, Unreadable):
        return Header(number, UNREADABLE, REASONS.index(answer.reason)), ()
    notes = sum(1 << NOTES.index(note) for note in set(answer.notes))
    if isinstance(answer, ImagePixels):
        code = FORMATS.index(answer.format)
        sides = (*answer.size, *answer.stored)
        return Header(number, IMAGE, code, notes, answer.frames, *sides), (answer.rgb,)
    given = len(answer.frames)
    times = struct.pack(f"<{given}d", *answer.times_seconds)
    rates = (answer.duration_seconds, answer.frames_per_second)
    header = Header(number, VIDEO, 0, notes, given, *answer.size, 0, 0, *rates)
    return header, (times, *answer.frames)
