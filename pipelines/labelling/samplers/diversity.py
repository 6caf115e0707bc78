"""Diversity on frozen embeddings: what the labelled events do not cover yet."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipelines.labelling.samplers.base import Draw, Integers, Pool, Selection, check_budget, chosen
from pipelines.neighbours import central, clusters, farthest_first, nearest

MOST_CLUSTERS = 2000


@dataclass(frozen=True)
class KCentre:
    """Each event the farthest from all that are labelled or chosen: greedy core-set.

    O. Sener and S. Savarese, "Active Learning for Convolutional Neural Networks: A Core-Set
    Approach", ICLR 2018. It seeks the odd ones: wanted against blind spots, not for a start.
    """

    def eligible(self, pool: Pool) -> Pool:
        """Events that have an embedding."""
        return pool.embedded()

    def select(self, pool: Pool, budget: int, rng: np.random.Generator) -> Selection:
        """`budget` events, the farthest first; without labels it starts at random."""
        able = self.eligible(pool)
        check_budget(budget, len(able), "embedded pool")
        if not budget:
            return Selection(())
        start = int(rng.integers(len(able)))
        covered = able.covered if len(able.covered) else None
        return chosen(able, farthest_first(able.embeddings, budget, start, covered), "k_centre")


@dataclass(frozen=True)
class Representatives:
    """The typical event of each large cluster that holds nothing labelled yet.

    G. Hacohen, A. Dekel and D. Weinshall, "Active Learning on a Budget: Opposite Strategies Suit
    High and Low Budgets", ICML 2022 (TypiClust). The arm to start with: it needs no model.
    """

    def eligible(self, pool: Pool) -> Pool:
        """Events that have an embedding."""
        return pool.embedded()

    def select(self, pool: Pool, budget: int, rng: np.random.Generator) -> Selection:
        """`budget` events, those of the largest clusters first."""
        able = self.eligible(pool)
        check_budget(budget, len(able), "embedded pool")
        picked: list[Draw] = []
        while len(picked) < budget:
            rows = _typical(able, budget - len(picked), rng)
            some = chosen(able, rows, "representatives")
            able = able.covering(able.embeddings[rows]).without(some.event_ids)
            picked += some.draws
        return Selection(tuple(picked))


def _typical(able: Pool, budget: int, rng: np.random.Generator) -> Integers:
    """Up to `budget` rows (at least one): the centres of the largest uncovered clusters."""
    vectors = able.embeddings
    size = min(budget + len(able.covered), MOST_CLUSTERS, len(vectors))
    centroids, assigned = clusters(vectors, size, int(rng.integers(2**31)))
    counts = np.bincount(assigned, minlength=size)
    if len(able.covered):
        counts[nearest(able.covered, centroids, 1)[1][:, 0]] = 0
    largest = np.argsort(-counts, kind="stable")
    wanted = largest[: max(1, min(budget, int((counts > 0).sum())))]
    return central(vectors, centroids[wanted])
