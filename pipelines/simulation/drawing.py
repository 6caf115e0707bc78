"""Words on pictures, as people and advertisers make them: the same layouts and fonts for both.

The same text, photo and random numbers give the same bytes. Fonts are DejaVu's as matplotlib
ships them (Latin, Turkish, Greek, Cyrillic), else Pillow's own; what they do not cover is not
drawn, see `is_drawable`.
"""

from __future__ import annotations

import importlib.util
import io
import textwrap
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFont import FreeTypeFont

LONGER_SIDE = 420
JPEG_QUALITY = 82
LAST_DRAWABLE = "\u04ff"  # the end of Cyrillic; accents, Greek and Turkish stand before it
PUNCTUATION = frozenset("–—‘’“”…€£•₺")
FONTS = (
    "DejaVuSans.ttf", "DejaVuSans-Bold.ttf", "DejaVuSans-Oblique.ttf", "DejaVuSerif.ttf",
    "DejaVuSerif-Bold.ttf", "DejaVuSansMono.ttf",
)  # fmt: skip
MAXIMUM_CHARACTERS = 220

Layout = Callable[["Image", str, np.random.Generator], "Image"]


def is_drawable(text: str) -> bool:
    """Whether the fonts have every letter of the text.

    >>> is_drawable("Günaydın, 5 €!"), is_drawable("你好")
    (True, False)
    """
    return all(letter <= LAST_DRAWABLE or letter in PUNCTUATION for letter in text)


def drawn(text: str, photo: bytes, rng: np.random.Generator) -> bytes:
    """A JPEG file: the text over, beside or instead of the photo, in one of four layouts."""
    layout = LAYOUTS[int(rng.integers(len(LAYOUTS)))]
    plain = " ".join(text.split())[:MAXIMUM_CHARACTERS]
    return jpeg(layout(opened(photo), plain, rng))


def retaken(photo: bytes, rng: np.random.Generator) -> bytes:
    """A JPEG file: another shot of the same scene, cropped and lit a little differently."""
    from PIL import ImageEnhance

    image = opened(photo)
    left, upper, right, lower = rng.uniform(0, 0.12, 4)
    width, height = image.size
    box = (left * width, upper * height, (1 - right) * width, (1 - lower) * height)
    cropped = image.crop(tuple(int(edge) for edge in box))
    return jpeg(ImageEnhance.Brightness(cropped).enhance(float(rng.uniform(0.85, 1.15))))


def varied(picture: bytes, rng: np.random.Generator) -> bytes:
    """A JPEG file: a near-duplicate, as a spammer makes it to escape exact matching."""
    from PIL import ImageEnhance

    image = opened(picture)
    side = float(rng.uniform(0.9, 0.99))
    image = image.resize((int(image.width * side), int(image.height * side)))
    return jpeg(ImageEnhance.Contrast(image).enhance(float(rng.uniform(0.93, 1.07))))


def opened(content: bytes) -> Image:
    """The first frame in RGB, its longer side at most LONGER_SIDE pixels."""
    from PIL import Image

    with Image.open(io.BytesIO(content)) as file:
        image: Image.Image = file.convert("RGB")
    image.thumbnail((LONGER_SIDE, LONGER_SIDE))
    return image


def jpeg(image: Image) -> bytes:
    """The picture as a JPEG file; the same pixels give the same bytes."""
    content = io.BytesIO()
    image.save(content, "JPEG", quality=JPEG_QUALITY)
    return content.getvalue()


def _meme(image: Image, text: str, rng: np.random.Generator) -> Image:
    """White letters with a black edge at the top and the foot of the photo."""
    words = text.split()
    middle = max(1, len(words) // 2)
    font = _font(rng, image.width // 17)
    for part, top in ((words[:middle], 0.04), (words[middle:], 0.68)):
        _write(image, " ".join(part), font, top, fill=(255, 255, 255), edge=2)
    return image


def _poster(image: Image, text: str, rng: np.random.Generator) -> Image:
    """The photo above a coloured panel with the text."""
    from PIL import Image

    ground = tuple(int(value) for value in rng.integers(0, 256, 3))
    page = Image.new("RGB", (image.width, image.height * 8 // 5), ground)
    page.paste(image, (0, 0))
    ink = (0, 0, 0) if sum(ground) > 382 else (255, 255, 255)
    _write(page, text, _font(rng, image.width // 19), 0.66, fill=ink)
    return page


def _banner(image: Image, text: str, rng: np.random.Generator) -> Image:
    """The text on a half transparent strip across the photo."""
    from PIL import Image

    strip = Image.new("RGB", image.size, (255, 255, 255))
    blended = Image.blend(image, strip, float(rng.uniform(0.5, 0.75)))
    top = int(image.height * rng.uniform(0.1, 0.4))
    box = (0, top, image.width, min(image.height, top + image.height // 2))
    image.paste(blended.crop(box), box[:2])
    _write(image, text, _font(rng, image.width // 20), top / image.height + 0.03, fill=(20, 20, 20))
    return image


def _screenshot(image: Image, text: str, rng: np.random.Generator) -> Image:
    """The text as a message in a chat; the photo is the correspondent's small picture."""
    from PIL import Image, ImageDraw

    page = Image.new("RGB", (360, 420), (236, 229, 221))
    page.paste(image.resize((44, 44)), (12, 10))
    left = int(rng.integers(10, 60))
    ImageDraw.Draw(page).rounded_rectangle((left, 70, left + 290, 330), 14, fill=(255, 255, 255))
    _write(page, text, _font(rng, 18), 0.19, fill=(17, 17, 17), left=left + 12, width=266)
    return page


LAYOUTS: tuple[Layout, ...] = (_meme, _poster, _banner, _screenshot)


def _write(
    image: Image,
    text: str,
    font: FreeTypeFont,
    top: float,
    *,
    fill: tuple[int, int, int],
    edge: int = 0,
    left: int = 10,
    width: int | None = None,
) -> None:
    """The text, broken into lines, from `top` (a share of the height) downwards."""
    from PIL import ImageDraw

    room = (width or image.width - 2 * left) / max(1.0, font.getlength("n"))
    lines = "\n".join(textwrap.wrap(text, max(8, int(room))))
    place = (left, int(top * image.height))
    ImageDraw.Draw(image).multiline_text(
        place, lines, font=font, fill=fill, stroke_width=edge, stroke_fill=(0, 0, 0)
    )


def _font(rng: np.random.Generator, size: int) -> FreeTypeFont:
    return _loaded(FONTS[int(rng.integers(len(FONTS)))], max(11, size))


@cache
def _loaded(name: str, size: int) -> FreeTypeFont:
    from PIL import ImageFont

    path = _font_folder() / name
    if path.is_file():
        return ImageFont.truetype(str(path), size, layout_engine=ImageFont.Layout.BASIC)
    return ImageFont.load_default(size)


@cache
def _font_folder() -> Path:
    """Where matplotlib keeps its fonts; nothing of it is imported."""
    found = importlib.util.find_spec("matplotlib")
    if found is None or found.origin is None:
        return Path("no-fonts")
    return Path(found.origin).parent / "mpl-data" / "fonts" / "ttf"
