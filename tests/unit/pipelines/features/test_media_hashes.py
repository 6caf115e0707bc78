"""Perceptual hashes: small edits move them little, flat images are not matched."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.features.media.hashes import (
    LONGEST_SIDE,
    Pixels,
    distances,
    image_hashes,
    in_hexadecimal,
    in_words,
    pdq_words,
)


def picture(seed: int, side: int = 256) -> Pixels:
    """Smooth blobs: an image with structure at several scales."""
    rng = np.random.default_rng(seed)
    blocks = rng.integers(0, 256, (16, 16, 3)).astype(np.uint8)
    return np.kron(blocks, np.ones((side // 16, side // 16, 1), np.uint8))


def test_hashes_are_written_in_the_banks_lengths() -> None:
    hashes = image_hashes(picture(1))
    assert (len(hashes.pdq), len(hashes.phash)) == (64, 16)
    assert hashes.is_distinctive
    words, quality = pdq_words(picture(1))
    assert (in_hexadecimal(words), quality) == (hashes.pdq, hashes.pdq_quality)
    assert in_words(hashes.pdq).tolist() == words.tolist()


def test_a_darker_copy_is_near_and_another_picture_is_far() -> None:
    original, _ = pdq_words(picture(1))
    darker, _ = pdq_words((picture(1) * 0.8).astype(np.uint8))
    other, _ = pdq_words(picture(2))
    near, far = distances(original, np.stack([darker, other])).tolist()
    assert near <= 8
    assert far > 80


def test_a_large_image_hashes_as_its_small_copy_does() -> None:
    small, large = picture(3), np.kron(picture(3), np.ones((5, 5, 1), np.uint8))
    assert max(large.shape) > LONGEST_SIDE
    assert distances(pdq_words(small)[0], pdq_words(large)[0][None, :]).tolist()[0] <= 8


@pytest.mark.parametrize("shape", [(1, 1, 3), (3, 500, 3), (900, 1, 3), (300, 300, 3)])
def test_a_flat_image_of_any_shape_is_not_distinctive(shape: tuple[int, int, int]) -> None:
    assert not image_hashes(np.full(shape, 200, np.uint8)).is_distinctive


def test_equal_pixels_give_equal_hashes_whatever_their_memory_order() -> None:
    turned = np.asfortranarray(picture(4))
    assert image_hashes(turned) == image_hashes(picture(4))
