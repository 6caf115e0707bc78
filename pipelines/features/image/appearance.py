"""What a picture looks like before anything in it is recognised.

Drawn text and charts have few colours, flat areas and sharp edges along the axes; photographs
have noise, many colours and edges in all directions. The features are those of Dredze,
Gevaryahu, Elias-Bachrach 2007, "Learning Fast Classifiers for Image Spam"; Gao et al. 2008,
"Image Spam Hunter"; Annadatha, Stamp 2016, "Image Spam Analysis and Detection".
"""

from __future__ import annotations

from math import log

import numpy as np
from numpy.typing import NDArray

from pipelines.features.image.pixels import DIRECTIONS, brightness, colour, texture
from pipelines.features.media.base import DecodedImage

FORMATS = ("gif", "jpeg", "png")
WORKING_SIDE = 400  # every k-th pixel is looked at, so that the longer side is at most this

FILE_NAMES: tuple[str, ...] = (
    "width_log", "height_log", "pixels_log", "aspect_log", "bytes_log", "bytes_per_pixel",
    "frames", *FORMATS, "other_format",
)  # fmt: skip
COLOUR_NAMES: tuple[str, ...] = (
    *(f"{channel}_{figure}" for channel in ("red", "green", "blue") for figure in ("mean", "std")),
    "saturation_mean", "saturation_std", "grey_share", "brightness_mean", "brightness_std",
    "brightness_entropy", "colours_log", "colours_per_pixel", "first_colour_share",
    "ten_colours_share", "white_share", "black_share",
)  # fmt: skip
TEXTURE_NAMES: tuple[str, ...] = (
    "edge_share", "gradient_mean", "gradient_std", "flat_share", "noise", "axis_edge_share",
    "sharp_steps_per_row", *(f"direction_{number}" for number in range(DIRECTIONS)),
)  # fmt: skip
NAMES: tuple[str, ...] = (*FILE_NAMES, *COLOUR_NAMES, *TEXTURE_NAMES)
FAMILIES: dict[str, str] = {
    **dict.fromkeys(FILE_NAMES, "file"),
    **dict.fromkeys(COLOUR_NAMES, "colour"),
    **dict.fromkeys(TEXTURE_NAMES, "texture"),
}

SMALLEST_SIDE = 3  # of a picture that has a texture


def appearance(image: DecodedImage, size_bytes: int | None) -> NDArray[np.float32]:
    """float32[len(NAMES)]; NaN where `size_bytes` would be needed and is not known."""
    rgb = np.require(thinned(image.rgb, WORKING_SIDE), np.uint8, ("C", "W"))
    grey = brightness(rgb)
    has_texture = min(grey.shape) >= SMALLEST_SIDE
    values = [
        *_file(image, size_bytes),
        *colour(rgb, grey).tolist(),
        *(texture(rgb, grey).tolist() if has_texture else [0.0] * len(TEXTURE_NAMES)),
    ]
    return np.array(values, np.float32)


def thinned(rgb: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Every k-th pixel: unlike scaling this keeps the colours that are there."""
    step = -(-max(rgb.shape[:2]) // side)
    return rgb[::step, ::step]


def _file(image: DecodedImage, size_bytes: int | None) -> list[float]:
    width, height = max(image.width, 1), max(image.height, 1)
    name = image.format.lower()
    size = float("nan") if size_bytes is None else float(size_bytes)
    return [
        log(width),
        log(height),
        log(width * height),
        log(width / height),
        float(np.log1p(size)),
        size / (width * height),
        float(image.frames),
        *(float(name == known) for known in FORMATS),
        float(name not in FORMATS),
    ]
