"""Uncertainty sampling: the events that the model is least sure about.

D. D. Lewis and W. A. Gale, "A Sequential Algorithm for Training Text Classifiers", SIGIR 1994;
measures as in B. Settles, "Active Learning Literature Survey", TR 1648, Wisconsin (2009), §3.1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipelines.labelling.samplers.base import Draw, Pool, Selection, check_budget

Scores = NDArray[np.float64]
DECIMALS = 9  # scores have six: beyond this, a difference is rounding and counts as a tie


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


@dataclass(frozen=True)
class Uncertainty:
    """The most uncertain scored events first; ties fall by the rng, not by name or place."""

    measure: str

    def __post_init__(self) -> None:
        if self.measure not in MEASURES:
            raise ValueError(f"measure {self.measure!r} is none of {', '.join(MEASURES)}")

    def select(self, pool: Pool, budget: int, rng: np.random.Generator) -> Selection:
        """`budget` events of those with a score; ValueError where there are fewer."""
        scored = pool.scored()
        check_budget(budget, len(scored), "scored pool")
        uncertainty = MEASURES[self.measure](scored.scores, scored.threshold)
        order = np.lexsort((rng.permutation(len(scored)), -np.round(uncertainty, DECIMALS)))
        ids = scored.event_ids
        return Selection(tuple(Draw(ids[row], self.measure) for row in order[:budget]))
