"""The audit arm: a uniform draw, so that precision and recall stay measurable.

Each event has the same chance n/N, kept with its label; weighting by its inverse makes totals
unbiased. D. G. Horvitz and D. J. Thompson, "A Generalization of Sampling Without Replacement
from a Finite Universe", JASA 47 (1952).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from pipelines.labelling.samplers.base import Draw, Pool, Selection, check_budget

ORDER = "audit_order"


@dataclass(frozen=True)
class Audit:
    """Uniform without replacement over the whole pool, scored or not.

    Where the pool has an `audit_order` (a uniform number for each event) the lowest are drawn:
    the same events from a shortlist as from all, on every engine. Else the rng draws.
    """

    def eligible(self, pool: Pool) -> Pool:
        """All of it."""
        return pool

    def select(self, pool: Pool, budget: int, rng: np.random.Generator) -> Selection:
        """`budget` events in the order drawn, each with inclusion probability budget / N."""
        check_budget(budget, len(pool))
        if budget == 0:
            return Selection(())
        chance = budget / (pool.population or len(pool))
        ids = _drawn(pool, budget, rng)
        return Selection(tuple(Draw(event_id, "audit", chance) for event_id in ids))


def _drawn(pool: Pool, budget: int, rng: np.random.Generator) -> list[str]:
    ids: pa.ChunkedArray = pool.table["event_id"]
    if ORDER in pool.table.column_names:
        keys = [(ORDER, "ascending"), ("event_id", "ascending")]
        lowest = pool.table.select([ORDER, "event_id"]).sort_by(keys)
        first: list[str] = lowest["event_id"].slice(0, budget).to_pylist()
        return first
    if pool.population not in (None, len(pool)):
        raise ValueError(
            f"pool has {len(pool)} of {pool.population} events and no {ORDER}: no draw from it is "
            "uniform over all; make it with pipelines.labelling.shortlist"
        )
    drawn: list[str] = ids.take(
        pa.array(rng.choice(len(pool), size=budget, replace=False))
    ).to_pylist()
    return drawn
