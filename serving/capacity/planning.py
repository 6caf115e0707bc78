"""A whole plan: every pool sized for a load, and put together for who reads it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from serving.capacity.arrivals import Bursts
from serving.capacity.demand import AFTERWARDS, PoolDemand, demand
from serving.capacity.latencies import PERCENTILES, Latencies
from serving.capacity.service_times import Kind, PoolName, ServiceTimes
from serving.capacity.simulation import PoolSimulator, Precision
from serving.capacity.sizing import Limits, Sized, Sustained, Zones, size, sustained

Say = Callable[[str], None]


@dataclass(frozen=True)
class Scenario:
    """The load, what must hold, and what is assumed because nothing here measures it.

    `way_milliseconds` is the way through gateway and network, there and back; each of `gateways`
    proxies knows its own requests only. Stages afterwards have `afterwards_seconds` at p99.
    """

    verdicts_per_second: float
    mix: Mapping[Kind, float]
    spam_share: float
    limits: Limits
    zones: Zones
    bursts: Bursts
    cores_per_pod: int
    gateways: int
    way_milliseconds: float
    afterwards_seconds: float

    def limits_of(self, pool: PoolDemand) -> Limits:
        if pool.name != AFTERWARDS:
            return self.limits
        return Limits(1000 * self.afterwards_seconds, self.limits.utilisation)

    def workers(self, pool: PoolDemand) -> int:
        """A worker a core; of a GPU pod its one accelerator."""
        return 1 if pool.hardware == "gpu" else self.cores_per_pod


@dataclass(frozen=True)
class PoolPlan:
    """One pool: the least pods with every zone, and the least that keep the loss of one."""

    simulator: PoolSimulator
    limits: Limits
    sustained: Sustained
    least: Sized
    kept: Sized

    @property
    def demand(self) -> PoolDemand:
        return self.simulator.demand


@dataclass(frozen=True)
class CapacityPlan:
    """The pools of a scenario, by the service times that the plan rests on."""

    scenario: Scenario
    times: ServiceTimes
    pools: tuple[PoolPlan, ...]

    @property
    def hot_pools(self) -> list[PoolPlan]:
        """Those that a verdict waits for."""
        return [pool for pool in self.pools if pool.demand.name != AFTERWARDS]

    def pods(self, hardware: PoolName, *, kept: bool) -> int:
        """Of all pools together on this hardware."""
        chosen = [pool for pool in self.pools if pool.demand.hardware == hardware]
        return sum((pool.kept if kept else pool.least).pods for pool in chosen)

    def verdict_latency(self, at: int, *, kept: bool) -> float:
        """A percentile in milliseconds of all verdicts, whichever pool gave them."""
        hot = self.hot_pools
        found = [(pool.kept if kept else pool.least).steady.permilles for pool in hot]
        weights = [np.full(len(one), pool.demand.share_of_verdicts / len(one))
                   for one, pool in zip(found, hot, strict=True)]  # fmt: skip
        values, weight = np.concatenate(found), np.concatenate(weights)
        order = np.argsort(values)
        upto = np.cumsum(weight[order]) / weight.sum()
        return float(values[order][min(int(np.searchsorted(upto, at / 100)), len(values) - 1)])

    def as_record(self) -> dict[str, Any]:
        """Plain JSON types; a time that has no bound is null."""
        scenario = asdict(self.scenario)
        return {
            "what": "a queueing simulation; no cluster was measured",
            "scenario": scenario,
            "service_times": {
                key: value
                for key, value in self.times.as_record().items()
                if key not in ("pools", "afterwards")
            },
            "cpu_pods": self._counts("cpu"),
            "gpu_pods": self._counts("gpu"),
            "gpu_measured": "gpu" in self.times.pools,
            "verdict_milliseconds": {
                name: {f"p{at}": _finite(self.verdict_latency(at, kept=kept)) for at in PERCENTILES}
                for name, kept in (("least", False), ("keeps_a_lost_zone", True))
            },
            "pools": [_pool_record(pool) for pool in self.pools],
        }

    def _counts(self, hardware: PoolName) -> dict[str, int]:
        least, kept = (self.pods(hardware, kept=kept) for kept in (False, True))
        return {"least": least, "keeps_a_lost_zone": kept}


def plan(
    scenario: Scenario,
    times: ServiceTimes,
    precision: Precision,
    say: Say = lambda _line: None,
) -> CapacityPlan:
    """Size every pool. Raises BadInput where no number of pods is enough."""
    pools = []
    for pool in demand(times, scenario.mix, scenario.spam_share):
        say(f"simulating pool {pool.name}")
        pools.append(_planned(pool, scenario, precision))
    return CapacityPlan(scenario, times, tuple(pools))


def _planned(pool: PoolDemand, scenario: Scenario, precision: Precision) -> PoolPlan:
    way = 0.0 if pool.name == AFTERWARDS else scenario.way_milliseconds
    simulator = PoolSimulator(pool, scenario.bursts, precision, way)
    limits = scenario.limits_of(pool)
    found = sustained(simulator, scenario.workers(pool), scenario.gateways, limits)
    rate = scenario.verdicts_per_second * pool.share_of_verdicts
    least, kept = size(simulator, rate, found, limits, scenario.zones)
    return PoolPlan(simulator, limits, found, least, kept)


def _pool_record(pool: PoolPlan) -> dict[str, Any]:
    return {
        "pool": pool.demand.name,
        "hardware": pool.demand.hardware,
        "worker": pool.demand.worker,
        "share_of_verdicts": round(pool.demand.share_of_verdicts, 6),
        "mean_milliseconds_alone": round(pool.demand.mean_milliseconds(), 4),
        "workers_a_pod": pool.sustained.shape.workers,
        "largest_batch": pool.sustained.shape.largest_batch,
        "requests_per_second_a_pod": round(pool.sustained.rate, 2),
        "limited_by": pool.sustained.limited_by,
        "p99_budget_milliseconds": pool.limits.p99_milliseconds,
        "least": _sized_record(pool.least),
        "keeps_a_lost_zone": _sized_record(pool.kept),
        "extra_pods_for_a_lost_zone": pool.kept.pods - pool.least.pods,
    }


def _sized_record(sized: Sized) -> dict[str, Any]:
    lost = sized.after_a_loss
    return {
        "pods": sized.pods,
        "every_zone": _latency_record(sized.steady),
        "after_a_loss": None if lost is None else _latency_record(lost),
        "share_to_shed_after_a_loss": round(sized.shed_share, 4),
    }


def _latency_record(found: Latencies) -> dict[str, Any]:
    return {
        **{
            f"p{at}_milliseconds": [_finite(part) for part in estimate]
            for at, estimate in found.percentiles.items()
        },
        "by_kind": {
            kind: {f"p{at}": _finite(value) for at, value in percentiles.items()}
            for kind, percentiles in found.by_kind.items()
        },
        "beyond_budget": [round(part, 6) for part in found.beyond],
        "lost_with_their_pod": round(found.lost, 8),
        "utilisation": round(found.utilisation, 4),
        "waiting_a_pod": _finite(found.waiting),
    }


def _finite(value: float) -> float | None:
    return round(value, 3) if np.isfinite(value) else None
