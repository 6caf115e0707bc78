"""What crosses between the two processes, there and back."""

from __future__ import annotations

import struct

import pytest

from pipelines.features.media.answers import (
    HEADER_BYTES,
    IMAGE,
    NOTES,
    REASONS,
    VIDEO,
    Header,
    ImagePixels,
    Request,
    VideoPixels,
    header_and_parts,
)
from pipelines.features.media.base import Unreadable


def test_a_request_comes_back_as_it_was() -> None:
    request = Request(7, VIDEO, 33_554_432)
    assert Request.unpacked(request.packed()) == request


def test_an_image_is_a_header_and_its_pixels() -> None:
    image = ImagePixels(bytes(18), (3, 2), (30, 20), "PNG", 4, ("image_animated", "image_cmyk"))
    header, parts = header_and_parts(7, image)
    assert parts == (bytes(18),)
    assert header == Header(7, IMAGE, 1, header.notes, 4, 3, 2, 30, 20)
    assert header.named_notes() == image.notes
    assert Header.unpacked(header.packed()) == header


def test_a_video_is_a_header_its_times_and_its_frames() -> None:
    video = VideoPixels((b"abc", b"def"), (0.0, 0.5), (1, 1), 1.0, 2.0, ("video_cut",))
    header, parts = header_and_parts(1, video)
    assert parts == (struct.pack("<2d", 0.0, 0.5), b"abc", b"def")
    assert (header.frames, header.duration_seconds, header.frames_per_second) == (2, 1.0, 2.0)
    assert header.named_notes() == ("video_cut",)


def test_every_reason_and_note_can_be_said() -> None:
    for reason in REASONS:
        header, parts = header_and_parts(1, Unreadable(reason))
        assert (REASONS[header.code], parts) == (reason, ())
    assert Header(1, IMAGE, notes=(1 << len(NOTES)) - 1).named_notes() == NOTES


def test_a_header_of_another_length_is_none() -> None:
    with pytest.raises(struct.error):
        Header.unpacked(bytes(HEADER_BYTES - 1))
