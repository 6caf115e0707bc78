"""Attacks on pictures: noise, blur, crop, lines and banners, recompression.

Each is an edit of pixels, and its strength a share of the most that leaves a message in the picture
readable. The attacked file is a JPEG in the event.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from data_contracts.events import Event, MediaReference
from evaluation.attacks.base import Family
from evaluation.attacks.media import OpenMedia, rewritten
from pipelines.features.media.base import Unreadable
from pipelines.perturbations.base import check_rate

if TYPE_CHECKING:
    from PIL.Image import Image

USUAL_QUALITY, POOREST_QUALITY = 90, 10  # of libjpeg, 1 to 95
SHRINK = 0.8  # of the sides, again and again until a file is small enough
NOISE_DEVIATION = 30.0  # of 255
BLUR_SHARE = 1 / 250  # of the longer side: letters of a line in thirty stay apart
CROPPED_SHARE = 0.12  # of width and height
LINES = 14
BANNER_SHARE = 0.15  # of the height, added below
BANNER = "sent from my phone"

Edit = Callable[["Image", float, np.random.Generator], "Image"]


class PictureAttack:
    """One edit of EDITS on every picture of an event that can be read; its paper stands there."""

    family: Family = "images"

    def __init__(self, name: str, media: OpenMedia) -> None:
        self.name = name
        self._edit = EDITS[name]
        self._media = media

    def applies_to(self, event: Event) -> bool:
        return any(one.kind == "image" for one in event.media)

    def disguise(self, event: Event, strength: float, rng: np.random.Generator) -> Event:
        share = check_rate(strength)
        quality = USUAL_QUALITY
        if self.name == "recompression":
            quality = round(USUAL_QUALITY - share * (USUAL_QUALITY - POOREST_QUALITY))

        def rewrite(one: MediaReference, room: int) -> bytes | None:
            from PIL import Image

            found = self._media().image(one)
            if isinstance(found, Unreadable):
                return None
            return jpeg(self._edit(Image.fromarray(found.rgb), share, rng), quality, room)

        return rewritten(event, "image", rewrite)


def noise(image: Image, strength: float, rng: np.random.Generator) -> Image:
    """Gaussian noise on every pixel.

    Hendrycks & Dietterich 2019, "Benchmarking Neural Network Robustness to Common Corruptions and
    Perturbations" (ICLR).
    """
    from PIL import Image

    pixels = np.asarray(image, np.float32)
    noisy = pixels + rng.normal(0.0, strength * NOISE_DEVIATION, pixels.shape)
    return Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8))


def blur(image: Image, strength: float, rng: np.random.Generator) -> Image:  # noqa: ARG001
    """A Gaussian blur, as of a picture out of focus (Hendrycks & Dietterich 2019)."""
    from PIL import ImageFilter

    return image.filter(ImageFilter.GaussianBlur(strength * BLUR_SHARE * max(image.size)))


def crop(image: Image, strength: float, rng: np.random.Generator) -> Image:
    """Cut a share of width and height off, from where chance will.

    Law-To et al. 2007, "Video Copy Detection: a Comparative Study" (CIVR), lists it among what
    copies undergo.
    """
    kept = 1 - strength * CROPPED_SHARE
    width, height = (max(1, round(side * kept)) for side in image.size)
    left, top = (rng.random(2) * (image.width - width + 1, image.height - height + 1)).astype(int)
    return image.crop((int(left), int(top), int(left) + width, int(top) + height))


def overlay(image: Image, strength: float, rng: np.random.Generator) -> Image:
    """Thin lines across the picture, and a banner with ordinary words below it.

    Biggio, Fumera, Pillai & Roli 2011, "A survey and experimental evaluation of image spam
    filtering techniques" (Pattern Recognition Letters 32): clutter against reading by machine.
    """
    from PIL import Image, ImageDraw

    banner = round(image.height * BANNER_SHARE * strength)
    page = Image.new("RGB", (image.width, image.height + banner), _colour(rng))
    page.paste(image, (0, 0))
    pen = ImageDraw.Draw(page)
    pen.text((4, image.height + banner // 4), BANNER, fill=_colour(rng))
    for _ in range(round(strength * LINES)):
        from_x, to_x = (int(place) for place in rng.integers(0, image.width, 2))
        from_y, to_y = (int(place) for place in rng.integers(0, image.height, 2))
        pen.line((from_x, from_y, to_x, to_y), fill=_colour(rng), width=1)
    return page


def recompression(image: Image, strength: float, rng: np.random.Generator) -> Image:  # noqa: ARG001
    """The picture as it is: `PictureAttack` saves it at a poorer quality of JPEG.

    Dziugaite, Ghahramani & Roy 2016, "A study of the effect of JPG compression on adversarial
    images".
    """
    return image


EDITS: Mapping[str, Edit] = {
    "noise": noise,
    "blur": blur,
    "crop": crop,
    "overlay": overlay,
    "recompression": recompression,
}


def jpeg(image: Image, quality: int, room: int) -> bytes | None:
    """A JPEG file of at most `room` bytes, smaller where it must be; None where nothing fits."""
    while min(image.size) > 1:
        file = io.BytesIO()
        image.save(file, "JPEG", quality=quality)
        if file.tell() <= room:
            return file.getvalue()
        width, height = image.size
        image = image.resize((max(1, int(width * SHRINK)), max(1, int(height * SHRINK))))
    return None


def _colour(rng: np.random.Generator) -> tuple[int, int, int]:
    red, green, blue = (int(level) for level in rng.integers(0, 256, 3))
    return red, green, blue
