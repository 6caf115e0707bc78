"""The time-sensitive arm: what is new, what comes in bursts, and what just happened.

Novelty (against a reference window) and bursts are measured by
`pipelines.labelling.selection_features` on campaigns of near-copies. A campaign of texts that
differ is, by those keys, many campaigns of one: `pipelines.labelling.emergence` finds it by its
neighbours. Recency halves an event's weight every half-life, which shrinks as the traffic drifts:
yesterday's lessons are worth less when today is different.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipelines.labelling.samplers.base import Pool, Selection, check_budget, chosen
from pipelines.labelling.samplers.interleaved import Interleaved
from pipelines.labelling.samplers.ranked import Ranked
from pipelines.labelling.samplers.wrappers import OneACampaign, Subsampled

HALF_LIFE_HOURS = 24.0
SHORTEST_HOURS = 1.0
UNIFORM = 50_000  # of a shortlist, where ranked events are too many, the uniform part is drawn from
STEADY = 0.1  # population stability index below which traffic is taken for unchanged


@dataclass(frozen=True)
class Recency:
    """Random, with a weight of 2^(-age / half-life): the newest are the likeliest.

    Weighted sampling without replacement by exponential keys: P. Efraimidis and P. Spirakis,
    "Weighted Random Sampling with a Reservoir", Information Processing Letters 97 (2006).
    """

    half_life_hours: float = HALF_LIFE_HOURS

    def __post_init__(self) -> None:
        if self.half_life_hours <= 0:
            raise ValueError(f"half_life_hours {self.half_life_hours} must be above 0")

    def eligible(self, pool: Pool) -> Pool:
        """Events whose age is known (`recency`: hours before the newest)."""
        return pool.having("recency")

    def select(self, pool: Pool, budget: int, rng: np.random.Generator) -> Selection:
        """`budget` events of known age."""
        able = self.eligible(pool)
        check_budget(budget, len(able), "pool of known age")
        ages = able.column("recency") / self.half_life_hours * np.log(2.0)
        keys = np.log(rng.exponential(size=len(able))) + ages  # log of E / weight: no overflow
        return chosen(able, np.argsort(keys, kind="stable")[:budget], "recency")


def half_life_hours(drift: float, steady_hours: float = HALF_LIFE_HOURS) -> float:
    """The half-life at a measured drift: shorter in inverse proportion beyond STEADY.

    `drift` is the population stability index of today's scores against the reference window.

    >>> half_life_hours(0.05), half_life_hours(0.4), half_life_hours(99.0)
    (24.0, 6.0, 1.0)
    """
    if drift < 0:
        raise ValueError(f"drift {drift} is below 0; a population stability index is not")
    return max(SHORTEST_HOURS, steady_hours * min(1.0, STEADY / max(drift, STEADY)))


def population_stability_index(now: np.ndarray, before: np.ndarray, bins: int = 10) -> float:
    """How far two samples of scores lie apart, float64[n] and float64[m]; 0 for the same shares.

    Bins hold equal shares of `before`; shares are smoothed by half a count. N. Siddiqi, "Credit
    Risk Scorecards", Wiley 2006.

    >>> population_stability_index(np.arange(100.0), np.arange(100.0))
    0.0
    """
    edges = np.unique(np.quantile(before, np.linspace(0, 1, bins + 1)[1:-1]))
    shares = []
    for sample in (now, before):
        counts = np.bincount(np.searchsorted(edges, sample, side="right"), minlength=len(edges) + 1)
        shares.append((counts + 0.5) / (len(sample) + 0.5 * len(counts)))
    return float(np.sum((shares[0] - shares[1]) * np.log(shares[0] / shares[1])))


EMERGENCE = OneACampaign(Ranked("emergence", "emergence"))
NOVELTY = OneACampaign(Ranked("novelty", "novelty"))
BURSTS = OneACampaign(Ranked("bursts", "burst"))


def time_sensitive(half_life: float = HALF_LIFE_HOURS) -> Interleaved:
    """The arm of the four signals with this half-life in hours, the surest first."""
    recent = Subsampled(Recency(half_life), UNIFORM)
    parts = (EMERGENCE, NOVELTY, BURSTS, OneACampaign(recent))
    return Interleaved("time_sensitive", parts)
