"""Bars: even borders are found in any colour, and nothing else is taken for one."""

import numpy as np
import pytest

from pipelines.features.video.bars import Picture, picture_of

HEIGHT, WIDTH = 60, 80


def _noise(frames: int = 4) -> np.ndarray:
    rng = np.random.default_rng(7)
    return rng.integers(60, 256, (frames, HEIGHT, WIDTH, 3)).astype(np.uint8)


@pytest.mark.parametrize("colour", [(0, 0, 0), (255, 255, 255), (200, 20, 30)])
def test_bars_of_any_colour_are_found_but_for_the_line_that_mixes(colour: tuple[int, ...]) -> None:
    frames = _noise()
    frames[:, :10] = frames[:, -6:] = colour
    assert picture_of(frames) == Picture(11, HEIGHT - 7, 0, WIDTH)


def test_bars_on_all_sides_are_found_together() -> None:
    frames = _noise()
    frames[:, :10] = frames[:, -10:] = frames[:, :, :8] = frames[:, :, -8:] = 0
    assert picture_of(frames) == Picture(11, HEIGHT - 11, 9, WIDTH - 9)


def test_a_small_logo_on_a_bar_leaves_it_a_bar() -> None:
    frames = _noise()
    frames[:, :10] = 0
    frames[:, 4:8, 2:6] = 255
    assert picture_of(frames).top == 11


def test_a_border_that_changes_its_colour_is_no_bar() -> None:
    frames = _noise()
    frames[:2, :10], frames[2:, :10] = 0, 255
    assert picture_of(frames) == Picture(0, HEIGHT, 0, WIDTH)


def test_a_gradient_is_no_bar() -> None:
    frames = np.zeros((3, HEIGHT, WIDTH, 3), np.uint8)
    frames[:] = np.arange(WIDTH, dtype=np.uint8)[:, None] * 3
    assert picture_of(frames) == Picture(0, HEIGHT, 0, WIDTH)


@pytest.mark.parametrize("shape", [(1, 1, 1, 3), (1, 2, 300, 3), (5, 40, 40, 3)])
def test_a_flat_or_tiny_video_is_one_picture(shape: tuple[int, ...]) -> None:
    assert picture_of(np.zeros(shape, np.uint8)) == Picture(0, shape[1], 0, shape[2])


def test_the_share_of_bars_is_that_of_the_area() -> None:
    assert Picture(10, 50, 0, WIDTH).bar_share(HEIGHT, WIDTH) == pytest.approx(1 / 3)
