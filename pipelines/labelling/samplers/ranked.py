"""Arms that ask about the events with the most of one measured feature."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipelines.labelling.samplers.base import Pool, Selection, best_first, check_budget, chosen


@dataclass(frozen=True)
class Ranked:
    """The highest values of the pool's `column` first; events without a value are passed over."""

    strategy: str
    column: str

    def eligible(self, pool: Pool) -> Pool:
        """Events that have the feature."""
        return pool.having(self.column)

    def select(self, pool: Pool, budget: int, rng: np.random.Generator) -> Selection:
        """`budget` events of those that have the feature."""
        able = self.eligible(pool)
        check_budget(budget, len(able), f"pool with {self.column}")
        return chosen(able, best_first(able.column(self.column), rng)[:budget], self.strategy)
