"""What fusion sees of one stage: its columns on one scale, its embedding in a few directions."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
DIRECTIONS = 24
BOUND = 5.0


class TokenView(NamedTuple):
    """`middle` and `inverse` deviation float32[k] of the columns, and `centre` float32[d] and
    `directions` float32[d, p] of the embedding (principal components; Pearson 1901).
    """

    middle: Array
    inverse: Array
    centre: Array
    directions: Array

    @classmethod
    def of(cls, columns: Array, embeddings: Array) -> TokenView:
        """From the rows in which the stage is present: float32[m, k] with NaN, float32[m, d]."""
        known = np.where(np.isfinite(columns), columns, np.nan).astype(np.float64)
        empty = np.isnan(known).all(axis=0)
        known[:, empty] = 0.0
        deviation = np.nanstd(known, axis=0)
        inverse = np.where(deviation > 1e-6, 1.0 / np.maximum(deviation, 1e-6), 0.0)
        centre = embeddings.mean(axis=0, dtype=np.float64)
        return cls(
            np.nanmean(known, axis=0).astype(np.float32),
            inverse.astype(np.float32),
            centre.astype(np.float32),
            _principal(embeddings - centre),
        )

    @property
    def width(self) -> int:
        return len(self.middle) + int(self.directions.shape[1])

    def apply(self, columns: Array, embeddings: Array) -> Array:
        """float32[m, width]; an unknown column is at its middle, 0."""
        scaled = np.nan_to_num((columns - self.middle) * self.inverse, nan=0.0)
        projected = (embeddings - self.centre) @ self.directions
        both = np.concatenate([scaled, projected], axis=1)
        return np.asarray(np.clip(both, -BOUND, BOUND), np.float32)


def _principal(centred: NDArray[np.float64]) -> Array:
    """Directions float32[d, p], each scaled to unit deviation; the sign is fixed."""
    if centred.shape[1] == 0:
        return np.zeros((0, 0), np.float32)
    covariance = centred.T @ centred / len(centred)
    values, vectors = np.linalg.eigh(covariance)
    kept = np.argsort(values)[::-1][: min(DIRECTIONS, len(values))]
    chosen = vectors[:, kept]
    chosen = chosen * np.sign(chosen[np.abs(chosen).argmax(axis=0), np.arange(len(kept))])
    return np.asarray(chosen / np.sqrt(np.maximum(values[kept], 1e-6)), np.float32)
