"""An arm of several signals that take turns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from pipelines.labelling.samplers.base import Draw, Pool, Sampler, Selection, check_budget


@dataclass(frozen=True)
class Interleaved:
    """The best of each part in turn; a part that has nothing (left) is passed over."""

    name: str
    parts: Sequence[Sampler]

    def eligible(self, pool: Pool) -> Pool:
        """Events that at least one part can judge."""
        able: set[str] = set()
        for part in self.parts:
            able.update(part.eligible(pool).event_ids)
        return pool.where(np.array([event_id in able for event_id in pool.event_ids], bool))

    def select(self, pool: Pool, budget: int, rng: np.random.Generator) -> Selection:
        """`budget` events with the strategy `name/part`."""
        check_budget(budget, len(self.eligible(pool)), f"pool of the {self.name} arm")
        draws: dict[str, Draw] = {}
        while len(draws) < budget:
            rest = pool.without(draws)
            for draw in self._turns(rest, budget - len(draws), rng):
                if len(draws) < budget:
                    draws.setdefault(draw.event_id, draw)
        return Selection(tuple(draws.values()))

    def _turns(self, rest: Pool, wanted: int, rng: np.random.Generator) -> list[Draw]:
        """Each part's choices of what is left, one after the other, its first ones first."""
        share = -(-wanted // len(self.parts))
        turns: list[tuple[int, int, Draw]] = []
        for place, part in enumerate(self.parts):
            most = min(share, len(part.eligible(rest)))
            for turn, draw in enumerate(part.select(rest, most, rng).draws):
                turns.append((turn, place, draw))
        named = sorted(turns, key=lambda one: one[:2])
        return [replace(draw, strategy=f"{self.name}/{draw.strategy}") for *_, draw in named]
