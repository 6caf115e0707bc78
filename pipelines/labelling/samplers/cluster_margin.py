"""Cluster-margin: uncertain events that also differ from one another.

G. Citovsky et al., "Batch Active Learning at Scale", NeurIPS 2021, with the clustering by
uncertainty-weighted k-means of F. Zhdanov, "Diverse mini-batch Active Learning" (2019).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.labelling.samplers.base import (
    Draw,
    Integers,
    Pool,
    Selection,
    Vectors,
    check_budget,
)
from pipelines.labelling.samplers.uncertainty import Uncertainty
from pipelines.labelling.samplers.wrappers import OneACampaign
from pipelines.neighbours import central, clusters

CLUSTERS = 1000  # at most, in one clustering; a larger budget is chosen in rounds
FAINTEST = 1e-6  # the weight of an event that the model is sure of: k-means needs some


@dataclass(frozen=True)
class ClusterMargin:
    """Of the `breadth * budget` most uncertain, the most central of `budget` clusters."""

    measure: str = "entropy"
    breadth: int = 5

    def __post_init__(self) -> None:
        if self.breadth < 1:
            raise ValueError(f"breadth {self.breadth} must be 1 or more; 1 is uncertainty alone")

    def eligible(self, pool: Pool) -> Pool:
        """Events that have a score and an embedding."""
        return pool.scored().embedded()

    def select(self, pool: Pool, budget: int, rng: np.random.Generator) -> Selection:
        """`budget` different events, a cluster each, the most uncertain rounds first."""
        able = self.eligible(pool)
        check_budget(budget, len(able), "scored and embedded pool")
        draws: list[Draw] = []
        while len(draws) < budget:
            size = min(CLUSTERS, budget - len(draws))
            some = self._round(able, size, rng)
            draws += [Draw(event_id, "cluster_margin") for event_id in some]
            able = able.without(some)
        return Selection(tuple(draws))

    def _round(self, able: Pool, size: int, rng: np.random.Generator) -> list[str]:
        asked = min(self.breadth * size, len(able))
        ranked = OneACampaign(Uncertainty(self.measure)).select(able, asked, rng)
        candidates = able.where(
            pc.is_in(able.table["event_id"], value_set=pa.array(ranked.event_ids, pa.string()))
        )
        scores = np.clip(candidates.scores, 0.0, 1.0)
        doubt = scores * (1.0 - scores)
        rows = most_central(candidates.embeddings, doubt, size, rng)
        order = np.argsort(-doubt[rows], kind="stable")
        ids: list[str] = candidates.table["event_id"].take(pa.array(rows[order])).to_pylist()
        return ids


def most_central(
    vectors: Vectors, weights: np.ndarray, size: int, rng: np.random.Generator
) -> Integers:
    """int64[size]: the row nearest each centre of weighted k-means, `weights: float64[n]` >= 0."""
    if size == len(vectors):
        return np.arange(size)
    seed = int(rng.integers(2**31))
    centroids, _ = clusters(vectors, size, seed, weights.astype(np.float32) + np.float32(FAINTEST))
    return central(vectors, centroids)
