"""The day's budget divided between the audit arm and arms that choose."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.labelling.samplers.audit import Audit
from pipelines.labelling.samplers.base import Draw, Pool, Sampler, Selection, check_budget, stacked

AUDIT = "audit"


@dataclass(frozen=True)
class Portfolio:
    """First the audit over the whole pool, then each arm over what is not chosen yet.

    `shares` of the budget by arm, `audit` among them, sum to 1. The audit's size depends on
    pool and budget alone, never on what was drawn, so its draw stays uniform over all events. It
    gets its share, rounded up, and everything where the arms could not spend the budget. What an
    arm cannot spend goes to those after it; what one arm has chosen, no other repeats, nor (where
    it suppresses near-duplicates) anything like it.
    """

    arms: Mapping[str, Sampler]
    shares: Mapping[str, float]
    audit: Sampler = field(default_factory=Audit)

    def __post_init__(self) -> None:
        if not 0.0 < self.shares.get(AUDIT, 0.0) <= 1.0:
            raise ValueError(
                f"audit share {self.shares.get(AUDIT)} is outside (0, 1]; without an audit arm "
                "nobody knows how good the filter is: set labelling.audit_share"
            )
        if set(self.shares) != {AUDIT, *self.arms}:
            raise ValueError(f"shares are for {sorted(self.shares)}, arms are {sorted(self.arms)}")
        if min(self.shares.values()) < 0 or not math.isclose(sum(self.shares.values()), 1.0):
            raise ValueError(f"shares {dict(self.shares)} must not be negative and sum to 1")

    def eligible(self, pool: Pool) -> Pool:
        """All of it: the audit can draw anything."""
        return pool

    def select(self, pool: Pool, budget: int, rng: np.random.Generator) -> Selection:
        """`budget` different events, the audit's first."""
        check_budget(budget, len(pool))
        sizes = self.sizes(pool, budget)
        draws = [*self.audit.select(pool, sizes[AUDIT], rng).draws]
        rest = _after(pool, draws)
        owed = 0
        for arm in (*self.arms, *self.arms):  # the second time round spends what was left over
            wanted = sizes[arm] + owed
            able = min(wanted, len(self.arms[arm].eligible(rest))) if wanted else 0
            some = self.arms[arm].select(rest, able, rng).draws if able else ()
            owed, sizes[arm] = wanted - able, 0
            draws += [_chosen_by(arm, draw) for draw in some]
            rest = _after(rest, some)
        return Selection(tuple(draws))

    def sizes(self, pool: Pool, budget: int) -> dict[str, int]:
        """How many events each arm is asked for.

        >>> from pipelines.labelling.samplers import Uncertainty
        >>> pool = Pool(pa.table({"event_id": ["a", "b", "c"], "score": [0.1, 0.2, 0.3]}))
        >>> shares = {"audit": 0.3, "margin": 0.7}
        >>> Portfolio({"margin": Uncertainty("margin")}, shares).sizes(pool, 2)
        {'audit': 1, 'margin': 1}
        """
        if self._reach(pool) < budget:
            return {AUDIT: budget, **dict.fromkeys(self.arms, 0)}
        audited = min(budget, math.ceil(round(self.shares[AUDIT] * budget, 9)))
        rest = {arm: self.shares[arm] for arm in self.arms}
        return {AUDIT: audited, **largest_remainders(rest, budget - audited)}

    def _reach(self, pool: Pool) -> int:
        """How many events the arms could choose between them."""
        able = [self.arms[arm].eligible(pool).event_ids for arm in self.arms if self.shares[arm]]
        return len(set().union(*able))


def largest_remainders(shares: Mapping[str, float], total: int) -> dict[str, int]:
    """`total` divided in proportion, in whole numbers (Hamilton's method); ties fall by order.

    >>> largest_remainders({"a": 0.5, "b": 0.3, "c": 0.2}, 4)
    {'a': 2, 'b': 1, 'c': 1}
    """
    whole = sum(shares.values())
    if not whole:
        return dict.fromkeys(shares, 0)
    exact = {name: total * share / whole for name, share in shares.items()}
    sizes = {name: math.floor(round(part, 9)) for name, part in exact.items()}
    behind = sorted(exact, key=lambda name: sizes[name] - round(exact[name], 9))
    for name in behind[: total - sum(sizes.values())]:
        sizes[name] += 1
    return sizes


def _chosen_by(arm: str, draw: Draw) -> Draw:
    """The draw in the arm's name; none but the audit's is random."""
    named = draw.strategy if draw.arm == arm else f"{arm}/{draw.strategy}"
    return replace(draw, strategy=named, inclusion_probability=None)


def _after(pool: Pool, draws: list[Draw] | tuple[Draw, ...]) -> Pool:
    """What is left, with the chosen among what reviewers will know."""
    if not draws:
        return pool
    ids = pa.array([draw.event_id for draw in draws], pa.string())
    rest = pool.without(ids.to_pylist())
    if "embedding" not in pool.table.column_names:
        return rest
    known = pool.table.filter(pc.is_in(pool.table["event_id"], value_set=ids))["embedding"]
    known = known.drop_null()
    return rest.covering(stacked(known)) if len(known) else rest
