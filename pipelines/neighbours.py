"""The door to faiss: exact neighbours and clusters of vectors in memory, the same every time.

Similarities are inner products, which for unit vectors are cosines. J. Johnson et al.,
"Billion-scale similarity search with GPUs", IEEE Transactions on Big Data 7 (2021).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

Vectors = NDArray[np.float32]
Integers = NDArray[np.int64]

THREADS = 1  # fixed, since how BLAS divides its sums shows in their last bits; and on busy cores
# threads wait for each other: two took 4 times as long as one beside other work
ITERATIONS = 20
MOST_SPREAD = 5_000_000  # vectors times clusters: beyond, k-means++ costs more than it brings
NEAR = 16  # vectors among which a centroid looks for one that is free
BLOCK = 512  # vectors compared with all others at a time: memory grows as BLOCK * n, not n * n


def nearest(queries: Vectors, base: Vectors, k: int) -> tuple[Vectors, Integers]:
    """The k most similar rows of `base` for each query, the most similar first.

    queries: float32[m, d], base: float32[n, d]; gives similarities float32[m, k] and rows
    int64[m, k]. ValueError where k exceeds n or widths differ.

    >>> base = np.array([[1, 0], [0, 1], [0.6, 0.8]], dtype=np.float32)
    >>> nearest(base[:1], base, 2)[1].tolist()
    [[0, 2]]
    """
    queries, base = _vectors(queries), _vectors(base)
    if not 1 <= k <= len(base):
        raise ValueError(f"k {k} is outside 1 to {len(base)}, the vectors to search; lower k")
    if queries.shape[1] != base.shape[1]:
        raise ValueError(f"queries have width {queries.shape[1]}, the base {base.shape[1]}")
    similarities, rows = _index(base).search(queries, k)
    return similarities, rows


def clusters(
    vectors: Vectors, k: int, rng_seed: int, weights: Vectors | None = None
) -> tuple[Vectors, Integers]:
    """Spherical k-means: unit centroids float32[k, d] and the centroid of each vector, int64[n].

    `weights: float32[n]` (None: all equal) say how much each vector draws its centroid. Small
    problems start from k-means++ (D. Arthur and S. Vassilvitskii, SODA 2007), large from a sample.

    I. S. Dhillon and D. S. Modha, "Concept Decompositions for Large Sparse Text Data Using
    Clustering", Machine Learning 42 (2001).
    """
    vectors = _vectors(vectors)
    if not 1 <= k <= len(vectors):
        raise ValueError(f"k {k} is outside 1 to {len(vectors)}, the vectors to cluster; lower k")
    means = _faiss().Kmeans(
        vectors.shape[1], k, niter=ITERATIONS, seed=rng_seed, spherical=True,
        min_points_per_centroid=1, max_points_per_centroid=len(vectors),
    )  # fmt: skip
    means.train(vectors, weights, _spread(vectors, k, rng_seed, weights))
    centroids: Vectors = means.centroids
    return centroids, nearest(vectors, centroids, 1)[1][:, 0]


def _spread(vectors: Vectors, k: int, rng_seed: int, weights: Vectors | None) -> Vectors | None:
    if len(vectors) * k > MOST_SPREAD:
        return None
    from sklearn.cluster import kmeans_plusplus

    centres, _ = kmeans_plusplus(vectors, k, sample_weight=weights, random_state=rng_seed)
    return np.ascontiguousarray(centres, np.float32)


def central(vectors: Vectors, centroids: Vectors) -> Integers:
    """int64[k]: for each centroid the nearest vector that no earlier one took; k <= n.

    >>> vectors = np.array([[1, 0], [0.8, 0.6], [0, 1]], dtype=np.float32)
    >>> central(vectors, np.array([[1, 0], [1, 0]], dtype=np.float32)).tolist()
    [0, 1]
    """
    _, near = nearest(centroids, vectors, min(NEAR, len(vectors)))
    free = np.ones(len(vectors), bool)
    rows = np.empty(len(centroids), np.int64)
    for place, options in enumerate(near):
        left = options[free[options]]
        rows[place] = left[0] if len(left) else _nearest_of(vectors, free, centroids[place])
        free[rows[place]] = False
    return rows


def distinct(
    vectors: Vectors, similarity: float, k: int, covered: Vectors | None = None
) -> Integers:
    """int64[<= k]: the first rows, in order, none of them `similarity` to an earlier one taken.

    `covered: float32[m, d]` counts as taken. Leader clustering (Hartigan, "Clustering Algorithms",
    1975, chapter 3).
    """
    vectors = _vectors(vectors)
    free = np.ones(len(vectors), bool)
    if covered is not None and len(covered):
        free = nearest(vectors, covered, 1)[0][:, 0] < similarity
    taken: list[int] = []
    with threadpool_limits(THREADS):
        for row in range(len(vectors)):
            if len(taken) == k:
                break
            if free[row]:
                taken.append(row)
                free[row:] &= vectors[row:] @ vectors[row] < similarity
    return np.array(taken, np.int64)


def near_duplicate_groups(vectors: Vectors, similarity: float) -> Integers:
    """int64[n]: the group of each vector, numbered by first appearance.

    Two vectors are in one group where a chain of vectors joins them, each at least `similarity`
    to the next: the connected components of the exact graph.

    >>> near_duplicate_groups(np.array([[1, 0], [0, 1], [1, 0]], dtype=np.float32), 0.9).tolist()
    [0, 1, 0]
    """
    vectors = _vectors(vectors)
    count = len(vectors)
    group: Integers = np.arange(count)  # of each vector: the first member known of its group
    edges = np.empty((2, 0), dtype=np.int64)
    for start in range(0, count, BLOCK):
        close = vectors[start : start + BLOCK] @ vectors[start:].T >= np.float32(similarity)
        ends = np.stack(np.divmod(np.flatnonzero(close), count - start)) + start
        edges = np.concatenate([edges, ends[:, ends[0] < ends[1]]], axis=1)
        if edges.shape[1] > count:  # merged as they come, so that a large group costs no n * n
            group, edges = _merged(group, edges), edges[:, :0]
    return np.unique(_merged(group, edges), return_inverse=True)[1].astype(np.int64)


def _merged(group: Integers, edges: Integers) -> Integers:
    """The groups once `edges: int64[2, e]` join theirs; each again named by its first member."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    ends = np.concatenate([np.stack([np.arange(len(group)), group]), edges], axis=1)
    graph = coo_array((np.ones(ends.shape[1], dtype=bool), tuple(ends)), shape=(len(group),) * 2)
    numbers = connected_components(graph, directed=False)[1]
    first = np.unique(numbers, return_index=True)[1]
    merged: Integers = first[numbers]
    return merged


