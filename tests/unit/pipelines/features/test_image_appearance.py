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


@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 2**32 - 1))
def test_every_picture_gives_finite_figures(height: int, width: int, seed: int) -> None:
    rgb = np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)
    assert np.isfinite(list(figures(rgb).values())).all()
