"""Edits that copies of an image come with, each drawn from a generator."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from pipelines.features.media.hashes import Pixels

Edit = Callable[[Pixels, np.random.Generator], Pixels]
WORDS = "LIMITED OFFER CALL TODAY"


def half_size(rgb: Pixels, _: np.random.Generator) -> Pixels:
    image = Image.fromarray(rgb)
    width, height = max(image.width // 2, 1), max(image.height // 2, 1)
    return np.asarray(image.resize((width, height), Image.Resampling.LANCZOS))


def recompressed(rgb: Pixels, _: np.random.Generator) -> Pixels:
    """JPEG at quality 30."""
    written = io.BytesIO()
    Image.fromarray(rgb).save(written, "JPEG", quality=30)
    return np.asarray(Image.open(written).convert("RGB"))


def blurred(rgb: Pixels, _: np.random.Generator) -> Pixels:
    return np.asarray(Image.fromarray(rgb).filter(ImageFilter.GaussianBlur(2)))


def noisy(rgb: Pixels, rng: np.random.Generator) -> Pixels:
    """Normal noise with a standard deviation of 15 of 255."""
    return (rgb + rng.normal(0, 15, rgb.shape)).clip(0, 255).astype(np.uint8)


def cropped(share: float) -> Edit:
    """Without `share` of the width and of the height, at a random place."""

    def crop(rgb: Pixels, rng: np.random.Generator) -> Pixels:
        height, width = (max(int(side * (1 - share)), 1) for side in rgb.shape[:2])
        top = rng.integers(rgb.shape[0] - height + 1)
        left = rng.integers(rgb.shape[1] - width + 1)
        return np.ascontiguousarray(rgb[top : top + height, left : left + width])

    return crop


def bordered(rgb: Pixels, rng: np.random.Generator) -> Pixels:
    """A frame of one colour, 5 % of the longer side."""
    edge = max(int(0.05 * max(rgb.shape[:2])), 1)
    framed = np.empty((rgb.shape[0] + 2 * edge, rgb.shape[1] + 2 * edge, 3), np.uint8)
    framed[:] = rng.integers(0, 256, 3)
    framed[edge:-edge, edge:-edge] = rgb
    return framed


def captioned(rgb: Pixels, rng: np.random.Generator) -> Pixels:
    """A line of text a twelfth of the height tall, somewhere."""
    image = Image.fromarray(rgb)
    height = max(image.height // 12, 8)
    at = int(rng.integers(image.width // 3 + 1)), int(rng.integers(image.height - height + 1))
    ImageDraw.Draw(image).text(at, WORDS, fill=(220, 20, 20), font_size=height)
    return np.asarray(image)


def brighter(rgb: Pixels, _: np.random.Generator) -> Pixels:
    return (rgb * 1.3).clip(0, 255).astype(np.uint8)


def grey(rgb: Pixels, _: np.random.Generator) -> Pixels:
    return np.asarray(Image.fromarray(rgb).convert("L").convert("RGB"))


EDITS: Mapping[str, Edit] = {
    "half size": half_size,
    "JPEG quality 30": recompressed,
    "blur, radius 2": blurred,
    "noise, sd 15": noisy,
    "crop 5 %": cropped(0.05),
    "crop 10 %": cropped(0.10),
    "crop 20 %": cropped(0.20),
    "border 5 %": bordered,
    "line of text": captioned,
    "brightness x 1.3": brighter,
    "grey": grey,
}
