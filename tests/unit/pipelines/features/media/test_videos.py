"""Frames of clips: how many, which, when, the right way up; and reasons for those without."""

from __future__ import annotations

import struct
from io import BytesIO

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from pipelines.features.media.answers import VideoPixels
from pipelines.features.media.base import MediaLimits, Unreadable
from pipelines.features.media.videos import decode_video
from tests.malformed_media import encoded

LIMITS = MediaLimits()
FRAMES_A_SECOND = 10
IDENTITY = struct.pack(">9i", 65536, 0, 0, 0, 65536, 0, 0, 0, 1 << 30)  # of tkhd, 14496-12


def brightening(
    container: str = "mp4",
    codec: str = "libx264",
    frames: int = 30,
    size: tuple[int, int] = (64, 48),
    key_every: int = 12,
) -> bytes:
    """A clip whose frame k is grey of brightness 8 k."""
    file = BytesIO()
    with av.open(file, "w", format=container) as output:
        stream = output.add_stream(codec, rate=FRAMES_A_SECOND)
        stream.width, stream.height = size
        stream.pix_fmt = {"gif": "rgb8", "mjpeg": "yuvj420p"}.get(codec, "yuv420p")
        stream.codec_context.gop_size = key_every
        for number in range(frames):
            grey = (8 * number % 256,) * 3
            frame = av.VideoFrame.from_image(Image.new("RGB", size, grey))
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return file.getvalue()


def silence() -> bytes:
    """A file of sound only."""
    file = BytesIO()
    with av.open(file, "w", format="mp4") as output:
        stream = output.add_stream("aac", rate=16_000, layout="mono")
        samples = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        samples.sample_rate = 16_000
        output.mux(stream.encode(samples))
        output.mux(stream.encode(None))
    return file.getvalue()


def decoded(content: bytes, limits: MediaLimits = LIMITS) -> VideoPixels:
    found = decode_video(content, limits)
    assert isinstance(found, VideoPixels), found
    return found


def brightness(found: VideoPixels) -> NDArray[np.float64]:
    return np.array([np.frombuffer(frame, np.uint8).mean() for frame in found.frames])


@pytest.mark.parametrize(
    ("container", "codec"),
    [
        ("mp4", "libx264"),
        ("mov", "mpeg4"),
        ("matroska", "libx264"),
        ("webm", "libvpx"),
        ("avi", "mpeg4"),
        ("avi", "mjpeg"),
        ("mpegts", "libx264"),
        ("flv", "flv"),
        ("gif", "gif"),
    ],
)
def test_every_frame_of_a_short_clip_is_given_with_its_time(container: str, codec: str) -> None:
    found = decoded(brightening(container, codec))
    assert found.size == (64, 48)
    assert found.notes == ()
    assert found.times_seconds == pytest.approx(np.arange(30) / FRAMES_A_SECOND, abs=0.002)
    assert found.duration_seconds == pytest.approx(3.0, abs=0.11)
    assert found.frames_per_second == pytest.approx(FRAMES_A_SECOND, rel=0.04)
    assert np.abs(brightness(found) - 8 * np.arange(30)).max() < 12


@pytest.mark.parametrize("key_every", [1, 7, 300])
def test_frames_are_sampled_evenly_from_the_first_to_the_last(key_every: int) -> None:
    found = decoded(brightening(key_every=key_every), MediaLimits(frames=5))
    assert found.times_seconds == pytest.approx([0.0, 0.7, 1.4, 2.1, 2.9])
    assert np.abs(brightness(found) - 8 * np.array([0, 7, 14, 21, 29])).max() < 6


def test_later_frames_than_allowed_are_left_out_and_that_is_noted() -> None:
    found = decoded(brightening(), MediaLimits(video_seconds=1.0))
    assert 0.7 < max(found.times_seconds) <= 1.0
    assert found.duration_seconds == pytest.approx(3.0)
    assert found.notes == ("video_cut",)


def test_reading_ends_when_its_share_of_the_time_is_used_and_that_is_noted() -> None:
    seconds = iter(range(1000))
    found = decode_video(brightening(), LIMITS, clock=lambda: float(next(seconds)))
    assert isinstance(found, VideoPixels)
    assert 0 < len(found.frames) < 30
    assert found.notes == ("video_cut",)


def test_frames_are_scaled_to_the_longer_side() -> None:
    found = decoded(brightening(frames=2, size=(320, 160)), MediaLimits(frame_side=100))
    assert found.size == (100, 50)
    assert {len(frame) for frame in found.frames} == {100 * 50 * 3}


def test_frames_are_turned_as_the_file_says() -> None:
    content = brightening(frames=2)
    at = content.index(IDENTITY, content.index(b"tkhd"))
    turned = struct.pack(">9i", 0, 65536, 0, -65536, 0, 0, 48 << 16, 0, 1 << 30)
    found = decoded(content[:at] + turned + content[at + len(turned) :])
    assert found.size == (48, 64)


def test_frames_of_uneven_times_keep_their_times() -> None:
    slides = [Image.new("RGB", (32, 32), (shade, 0, 0)) for shade in (10, 120, 240)]
    gif = encoded(
        slides[0], "GIF", save_all=True, append_images=slides[1:], duration=[100, 2000, 50]
    )
    assert decoded(gif).times_seconds == pytest.approx([0.0, 0.1, 2.1])


def test_a_still_image_in_a_gif_is_a_video_of_one_frame() -> None:
    assert len(decoded(encoded(Image.new("RGB", (32, 32), "red"), "GIF")).frames) == 1


def test_a_file_that_ends_early_gives_the_frames_it_has() -> None:
    content = brightening("avi", "mjpeg")
    found = decoded(content[: len(content) // 2])
    assert 0 < len(found.frames) < 30
    assert found.notes == ("video_damaged",)


def test_sound_alone_has_no_frames() -> None:
    assert decode_video(silence(), LIMITS) == Unreadable("video_has_no_frames")


def test_more_pixels_than_allowed_are_not_decoded() -> None:
    found = decode_video(brightening(frames=2), MediaLimits(pixels=1000))
    assert found == Unreadable("video_too_many_pixels")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"hello " * 50,
        b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfile:///etc/hostname\n",
        b"ffconcat version 1.0\nfile /etc/hostname\n",
        encoded(Image.new("RGB", (32, 32), "red"), "JPEG"),
        encoded(Image.new("RGB", (32, 32), "red"), "PNG"),
    ],
)
def test_playlists_images_and_text_are_no_videos(content: bytes) -> None:
    assert decode_video(content, LIMITS) == Unreadable("video_is_not_a_video")


def test_a_video_without_its_table_is_damaged() -> None:
    content = brightening()
    assert decode_video(content[: content.index(b"moov")], LIMITS) == Unreadable("video_damaged")


def test_a_codec_that_is_not_on_the_list_is_not_decoded() -> None:
    found = decode_video(brightening("matroska", "ffv1"), LIMITS)
    assert found == Unreadable("video_codec_unknown")
