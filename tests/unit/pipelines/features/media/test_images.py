"""Images of every stored form come out upright, in RGB, on white; broken ones with a reason."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from pipelines.features.media.answers import ImagePixels
from pipelines.features.media.base import MediaLimits, Unreadable
from pipelines.features.media.images import decode_image
from tests.malformed_media import ENDINGS, clip, encoded, gif, png

LIMITS = MediaLimits(pixels=250_000, image_side=400)
RED, BLUE, WHITE = (255, 0, 0), (0, 0, 255), (255, 255, 255)
EXIF_ORIENTATION = 0x0112


def decoded(content: bytes, limits: MediaLimits = LIMITS) -> ImagePixels:
    found = decode_image(content, limits)
    assert isinstance(found, ImagePixels), found
    return found


def pixels(found: ImagePixels) -> NDArray[np.uint8]:
    width, height = found.size
    return np.frombuffer(found.rgb, np.uint8).reshape(height, width, 3)


def half_blue() -> Image.Image:
    """Forty by twenty: the left half blue, the right half red."""
    image = Image.new("RGB", (40, 20), RED)
    image.paste(BLUE, (0, 0, 20, 20))
    return image


def noise(width: int = 120, height: int = 90) -> Image.Image:
    grain = np.random.default_rng(3).integers(0, 256, (height, width, 3))
    return Image.fromarray(grain.astype(np.uint8))


@pytest.mark.parametrize("name", ENDINGS)
def test_every_allowed_format_gives_its_pixels(name: str) -> None:
    found = decoded(encoded(half_blue(), name))
    assert (found.size, found.stored, found.format, found.frames) == ((40, 20), (40, 20), name, 1)
    assert found.notes == ()
    assert np.abs(pixels(found)[10, 4].astype(int) - BLUE).max() < 10
    assert np.abs(pixels(found)[10, 36].astype(int) - RED).max() < 10


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
def test_every_mode_of_png_gives_rgb(mode: str) -> None:
    white = Image.new("RGB", (6, 4), "white").convert(mode)
    assert (pixels(decoded(encoded(white, "PNG"))) == 255).all()


def test_what_is_transparent_is_white() -> None:
    clear = Image.new("RGBA", (8, 8), (0, 0, 0, 0))
    half = Image.new("RGBA", (8, 8), (0, 0, 0, 128))
    assert tuple(pixels(decoded(encoded(clear, "PNG")))[0, 0]) == WHITE
    assert pixels(decoded(encoded(half, "PNG")))[0, 0, 0] == 127
    palette = encoded(Image.new("P", (8, 8), 0), "GIF", transparency=0)
    assert tuple(pixels(decoded(palette))[0, 0]) == WHITE


def test_sixteen_bits_are_scaled_to_eight_and_noted() -> None:
    ramp = Image.fromarray(np.array([[0, 257 * 100, 65535]], np.uint16))
    for name in ("PNG", "TIFF"):
        found = decoded(encoded(ramp, name))
        assert found.notes == ("image_16_bit",)
        assert pixels(found)[0, :, 0].tolist() == [0, 100, 255]


def test_sixteen_bits_a_colour_are_noted() -> None:
    data = zlib.compress(b"\0" + b"\x80\x00\x40\x00\xff\xff")
    found = decoded(png(1, 1, 16, 2, data))
    assert found.notes == ("image_16_bit",)
    assert tuple(pixels(found)[0, 0]) == (0x80, 0x40, 0xFF)


def test_floating_point_greys_are_scaled_by_what_they_hold() -> None:
    values = Image.fromarray(np.array([[-1.0, 0.0, 1.0]], np.float32))
    assert pixels(decoded(encoded(values, "TIFF")))[0, :, 0].tolist() == [0, 127, 255]
    unknown = Image.fromarray(np.full((2, 2), np.nan, np.float32))
    assert decoded(encoded(unknown, "TIFF")).size == (2, 2)


@pytest.mark.parametrize("name", ["JPEG", "TIFF"])
def test_cmyk_becomes_rgb_and_is_noted(name: str) -> None:
    found = decoded(encoded(half_blue().convert("CMYK"), name))
    assert found.notes == ("image_cmyk",)
    assert np.abs(pixels(found)[10, 36].astype(int) - RED).max() < 10


@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_an_image_is_turned_as_its_exif_says(name: str) -> None:
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = 6  # to be turned a quarter clockwise
    found = decoded(encoded(half_blue(), name, exif=exif))
    assert found.size == (20, 40)
    assert pixels(found)[4, 10, 2] > 200
    assert pixels(found)[36, 10, 0] > 200


@pytest.mark.parametrize("name", ["GIF", "PNG", "WEBP", "TIFF"])
def test_of_an_animation_the_first_frame_is_read_and_the_frames_counted(name: str) -> None:
    frames = [Image.new("RGB", (12, 8), colour) for colour in (BLUE, RED, WHITE)]
    found = decoded(encoded(frames[0], name, save_all=True, append_images=frames[1:]))
    assert (found.frames, found.notes) == (3, ("image_animated",))
    assert pixels(found)[4, 4, 2] > 200 > pixels(found)[4, 4, 0]


def test_large_images_are_scaled_down_and_small_ones_are_not_scaled_up() -> None:
    wide = MediaLimits(image_side=400)
    assert decoded(encoded(noise(1000, 500), "JPEG"), wide).size == (400, 200)
    assert decoded(encoded(noise(500, 1000), "PNG"), wide).size == (200, 400)
    assert decoded(encoded(noise(3000, 1), "PNG"), wide).size == (400, 1)
    assert decoded(encoded(noise(10, 5), "PNG"), wide).size == (10, 5)


@pytest.mark.parametrize("name", ["JPEG", "PNG", "GIF", "BMP", "TIFF"])
def test_a_file_that_ends_early_gives_what_there_is_and_a_note(name: str) -> None:
    content = encoded(noise(), name)
    found = decoded(content[: len(content) * 2 // 3])
    assert found.notes == ("image_truncated",)
    assert found.size == (120, 90)


@pytest.mark.parametrize("name", ENDINGS)
def test_a_file_that_ends_before_its_pixels_has_a_reason(name: str) -> None:
    found = decode_image(encoded(noise(), name)[:64], LIMITS)
    assert found in (Unreadable("image_truncated"), Unreadable("image_damaged"))


@pytest.mark.parametrize(
    "content",
    [
        png(60_000, 60_000, 1, 0, zlib.compress(bytes(1000))),
        gif(65_000, 65_000, (1, 1)),
        gif(10, 10, (65_000, 65_000)),
        encoded(Image.new("1", (501, 500)), "BMP"),
    ],
)
def test_more_pixels_than_allowed_are_not_decoded(content: bytes) -> None:
    assert decode_image(content, LIMITS) == Unreadable("image_too_many_pixels")


def test_as_many_pixels_as_allowed_are_decoded() -> None:
    assert decoded(encoded(noise(500, 500), "BMP")).stored == (500, 500)


@pytest.mark.parametrize("content", [b"PK\x03\x04 a zip", b"%PDF-1.7", b"hello", b"\0" * 99])
def test_what_is_no_image_is_called_so(content: bytes) -> None:
    assert decode_image(content, LIMITS) == Unreadable("image_is_not_an_image")


def test_a_video_is_no_image() -> None:
    video = clip(np.random.default_rng(3), "mp4", frames=2)
    assert decode_image(video, LIMITS) == Unreadable("image_is_not_an_image")


def test_a_format_that_is_not_on_the_list_is_not_opened() -> None:
    assert decode_image(encoded(noise(), "PPM"), LIMITS) == Unreadable("image_is_not_an_image")


def test_pillow_is_left_as_it_was() -> None:
    before = Image.MAX_IMAGE_PIXELS
    decode_image(encoded(noise(), "PNG")[:500], LIMITS)
    assert before == Image.MAX_IMAGE_PIXELS
