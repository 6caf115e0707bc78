"""What fusion sees of one stage: its columns on one scale, its embedding in a few directions."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipelines.kernels import kernel

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
        """float32[m, width], each row by itself; an unknown column is at its middle, 0."""
        rows = _own(columns), _own(embeddings)
        seen: Array = _seen(*rows, *(np.ascontiguousarray(part) for part in self))
        return seen


def _own(rows: Array) -> Array:
    """As compiled code takes arrays: contiguous and not read-only."""
    if rows.flags.carray and rows.dtype == np.float32:
        return rows
    return np.require(rows, np.float32, ("C", "W"))


def _principal(centred: NDArray[np.float64]) -> Array:
    """Directions float32[d, p], each scaled to unit deviation; the sign is fixed."""
    if centred.shape[1] == 0:
        return np.zeros((0, 0), np.float32)
    covariance = centred.T @ centred / len(centred)
    values, vectors = np.linalg.eigh(covariance)
    kept = np.argsort(values)[::-1][: min(DIRECTIONS, len(values))]
    chosen = vectors[:, kept]
    chosen = chosen * np.sign(chosen[np.abs(chosen).argmax(axis=0), np.arange(len(kept))])
    scaled = chosen / np.sqrt(np.maximum(values[kept], 1e-6))
    return np.ascontiguousarray(scaled, np.float32)


@kernel(
    "float32[:, ::1](float32[:, ::1], float32[:, ::1], float32[::1], float32[::1], float32[::1],"
    " float32[:, ::1])"
)
def _seen(
    columns: Array, embeddings: Array, middle: Array, inverse: Array, centre: Array,
    directions: Array,
) -> Array:  # fmt: skip
    known, bound = len(middle), np.float32(BOUND)
    seen = np.zeros((len(columns), known + directions.shape[1]), np.float32)
    for row in range(len(seen)):
        for at in range(known):
            scaled = (columns[row, at] - middle[at]) * inverse[at]
            seen[row, at] = 0.0 if np.isnan(scaled) else scaled
        projected = seen[row, known:]
        for at in range(len(directions)):
            away = embeddings[row, at] - centre[at]
            for direction in range(len(projected)):
                projected[direction] += away * directions[at, direction]
        for at in range(seen.shape[1]):
            seen[row, at] = min(max(seen[row, at], -bound), bound)
    return seen
