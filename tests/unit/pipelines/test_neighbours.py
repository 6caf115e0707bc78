"""Neighbours, clusters and groups on vectors worked by hand."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from pipelines.neighbours import clusters, farthest_first, near_duplicate_groups, nearest

Vectors = NDArray[np.float32]
CROSS = np.array([[1, 0], [0, 1], [-1, 0], [0, -1]], dtype=np.float32)


def unit(rows: int, width: int = 16, seed: int = 5) -> Vectors:
    drawn = np.random.default_rng(seed).standard_normal((rows, width)).astype(np.float32)
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


def at(*degrees: float) -> Vectors:
    angles = np.radians(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def test_neighbours_come_by_falling_similarity() -> None:
    similarities, rows = nearest(at(10), at(0, 30, 90), 3)
    assert rows.tolist() == [[0, 1, 2]]
    assert similarities[0] == pytest.approx(np.cos(np.radians([10, 20, 80])), abs=1e-6)


def test_neighbours_are_exact() -> None:
    vectors = unit(300)
    _, rows = nearest(vectors[:40], vectors, 5)
    expected = np.argsort(-(vectors[:40] @ vectors.T), axis=1)[:, :5]
    assert (rows == expected).all()


def test_more_neighbours_than_vectors_or_another_width_are_refused() -> None:
    with pytest.raises(ValueError, match="k 5 is outside 1 to 4"):
        nearest(CROSS, CROSS, 5)
    with pytest.raises(ValueError, match="width 16, the base 2"):
        nearest(unit(1), CROSS, 1)
    with pytest.raises(ValueError, match="must be finite"):
        nearest(np.full((1, 2), np.nan, dtype=np.float32), CROSS, 1)


def test_clusters_find_two_directions() -> None:
    centroids, assignment = clusters(at(1, 2, 3, 91, 92, 93), 2, rng_seed=1)
    assert assignment[:3].tolist() == [assignment[0]] * 3
    assert assignment[3:].tolist() == [1 - assignment[0]] * 3
    assert centroids[assignment[0]] == pytest.approx(at(2)[0], abs=1e-4)


def test_the_same_seed_gives_the_same_clusters() -> None:
    vectors = unit(3000)
    one, other = (clusters(vectors, 40, rng_seed=9) for _ in range(2))
    assert (one[0] == other[0]).all()
    assert (one[1] == other[1]).all()


def test_near_duplicates_are_joined_through_a_chain_and_numbered_by_first_appearance() -> None:
    vectors = at(90, 0, 8, 200, 16)  # 8 degrees apart: cosine 0.990; 16: 0.961
    assert near_duplicate_groups(vectors, 0.98).tolist() == [0, 1, 1, 2, 1]
    assert near_duplicate_groups(vectors, 0.995).tolist() == [0, 1, 2, 3, 4]


def test_groups_are_the_same_in_any_order_and_across_blocks() -> None:
    centres = unit(60, seed=1)
    noise = np.random.default_rng(2).standard_normal((1500, 16)).astype(np.float32)
    members = np.random.default_rng(3).integers(0, 60, 1500)
    vectors = centres[members] + 0.02 * noise
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    found = near_duplicate_groups(vectors, 0.97)
    assert len(set(zip(found.tolist(), members.tolist(), strict=True))) == len(set(members))
    assert len(set(found.tolist())) == len(set(members.tolist()))
    order = np.random.default_rng(4).permutation(1500)
    again = near_duplicate_groups(vectors[order], 0.97)
    pairs = set(zip(found[order].tolist(), again.tolist(), strict=True))
    assert len(pairs) == len(set(found.tolist()))


def test_the_farthest_comes_first_and_equal_vectors_come_once_each() -> None:
    line = np.array([[0], [1], [10], [4]], dtype=np.float32)
    assert farthest_first(line, 4, start=0).tolist() == [0, 2, 3, 1]
    equal = np.ones((3, 2), dtype=np.float32)
    assert sorted(farthest_first(equal, 3, start=1).tolist()) == [0, 1, 2]
    assert farthest_first(line, 0).tolist() == []


def test_what_is_covered_already_is_chosen_last() -> None:
    line = np.array([[0], [1], [10], [4]], dtype=np.float32)
    covered = np.array([[10]], dtype=np.float32)
    assert farthest_first(line, 3, covered=covered).tolist() == [0, 3, 1]


def test_a_budget_or_start_beyond_the_vectors_is_refused() -> None:
    with pytest.raises(ValueError, match="k 5 or start 0"):
        farthest_first(CROSS, 5)
    with pytest.raises(ValueError, match="start 4"):
        farthest_first(CROSS, 1, start=4)
