"""What has company today but had none before: the texts of a campaign that just began.

A campaign's texts need not be copies. A key that near-duplicates share is too fine for them
(each paraphrase is a campaign of one), so neighbourhoods are compared: as many texts resemble
this one today as did before, or more? Nearest neighbours as a two-sample test: M. F. Schilling,
"Multivariate Two-Sample Tests Based on Nearest Neighbors", JASA 81 (1986).
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipelines.labelling.samplers.base import Vectors, stacked
from pipelines.neighbours import nearest

NEIGHBOURS = 5  # others like it today that make a company


def emergence(now: Vectors, past: Vectors, neighbours: int = NEIGHBOURS) -> NDArray[np.float64]:
    """float64[n]: how much closer today's neighbours are than those of the reference days.

    `now: float32[n, d]` and `past: float32[m, d]` are unit vectors. It is the mean cosine to the
    nearest `neighbours` others of today, less that to the nearest `neighbours * m / n` of the
    past: the same share of each, so that a longer window is not denser. About 0 where today is
    as before. Costs n * (n + m) comparisons: of a large day, measure a uniform part.

    >>> past = np.array([[1, 0], [1, 0], [1, 0]], np.float32)
    >>> emergence(np.array([[0, 1], [0, 1], [1, 0]], np.float32), past, neighbours=1).tolist()
    [1.0, 1.0, -1.0]
    """
    if neighbours < 1:
        raise ValueError(f"neighbours {neighbours} must be 1 or more")
    if not len(past) or len(now) < 2:
        return np.full(len(now), np.nan)
    company = min(neighbours, len(now) - 1)
    before = min(max(1, round(company * len(past) / len(now))), len(past))
    today = nearest(now, now, company + 1)[0].astype(np.float64)
    # the nearest is the text itself, or a copy of it, whose cosine is the same
    earlier = nearest(now, past, before)[0].astype(np.float64)
    difference: NDArray[np.float64] = today[:, 1:].mean(axis=1) - earlier.mean(axis=1)
    return difference


def emergence_column(embeddings: pa.ChunkedArray, past: Vectors) -> pa.Array:
    """float64[n] for lists of float32; null where an event has no embedding or there is no past."""
    known = pc.is_valid(embeddings).to_numpy()
    values = np.full(len(embeddings), np.nan)
    if known.any() and len(past):
        values[known] = emergence(stacked(embeddings.drop_null()), past)
    return pa.array(values, pa.float64(), mask=np.isnan(values))
