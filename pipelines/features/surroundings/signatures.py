"""The MinHash signature of one text, as machine code: the same as `near_duplicates.signature`.

That one is written for many texts at a time; a verdict asks for one, where the arrays between its
steps cost more than the hashes.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from pipelines.kernels import kernel
from pipelines.near_duplicates import (
    BAND_ROWS,
    BANDS,
    MAX_SHINGLES,
    SHINGLE_CHARACTERS,
    Shingles,
    permutations,
)

_CODES = "Array(uint32, 1, 'C', readonly=True)"


def signature(text: str) -> Shingles | None:
    """uint64[BANDS, BAND_ROWS] of a normalised text; None of an empty one."""
    if not text:
        return None
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
    hashes = _hashed(codes, SHINGLE_CHARACTERS)
    if len(hashes) > MAX_SHINGLES:
        hashes = np.unique(hashes)[:MAX_SHINGLES]
    return _least(hashes, *_in_rows()).reshape(BANDS, BAND_ROWS)


@cache
def _in_rows() -> tuple[Shingles, Shingles]:
    factors, offsets = permutations()
    return factors.ravel(), offsets.ravel()


@kernel("uint64(uint64)")
def _mixed(value: np.uint64) -> np.uint64:
    """The finaliser of MurmurHash3, as `near_duplicates` applies it."""
    for _ in range(2):
        value = (value ^ (value >> np.uint64(33))) * np.uint64(0xFF51AFD7ED558CCD)
    return value ^ (value >> np.uint64(33))


@kernel(f"uint64[::1]({_CODES}, int64)")
def _hashed(codes: NDArray[np.uint32], width: int) -> Shingles:
    """One hash for every run of `width` characters, or for a shorter text as it is."""
    width = min(width, len(codes))
    hashes = np.empty(len(codes) - width + 1, np.uint64)
    for at in range(len(hashes)):
        hashed = np.uint64(0)
        for offset in range(width):
            hashed = hashed * np.uint64(0x100000001B3) + np.uint64(codes[at + offset])
        hashes[at] = _mixed(hashed)
    return hashes


@kernel("uint64[::1](uint64[::1], uint64[::1], uint64[::1])")
def _least(hashes: Shingles, factors: Shingles, offsets: Shingles) -> Shingles:
    """The least of the hashes under each permutation."""
    least = np.full(len(factors), np.uint64(0xFFFFFFFFFFFFFFFF))
    for hashed in hashes:
        for row in range(len(factors)):
            found = _mixed(factors[row] * hashed + offsets[row])
            least[row] = min(least[row], found)
    return least
