"""Uncertainty sampling: the events that the model is least sure about.

D. D. Lewis and W. A. Gale, "A Sequential Algorithm for Training Text Classifiers", SIGIR 1994;
measures as in B. Settles, "Active Learning Literature Survey", TR 1648, Wisconsin (2009), §3.1.
Disagreement of the ensemble's members: H. S. Seung, M. Opper and H. Sompolinsky, "Query by
Committee", COLT 1992; its column is made by `pipelines.labelling.selection_features`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipelines.labelling.samplers.base import Pool, Selection, best_first, check_budget, chosen
from pipelines.labelling.samplers.ranked import Ranked

Scores = NDArray[np.float64]


def margin(scores: Scores, threshold: float) -> Scores:
    """Closeness to the operating threshold, in [-1, 0]: where a label can move a decision."""
    return -np.abs(scores - threshold)


def least_confidence(scores: Scores, _threshold: float) -> Scores:
    """One less the probability of the likelier class, in [0, 0.5]."""
    return 1.0 - np.maximum(scores, 1.0 - scores)


def entropy(scores: Scores, _threshold: float) -> Scores:
    """Shannon entropy in bits. With two classes it ranks as least confidence does.

    >>> entropy(np.array([0.5, 1.0]), 0.5).tolist()
    [1.0, 0.0]
    """
    both = np.stack([scores, 1.0 - scores])
    logs = np.log2(both, out=np.zeros_like(both), where=both > 0.0)  # 0 log 0 = 0
    return np.asarray(np.abs((both * logs).sum(axis=0)))


MEASURES: Mapping[str, Callable[[Scores, float], Scores]] = {
    "margin": margin,
    "least_confidence": least_confidence,
    "entropy": entropy,
}
DISAGREEMENT = Ranked("disagreement", "disagreement")


@dataclass(frozen=True)
class Uncertainty:
    """The most uncertain scored events first."""

    measure: str

    def __post_init__(self) -> None:
        if self.measure not in MEASURES:
            raise ValueError(f"measure {self.measure!r} is none of {', '.join(MEASURES)}")

    def eligible(self, pool: Pool) -> Pool:
        """Events that a model has scored."""
        return pool.scored()

    def select(self, pool: Pool, budget: int, rng: np.random.Generator) -> Selection:
        """`budget` events of those with a score; ValueError where there are fewer."""
        scored = self.eligible(pool)
        check_budget(budget, len(scored), "scored pool")
        uncertainty = MEASURES[self.measure](scored.scores, scored.threshold)
        return chosen(scored, best_first(uncertainty, rng)[:budget], self.measure)
