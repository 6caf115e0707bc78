"""Is a text more like known spam or like known ham? The nearest training texts of each, by meaning.

Cover, Hart 1967, "Nearest Neighbor Pattern Classification". Embeddings are compared along their
DIMENSIONS main directions (Pearson 1901): enough to tell texts apart, and few enough to compare
one text with every training text in a millisecond.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
DIMENSIONS = 96
NEAREST = 5
SCALE = 10.0  # similarities differ by tenths where log-odds differ by whole numbers
MOST = 15_000  # texts of one label that are kept


class Directions(NamedTuple):
    """The `mean` float32[d] of the training texts and their main `axes` float32[d, k]."""

    mean: Array
    axes: Array

    @classmethod
    def of(cls, embeddings: Array) -> Directions:
        """float32[n, d]; labels take no part."""
        mean = embeddings.mean(axis=0)
        centred = (embeddings - mean).astype(np.float64)
        _, vectors = np.linalg.eigh(centred.T @ centred)
        return cls(mean, np.ascontiguousarray(vectors[:, ::-1][:, :DIMENSIONS], np.float32))

    def along(self, embeddings: Array) -> Array:
        """float32[n, k]: unit vectors, whose products are cosines."""
        turned = (embeddings - self.mean) @ self.axes
        lengths = np.linalg.norm(turned, axis=1, keepdims=True)
        return np.asarray(turned / np.maximum(lengths, 1e-9), np.float32)


class Likeness(NamedTuple):
    """The known `ham` and `spam` along the `mean` and `axes` of `Directions`: float32[m, k]."""

    mean: Array
    axes: Array
    ham: Array
    spam: Array

    @classmethod
    def to(
        cls,
        embeddings: Array,
        targets: NDArray[np.int64],
        directions: Directions,
        rng: np.random.Generator,
    ) -> Likeness:
        """To float32[n, d] texts; of more than MOST of a label, as many are drawn."""
        ham, spam = (
            directions.along(embeddings[_drawn(np.flatnonzero(targets == label), rng)])
            for label in (0, 1)
        )
        return cls(*directions, ham, spam)

    def score(self, embedding: Array) -> float:
        """How much nearer spam is than ham, float32[d]; 0 where one of them is not known."""
        return float(self.scores(embedding[None, :])[0])

    def scores(self, embeddings: Array) -> NDArray[np.float64]:
        """`score` of each of float32[n, d], each from its own row alone."""
        if not len(self.ham) or not len(self.spam):
            return np.zeros(len(embeddings))
        placed = Directions(self.mean, self.axes).along(embeddings)
        return np.array([SCALE * (_near(one, self.spam) - _near(one, self.ham)) for one in placed])


def _near(one: Array, known: Array) -> float:
    """The mean cosine of the NEAREST of `known`."""
    cosines = known @ one
    nearest = min(NEAREST, len(cosines))
    return float(np.partition(cosines, -nearest)[-nearest:].mean())


def _drawn(rows: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    return rows if len(rows) <= MOST else np.sort(rng.choice(rows, MOST, replace=False))
