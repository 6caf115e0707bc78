"""Texts as short fingerprints: a model can say what it was trained on without keeping a word of it.

A fingerprint is the lowest byte of each hash of a text's MinHash signature: b-bit minwise hashing
(Li, Koenig 2010), whose share of equal bytes estimates the similarity of two texts.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipelines.near_duplicates import BAND_ROWS, BANDS, normalised, signature

Fingerprints = NDArray[np.uint8]
BYTES = BANDS * BAND_ROWS
ALIKE = 0.75  # of the bytes: at a true similarity of 0.7, chance moves the share by 0.06


def fingerprints(texts: Sequence[str]) -> Fingerprints:
    """uint8[m, BYTES]: the distinct fingerprints of the texts, sorted; an empty text has none.

    >>> fingerprints(["Win 100 pounds now!", "win 250  POUNDS now!", ""]).shape
    (1, 64)
    """
    found = [one for one in map(_fingerprint, texts) if one is not None]
    if not found:
        return np.zeros((0, BYTES), np.uint8)
    return np.unique(np.stack(found), axis=0)


def resemble(texts: Sequence[str], known: Fingerprints) -> NDArray[np.bool_]:
    """bool[n]: the texts that are near-duplicates of one of `known`."""
    found = np.zeros(len(texts), dtype=bool)
    for at, text in enumerate(texts):
        one = _fingerprint(text)
        if one is not None and len(known):
            found[at] = np.count_nonzero(known == one, axis=1).max() >= ALIKE * BYTES
    return found


def _fingerprint(text: str) -> Fingerprints | None:
    found = signature(normalised(text))
    return None if found is None else (found.reshape(-1) & np.uint64(0xFF)).astype(np.uint8)
