"""What replications of a simulation say: percentiles with intervals, by kind and together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from serving.capacity.demand import PoolDemand

Floats = NDArray[np.float64]

PERCENTILES = (50, 95, 99)
PERMILLES = np.linspace(0, 1, 1001)
CONFIDENCE = 0.95


class Estimate(NamedTuple):
    """A mean over replications with its 95 % interval by Student's t."""

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, found: Floats) -> Estimate:
        """Of one figure a replication, at least two."""
        mean = float(found.mean())
        if not np.isfinite(found).all():
            return cls(np.inf, np.inf, np.inf)
        quantile = float(stats.t.ppf((1 + CONFIDENCE) / 2, len(found) - 1))
        margin = quantile * float(found.std(ddof=1)) / len(found) ** 0.5
        return cls(mean, max(mean - margin, 0.0), mean + margin)


NEVER = Estimate(np.inf, np.inf, np.inf)


@dataclass(frozen=True)
class Latencies:
    """What a load does to a pool, in milliseconds. `beyond` is the share slower than the budget.

    `lost` is the share that went down with its pod, `waiting` the mean number of requests in a
    pod's queue (Little's law), `utilisation` the share of the workers' time that is worked.
    """

    percentiles: Mapping[int, Estimate]
    by_kind: Mapping[str, Mapping[int, float]]
    permilles: Floats  # float64[1001], of which pools are put together
    beyond: Estimate
    lost: float
    utilisation: float
    waiting: float

    @property
    def p99(self) -> Estimate:
        return self.percentiles[99]


class Replication(NamedTuple):
    """Of each request that is looked at: its latency, and its stream. Time in queue is a mean."""

    latency: Floats
    stream: NDArray[np.int64]
    wait: float
    utilisation: float


def summary(
    demand: PoolDemand, found: Sequence[Replication], rate_of_a_pod: float, budget: float
) -> Latencies:
    """Over all replications, at so many requests a second and pod."""
    return Latencies(
        percentiles={
            at: Estimate.of(np.array([_percentile(one.latency, at) for one in found]))
            for at in PERCENTILES
        },
        by_kind={kind: _of_kind(demand, kind, found) for kind in demand.kinds},
        permilles=np.mean(
            [np.quantile(one.latency, PERMILLES, method="higher") for one in found], axis=0
        ),
        beyond=Estimate.of(np.array([(one.latency > budget).mean() for one in found])),
        lost=float(np.mean([np.isinf(one.latency).mean() for one in found])),
        utilisation=float(np.mean([one.utilisation for one in found])),
        waiting=rate_of_a_pod / 1000 * float(np.mean([one.wait for one in found])),
    )


def p99(found: Sequence[Replication]) -> Estimate:
    """The figure that a search asks for again and again."""
    return Estimate.of(np.array([_percentile(one.latency, 99) for one in found]))


def _of_kind(demand: PoolDemand, kind: str, found: Sequence[Replication]) -> dict[int, float]:
    own = [at for at, stream in enumerate(demand.streams) if stream.kind == kind]
    latencies = [one.latency[np.isin(one.stream, own)] for one in found]
    return {
        at: float(np.mean([_percentile(latency, at) for latency in latencies]))
        for at in PERCENTILES
    }


def _percentile(latency: Floats, at: int) -> float:
    """A latency that occurred; infinite where so many are lost."""
    return float(np.percentile(latency, at, method="higher")) if len(latency) else np.nan


def endless(demand: PoolDemand) -> Latencies:
    """Beyond capacity there is no steady state: queues grow without end."""
    kinds = {str(kind): dict.fromkeys(PERCENTILES, np.inf) for kind in demand.kinds}
    return Latencies(
        dict.fromkeys(PERCENTILES, NEVER),
        kinds,
        np.full(len(PERMILLES), np.inf),
        Estimate(1.0, 1.0, 1.0),
        lost=0.0,
        utilisation=1.0,
        waiting=np.inf,
    )
