"""Diversity on frozen embeddings: what the labelled events do not cover yet."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipelines.labelling.samplers.base import Draw, Integers, Pool, Selection, check_budget, chosen
from pipelines.neighbours import central, clusters, farthest_first, nearest

MOST_CLUSTERS = 2000
CLUSTERS_A_TASK = 4  # at most, however much is labelled: enough to find the uncovered among


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
    """The typical event of each cluster that is large for what is labelled in it.

    G. Hacohen, A. Dekel and D. Weinshall, "Active Learning on a Budget: Opposite Strategies Suit
    High and Low Budgets", ICML 2022 (TypiClust). The arm to start with: it needs no model.
    """

    def eligible(self, pool: Pool) -> Pool:
        """Events that have an embedding."""
        return pool.embedded()

    def select(self, pool: Pool, budget: int, rng: np.random.Generator) -> Selection:
        """`budget` events, those of the least covered clusters first."""
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
    """Up to `budget` rows (at least one): the centres of the clusters that are least covered."""
    vectors = able.embeddings
    finer = min(budget + len(able.covered), CLUSTERS_A_TASK * budget)
    size = min(finer, MOST_CLUSTERS, len(vectors))
    centroids, assigned = clusters(vectors, size, int(rng.integers(2**31)))
    events = np.bincount(assigned, minlength=size)
    labelled = np.zeros(size, np.int64)
    if len(able.covered):
        held = nearest(able.covered, centroids, 1)[1][:, 0]
        labelled = np.bincount(held, minlength=size)
    wanted = np.argsort(-events / (1.0 + labelled), kind="stable")[:budget]
    return central(vectors, centroids[wanted])
