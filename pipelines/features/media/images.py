"""Decoding an image with Pillow, in the decoding process: upright, in RGB on white, bounded.

What is declared is checked before anything is decoded (a decompression bomb declares little
data and many pixels). Pillow's handbook, "Image file formats", has the modes and their limits.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO

from PIL import (
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageFile,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    UnidentifiedImageError,
    WebPImagePlugin,
)

from pipelines.features.media.answers import FORMATS, ImagePixels
from pipelines.features.media.base import MediaLimits, Unreadable

PLUGINS = (
    BmpImagePlugin, GifImagePlugin, JpegImagePlugin, PngImagePlugin, TiffImagePlugin,
    WebPImagePlugin,
)  # fmt: skip
FIRST_BYTES = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF8", b"BM", b"II*\0", b"MM\0*")
ORIENTATION_TAG = 0x0112  # Exif 2.32, table 4
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
MULTI_PICTURE = {"MPO": "JPEG"}  # Pillow's name for a JPEG that holds more pictures
REDUCING_GAP = 2.0  # a coarse reduction first, to twice the size that is wanted


def decode_image(content: bytes, limits: MediaLimits) -> ImagePixels | Unreadable:
    """The first frame, its longer side at most `limits.image_side`.

    A file that ends early or is damaged gives what could be decoded, and a note; where that is
    one flat colour, nothing was. MemoryError where the process may not have what it takes.
    """
    with _bounded(limits.pixels):
        try:
            return _decoded(content, limits)
        except (Image.DecompressionBombWarning, Image.DecompressionBombError):
            return Unreadable("image_too_many_pixels")
        except UnidentifiedImageError:
            return Unreadable(_unidentified(content))
        except MemoryError:
            raise
        except Exception as error:  # whatever a decoder makes of hostile bytes
            damage = _damage(error)
        return _partly_decoded(content, limits, damage)


def _partly_decoded(content: bytes, limits: MediaLimits, damage: str) -> ImagePixels | Unreadable:
    try:
        with _tolerant():
            found = _decoded(content, limits)
    except MemoryError:
        raise
    except Exception:
        return Unreadable(damage)
    if found.rgb == found.rgb[:3] * (len(found.rgb) // 3):
        return Unreadable(damage)
    return found._replace(notes=(damage, *found.notes))


def _decoded(content: bytes, limits: MediaLimits) -> ImagePixels:
    with Image.open(BytesIO(content), formats=FORMATS) as image:
        width, height = image.size
        name = MULTI_PICTURE.get(str(image.format), str(image.format))
        notes, frames = _oddities(image), _frames(image)
        image.draft(None, _fitting(image.size, limits.image_side))
        image.load()
        shown = _on_white(_eight_bits(image), limits.image_side)
        turn = UPRIGHT.get(_orientation(image))
    upright = shown if turn is None else shown.transpose(turn)
    size = (upright.width, upright.height)
    return ImagePixels(upright.tobytes(), size, (width, height), name, frames, notes)


def _oddities(image: ImageFile.ImageFile) -> tuple[str, ...]:
    """Notes on how pixels are stored; to be asked before they are loaded."""
    is_deep = image.mode[:1] in ("I", "F") or any(";16" in str(tile.args) for tile in image.tile)
    is_odd = {
        "image_animated": _frames(image) > 1,
        "image_16_bit": is_deep,
        "image_cmyk": image.mode == "CMYK",
    }
    return tuple(note for note, applies in is_odd.items() if applies)


def _frames(image: ImageFile.ImageFile) -> int:
    """Frames or pages; the further pictures of a JPEG are previews and depth, not frames."""
    if image.format in ("JPEG", *MULTI_PICTURE):
        return 1
    try:
        return int(getattr(image, "n_frames", 1))
    except Exception:  # what follows the first frame is broken
        return 1


def _fitting(size: tuple[int, int], side: int) -> tuple[int, int]:
    ratio = min(1.0, side / max(size))
    return max(1, math.ceil(size[0] * ratio)), max(1, math.ceil(size[1] * ratio))


def _eight_bits(image: Image.Image) -> Image.Image:
    """Deep greys scaled to 0-255: 16 bits by their range, others by what they hold."""
    if image.mode[:1] not in ("I", "F"):
        return image
    low, high = (0.0, 65535.0) if ";16" in image.mode else _extremes(image)
    scale = 255.0 / (high - low) if high > low else 0.0
    wide = image.convert("F") if image.mode != "F" else image
    return wide.point(lambda value: value * scale + -low * scale).convert("L")


def _extremes(image: Image.Image) -> tuple[float, float]:
    low, high = image.getextrema()
    return (low, high) if math.isfinite(low) and math.isfinite(high) else (0.0, 1.0)


def _on_white(image: Image.Image, side: int) -> Image.Image:
    wanted = "RGBA" if image.has_transparency_data else "RGB"
    plain = image if image.mode == wanted else image.convert(wanted)
    plain.thumbnail((side, side), reducing_gap=REDUCING_GAP)
    if wanted == "RGB":
        return plain
    white = Image.new("RGB", plain.size, "white")
    white.paste(plain, mask=plain.getchannel("A"))
    return white


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(ORIENTATION_TAG, 1))
    except Exception:  # broken Exif costs the orientation, not the image
        return 1


def _unidentified(content: bytes) -> str:
    is_webp = content[:4] == b"RIFF" and content[8:12] == b"WEBP"
    return (
        "image_damaged" if is_webp or content.startswith(FIRST_BYTES) else "image_is_not_an_image"
    )


def _damage(error: Exception) -> str:
    return "image_truncated" if "truncated" in str(error).lower() else "image_damaged"


@contextmanager
def _bounded(pixels: int) -> Iterator[None]:
    """Pillow's own check, at our bound and as an error; its other warnings say nothing to us."""
    before = Image.MAX_IMAGE_PIXELS
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        Image.MAX_IMAGE_PIXELS = pixels
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = before


@contextmanager
def _tolerant() -> Iterator[None]:
    ImageFile.LOAD_TRUNCATED_IMAGES = True
    try:
        yield
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = False
