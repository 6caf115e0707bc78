"""What a picture looks like before anything in it is recognised.

Drawn text and charts have few colours, flat areas and sharp edges along the axes; photographs
have noise, many colours and edges in all directions. The features are those of Dredze,
Gevaryahu, Elias-Bachrach 2007, "Learning Fast Classifiers for Image Spam"; Gao et al. 2008,
"Image Spam Hunter"; Annadatha, Stamp 2016, "Image Spam Analysis and Detection".
"""

from __future__ import annotations

from math import log, log1p

import numpy as np
from numpy.typing import NDArray

from pipelines.features.media.base import DecodedImage

FORMATS = ("gif", "jpeg", "png")
DIRECTIONS = 8
WORKING_SIDE = 400  # every k-th pixel is looked at, so that the longer side is at most this
STRONG_STEP = 40.0  # grey levels between neighbours that make an edge

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

Grey = NDArray[np.float32]


def appearance(image: DecodedImage, size_bytes: int | None) -> NDArray[np.float32]:
    """float32[len(NAMES)]; NaN where `size_bytes` would be needed and is not known."""
    rgb = thinned(image.rgb, WORKING_SIDE)
    grey = brightness(rgb)
    values = [*_file(image, size_bytes), *_colour(rgb, grey), *_texture(rgb, grey)]
    return np.array(values, np.float32)


def thinned(rgb: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Every k-th pixel: unlike scaling this keeps the colours that are there."""
    step = -(-max(rgb.shape[:2]) // side)
    return rgb[::step, ::step]


def brightness(rgb: NDArray[np.uint8]) -> Grey:
    """float32[h, w], 0 to 255 (ITU-R BT.601)."""
    return np.asarray(rgb.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32))


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


def _colour(rgb: NDArray[np.uint8], grey: Grey) -> list[float]:
    pixels = rgb.reshape(-1, 3)
    high, low = pixels.max(axis=1).astype(np.float32), pixels.min(axis=1).astype(np.float32)
    saturation = (high - low) / np.maximum(high, 1)
    channels = zip(pixels.mean(axis=0), pixels.std(axis=0), strict=True)
    return [
        *(float(figure) for pair in channels for figure in pair),
        float(saturation.mean()),
        float(saturation.std()),
        float((high - low < 8).mean()),
        float(grey.mean()),
        float(grey.std()),
        _entropy(np.histogram(grey, bins=64, range=(0, 256))[0]),
        *_palette(pixels),
        float((low > 240).mean()),
        float((high < 16).mean()),
    ]


def _palette(pixels: NDArray[np.uint8]) -> list[float]:
    """How many colours there are, exactly, and how much the commonest cover."""
    packed = pixels.astype(np.uint32) @ np.array([65536, 256, 1], np.uint32)
    counts = np.sort(np.unique(packed, return_counts=True)[1])[::-1]
    total = len(pixels)
    return [
        log1p(len(counts)), len(counts) / total, float(counts[0] / total),
        float(counts[:10].sum() / total),
    ]  # fmt: skip


def _texture(rgb: NDArray[np.uint8], grey: Grey) -> list[float]:
    if min(grey.shape) < 3:
        return [0.0] * len(TEXTURE_NAMES)
    across, down = np.diff(grey, axis=1)[:-1], np.diff(grey, axis=0)[:, :-1]
    strength = np.hypot(across, down)
    strong = strength > STRONG_STEP
    directions = _directions(across[strong], down[strong])
    same = (rgb[:-1, :-1] == rgb[:-1, 1:]).all(axis=2) & (rgb[:-1, :-1] == rgb[1:, :-1]).all(axis=2)
    return [
        float(strong.mean()),
        float(strength.mean()),
        float(strength.std()),
        float(same.mean()),
        float(np.abs(np.diff(grey, 2, axis=1)).mean()),
        float(directions[[0, DIRECTIONS // 2]].sum()),
        float((np.abs(across) > STRONG_STEP).sum(axis=1).mean()),
        *map(float, directions),
    ]


def _directions(across: Grey, down: Grey) -> NDArray[np.float64]:
    """Share of the edges in each of DIRECTIONS half-turn sectors; the first is centred on 0."""
    angles = np.arctan2(down, across) + np.pi / (2 * DIRECTIONS)
    sectors = np.floor((angles % np.pi) * DIRECTIONS / np.pi).astype(int) % DIRECTIONS
    counts = np.bincount(sectors, minlength=DIRECTIONS)
    return np.asarray(counts / max(counts.sum(), 1))


def _entropy(counts: NDArray[np.int64]) -> float:
    """Bits a value."""
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log2(shares)).sum())
