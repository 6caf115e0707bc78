"""Figures of small drawn pictures, worked by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipelines.features.image.appearance import FAMILIES, NAMES, appearance, thinned
from pipelines.features.media.base import DecodedImage


def figures(rgb: NDArray[np.uint8], size_bytes: int | None = 100) -> dict[str, float]:
    height, width = rgb.shape[:2]
    image = DecodedImage(rgb, width, height, "GIF", 2)
    return dict(zip(NAMES, appearance(image, size_bytes).tolist(), strict=True))


def drawn(*rows: str) -> NDArray[np.uint8]:
    """`#` is black, anything else white."""
    grey = [[0 if sign == "#" else 255 for sign in row] for row in rows]
    return np.repeat(np.array(grey, np.uint8)[..., None], 3, axis=2)


def test_a_white_page_is_flat_and_has_one_colour() -> None:
    found = figures(np.full((10, 20, 3), 255, np.uint8))
    assert found["flat_share"] == found["white_share"] == found["first_colour_share"] == 1
    assert found["edge_share"] == found["brightness_entropy"] == found["saturation_mean"] == 0
    assert found["bytes_per_pixel"] == 0.5
    assert (found["gif"], found["png"], found["other_format"], found["frames"]) == (1, 0, 0, 2)


def test_a_vertical_bar_has_edges_along_one_axis_only() -> None:
    found = figures(drawn("..##..", "..##..", "..##.."))
    assert found["edge_share"] == pytest.approx(2 / 5)  # steps of each row
    assert found["sharp_steps_per_row"] == 2
    assert (found["direction_0"], found["direction_4"], found["axis_edge_share"]) == (1, 0, 1)
    assert np.isclose(found["black_share"], 1 / 3)
    assert np.isclose(found["colours_log"], np.log(3))


def test_a_photograph_like_noise_is_nowhere_flat() -> None:
    rng = np.random.default_rng(0)
    found = figures(rng.integers(0, 256, (60, 60, 3)).astype(np.uint8))
    assert found["flat_share"] == 0
    assert found["colours_per_pixel"] > 0.99
    assert found["brightness_entropy"] > 5


def test_an_unknown_size_is_not_a_number_and_nothing_else_is() -> None:
    found = figures(drawn("#.", ".#"), None)
    unknown = {name for name, value in found.items() if np.isnan(value)}
    assert unknown == {"bytes_log", "bytes_per_pixel"}


def test_every_column_has_a_family() -> None:
    assert tuple(FAMILIES) == NAMES


def test_thinning_keeps_the_colours_that_are_there() -> None:
    rgb = drawn("#.#.#", ".....", "#.#.#")
    assert thinned(rgb, 3)[..., 0].tolist() == [[0, 0, 0], [0, 0, 0]]


def test_figures_are_what_their_definitions_say() -> None:
    """In NumPy, over the whole picture at a time."""
    rng = np.random.default_rng(7)
    rgb = rng.integers(0, 256, (40, 50, 3)).astype(np.uint8)
    rgb[5:30, 10:35] = rng.choice(np.array([0, 37, 250], np.uint8), (25, 25, 1))
    rgb[:, 40:] = 255
    found = figures(rgb)
    grey = rgb.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
    across, down = np.diff(grey, axis=1)[:-1], np.diff(grey, axis=0)[:, :-1]
    strength = np.hypot(across, down)
    high, low = rgb.max(axis=2).astype(float), rgb.min(axis=2).astype(float)
    shares = np.histogram(grey, bins=64, range=(0, 256))[0] / grey.size
    counts = np.sort(np.unique(rgb.reshape(-1, 3), axis=0, return_counts=True)[1])[::-1]
    expected = {
        "red_mean": rgb[..., 0].mean(), "blue_std": rgb[..., 2].std(),
        "saturation_mean": ((high - low) / np.maximum(high, 1)).mean(),
        "saturation_std": ((high - low) / np.maximum(high, 1)).std(),
        "grey_share": (high - low < 8).mean(), "brightness_mean": grey.mean(),
        "brightness_std": grey.std(), "colours_log": np.log1p(len(counts)),
        "brightness_entropy": -(shares[shares > 0] * np.log2(shares[shares > 0])).sum(),
        "first_colour_share": counts[0] / grey.size,
        "ten_colours_share": counts[:10].sum() / grey.size,
        "white_share": (low > 240).mean(), "black_share": (high < 16).mean(),
        "edge_share": (strength > 40).mean(), "gradient_mean": strength.mean(),
        "gradient_std": strength.std(), "noise": np.abs(np.diff(grey, 2, axis=1)).mean(),
        "sharp_steps_per_row": (np.abs(across) > 40).sum(axis=1).mean(),
    }  # fmt: skip
    assert {name: found[name] for name in expected} == pytest.approx(expected, rel=1e-4)
    angles = np.arctan2(down, across)[strength > 40] + np.pi / 16
    sectors = np.floor((angles % np.pi) * 8 / np.pi).astype(int) % 8
    shown = [found[f"direction_{number}"] for number in range(8)]
    assert shown == pytest.approx((np.bincount(sectors, minlength=8) / len(sectors)).tolist())


@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 2**32 - 1))
def test_every_picture_gives_finite_figures(height: int, width: int, seed: int) -> None:
    rgb = np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)
    assert np.isfinite(list(figures(rgb).values())).all()
