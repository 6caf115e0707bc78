"""Wrappers that any sampler can wear: one task a campaign, quotas by slice, a part of the pool."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.labelling.samplers.audit import ORDER
from pipelines.labelling.samplers.base import (
    Draw,
    Integers,
    Pool,
    Sampler,
    Selection,
    check_budget,
    stacked,
)
from pipelines.neighbours import distinct

NEAR_DUPLICATE = 0.95  # cosine on the frozen encoder: texts that differ in a number or a name
ASKED = 4  # times as many as wanted, so that enough remain without the repeats


@dataclass(frozen=True)
class OneACampaign:
    """One task a campaign, not a thousand: near-duplicates of what is chosen wait.

    What resembles the pool's `covered` waits, too. Only where the sampler has nothing else left
    do repeats fill the budget. Events without an embedding resemble nothing.
    """

    sampler: Sampler
    similarity: float = NEAR_DUPLICATE

    def __post_init__(self) -> None:
        if not 0.0 < self.similarity <= 1.0:
            raise ValueError(f"similarity {self.similarity} is outside (0, 1]; 1 is a copy")

    def eligible(self, pool: Pool) -> Pool:
        """What the sampler itself can judge."""
        return self.sampler.eligible(pool)

    def select(self, pool: Pool, budget: int, rng: np.random.Generator) -> Selection:
        """`budget` events in the sampler's order, repeats last."""
        able = self.eligible(pool)
        check_budget(budget, len(able), "eligible pool")
        asked = min(ASKED * budget, len(able))
        ranked, first = self._asked(able, asked, budget, rng)
        while len(first) < budget and asked < len(able):
            asked = min(ASKED * asked, len(able))
            ranked, first = self._asked(able, asked, budget, rng)
        taken = {draw.event_id for draw in first}
        repeats = [draw for draw in ranked if draw.event_id not in taken]
        return Selection((*first, *repeats[: budget - len(first)]))

    def _asked(
        self, able: Pool, asked: int, budget: int, rng: np.random.Generator
    ) -> tuple[Sequence[Draw], list[Draw]]:
        """The sampler's first `asked`, and which of them differ; a copy of the rng, so that asking
        for more begins with the same."""
        ranked = self.sampler.select(able, asked, copy.deepcopy(rng)).draws
        return ranked, self._different(able, ranked, budget)

    def _different(self, able: Pool, ranked: Sequence[Draw], budget: int) -> list[Draw]:
        lists = able.table["embedding"].take(_rows(able, ranked)) if _embeds(able) else None
        if lists is None or lists.null_count == len(lists):
            return list(ranked[:budget])
        known = np.flatnonzero(pc.is_valid(lists).to_numpy())
        covered = able.covered if len(able.covered) else None
        vectors = stacked(lists.drop_null())
        kept = known[distinct(vectors, self.similarity, budget, covered)]
        bare = np.setdiff1d(np.arange(len(ranked)), known)
        return [ranked[row] for row in np.union1d(kept, bare)[:budget]]


@dataclass(frozen=True)
class Balanced:
    """Quotas by a column (language, a slice, a predicted class), so that none is forgotten.

    A group of n events gets a share that grows with sqrt(n), and at least one: between equal
    shares, which spend on trifles, and proportional ones, which hide small languages (the
    square-root allocation of M. D. Bankier, JASA 83, 1988).
    """

    sampler: Sampler
    by: str

    def eligible(self, pool: Pool) -> Pool:
        """What the sampler itself can judge."""
        return self.sampler.eligible(pool)

    def select(self, pool: Pool, budget: int, rng: np.random.Generator) -> Selection:
        """`budget` events, the groups' first choices first."""
        able = self.eligible(pool)
        check_budget(budget, len(able), "eligible pool")
        if self.by not in able.table.column_names or not budget:
            return self.sampler.select(able, budget, rng)
        column = pc.fill_null(able.table[self.by].cast(pa.string()), "")
        names = sorted(pc.unique(column).to_pylist())
        groups = [able.where(pc.equal(column, name)) for name in names]
        quotas = square_root_quotas([len(group) for group in groups], budget)
        picked = [
            self.sampler.select(group, quota, rng).draws
            for group, quota in zip(groups, quotas, strict=True)
        ]
        turns = sorted(
            (turn, place) for place, draws in enumerate(picked) for turn in range(len(draws))
        )
        return Selection(tuple(picked[place][turn] for turn, place in turns))


@dataclass(frozen=True)
class Subsampled:
    """The sampler on a uniform part of a pool that is too large for it."""

    sampler: Sampler
    size: int

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ValueError(f"size {self.size} must be 1 or more")

    def eligible(self, pool: Pool) -> Pool:
        """What the sampler itself can judge."""
        return self.sampler.eligible(pool)

    def select(self, pool: Pool, budget: int, rng: np.random.Generator) -> Selection:
        """`budget` events of a part of `size` (or of `budget`, where that is more)."""
        able = self.eligible(pool)
        check_budget(budget, len(able), "eligible pool")
        size = max(self.size, budget)
        part = able if len(able) <= size else able.where(_uniform(able, size, rng))
        return self.sampler.select(part, budget, rng)


def square_root_quotas(sizes: Sequence[int], budget: int) -> list[int]:
    """How many of each group: they sum to `budget`, none exceeds its group, each has one first.

    >>> square_root_quotas([10_000, 100, 1], 20)
    [17, 2, 1]
    """
    quotas = np.zeros(len(sizes), np.int64)
    weights = np.sqrt(np.array(sizes, np.float64))
    for _ in range(budget):  # the group furthest below its share is served next
        behind = np.where(quotas < sizes, quotas / weights, np.inf)
        quotas[int(np.argmin(behind))] += 1
    return [int(quota) for quota in quotas]


def _embeds(pool: Pool) -> bool:
    return "embedding" in pool.table.column_names


def _rows(pool: Pool, draws: Sequence[Draw]) -> pa.Array:
    wanted = pa.array([draw.event_id for draw in draws], pa.string())
    return pc.index_in(wanted, value_set=pool.table["event_id"].combine_chunks())


def _uniform(
    pool: Pool, size: int, rng: np.random.Generator
) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    kept = np.zeros(len(pool), bool)
    kept[_order(pool, rng)[:size]] = True
    return kept


def _order(pool: Pool, rng: np.random.Generator) -> Integers:
    """A uniform order: the audit's where the pool has one, so that every engine agrees."""
    if ORDER not in pool.table.column_names:
        return rng.permutation(len(pool))
    keys = [(ORDER, "ascending"), ("event_id", "ascending")]
    order: Integers = pc.sort_indices(pool.table.select([ORDER, "event_id"]), keys).to_numpy()
    return order