def farthest_first(
    vectors: Vectors, k: int, start: int = 0, covered: Vectors | None = None
) -> Integers:
    """int64[k]: rows that cover the vectors, each the farthest from those before it.

    Greedy k-centre, within twice the best radius: T. F. Gonzalez, "Clustering to Minimize the
    Maximum Intercluster Distance", TCS 38 (1985); for labelling O. Sener and S. Savarese, "Active
    Learning for Convolutional Neural Networks: A Core-Set Approach", ICLR 2018. `covered`
    (float32[m, d], for example what is labelled) already covers; without it row `start` is first.
    """
    vectors = _vectors(vectors)
    if not 0 <= k <= len(vectors) or not 0 <= start < len(vectors):
        raise ValueError(
            f"k {k} or start {start} is beyond the {len(vectors)} vectors to choose of"
        )
    lengths = np.einsum("nd,nd->n", vectors, vectors)
    distances = np.full(len(vectors), np.inf, dtype=np.float32)
    chosen = np.empty(k, dtype=np.int64)
    first: int | None = start
    if covered is not None and len(covered):
        distances, first = _squared_distances(vectors, _vectors(covered)), None
    for place in range(k):
        row = int(distances.argmax()) if first is None else first
        to_row = np.maximum(lengths + lengths[row] - 2.0 * (vectors @ vectors[row]), 0.0)
        distances = np.minimum(distances, to_row)
        distances[row] = -1.0  # never twice, even among equal vectors
        chosen[place], first = row, None
    return chosen


def _nearest_of(vectors: Vectors, free: NDArray[np.bool_], centroid: Vectors) -> int:
    rows = np.flatnonzero(free)
    return int(rows[(vectors[rows] @ centroid).argmax()])


def _squared_distances(vectors: Vectors, base: Vectors) -> Vectors:
    """float32[n]: from each vector to the nearest of `base`."""
    index = _faiss().IndexFlatL2(base.shape[1])
    index.add(base)
    distances: Vectors = index.search(vectors, 1)[0][:, 0]
    return distances


def _vectors(values: Vectors) -> Vectors:
    if values.ndim != 2 or not np.isfinite(values).all():
        raise ValueError(f"vectors of shape {values.shape} must be finite and have two axes")
    return np.ascontiguousarray(values, dtype=np.float32)


def _index(base: Vectors) -> Any:
    index = _faiss().IndexFlatIP(base.shape[1])
    index.add(base)
    return index


def _faiss() -> Any:
    import faiss

    faiss.omp_set_num_threads(THREADS)
    return faiss
