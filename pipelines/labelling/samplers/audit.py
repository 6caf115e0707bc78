"""The audit arm: a uniform draw, so that precision and recall stay measurable.

Each event has the same chance n/N, kept with its label; weighting by its inverse makes totals
unbiased. D. G. Horvitz and D. J. Thompson, "A Generalization of Sampling Without Replacement
from a Finite Universe", JASA 47 (1952).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipelines.labelling.samplers.base import Draw, Pool, Selection, check_budget


@dataclass(frozen=True)
class Audit:
    """Uniform without replacement over the whole pool, scored or not."""

    def select(self, pool: Pool, budget: int, rng: np.random.Generator) -> Selection:
        """`budget` events in the order drawn, each with inclusion probability budget / pool."""
        check_budget(budget, len(pool))
        if budget == 0:
            return Selection(())
        ids = pool.event_ids
        drawn = rng.choice(len(pool), size=budget, replace=False)
        return Selection(tuple(Draw(ids[row], "audit", budget / len(pool)) for row in drawn))
