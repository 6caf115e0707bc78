"""One pool under a load: latencies by replications with common random numbers.

A pool of many pods is simulated as a group of some, each at the same rate: with two random looks a
request, pods of a large pool are as good as independent (Mitzenmacher 2001), so that a few stand
for thousands.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from serving.capacity.arrivals import Bursts, arrival_milliseconds, factors, unit_arrivals
from serving.capacity.demand import PoolDemand
from serving.capacity.latencies import (
    NEVER,
    Estimate,
    Latencies,
    Replication,
    endless,
    p99,
    summary,
)
from serving.capacity.pods import Group, Requests, serve

Floats = NDArray[np.float64]

WARM_UP = 0.2  # of the requests, before a pool that begins empty is looked at
BURSTS_SEEN = 20  # a replication lasts at least so many of them
BURST_FACTORS = 512  # drawn once, then repeated


@dataclass(frozen=True)
class Precision:
    """How much is simulated: `replications` of `requests` each, with seeds from `seed`."""

    requests: int = 100_000
    replications: int = 5
    seed: int = 7

    def __post_init__(self) -> None:
        if self.requests < 1000 or self.replications < 2:
            raise ValueError(
                f"{self.replications} replications of {self.requests} requests say nothing of a "
                "99th percentile; give at least 2 of 1000"
            )


@dataclass(frozen=True)
class Shape:
    """What a pod is, and how many gateways choose among the pods, each seeing its own requests."""

    workers: int
    largest_batch: int
    gateways: int


@dataclass(frozen=True)
class PoolSimulator:
    """Simulates the requests of one pool; `added_milliseconds` is the way there and back."""

    demand: PoolDemand
    bursts: Bursts
    precision: Precision
    added_milliseconds: float = 0.0

    def capacity(self, shape: Shape) -> float:
        """Requests a second that one pod answers when it never waits."""
        return 1000 * shape.workers / self.demand.mean_milliseconds(shape.largest_batch)

    def p99(self, rate: float, pods: int, shape: Shape) -> Estimate:
        """The figure that a search asks for again and again."""
        if rate >= pods * self.capacity(shape):
            return NEVER
        return p99(self._steady(rate, pods, shape))

    def steady(self, rate: float, pods: int, shape: Shape, budget: float) -> Latencies:
        """`pods` pods at `rate` requests a second together; infinite beyond their capacity."""
        if rate >= pods * self.capacity(shape):
            return endless(self.demand)
        return summary(self.demand, self._steady(rate, pods, shape), rate / pods, budget)

    def _steady(self, rate: float, pods: int, shape: Shape) -> list[Replication]:
        in_bursts = BURSTS_SEEN * self.bursts.seconds * rate if self.bursts.variation else 0
        requests = max(self.precision.requests, int(in_bursts))
        group = Group(pods, shape.workers, shape.largest_batch, shape.gateways)
        return self._replications(rate, group, requests, int(WARM_UP * requests))

    def after_a_loss(
        self, rate: float, pods: int, zones: int, shape: Shape, budget: float, seconds: float
    ) -> Latencies:
        """The first `seconds` after one of `zones` equal zones is gone, at an unchanged rate.

        Every zone serves until then; what the lost one holds is lost, and counts as beyond.
        """
        before = int(WARM_UP * self.precision.requests)
        group = Group(
            pods, shape.workers, shape.largest_batch, shape.gateways,
            lost_at=1000 * before / rate, pods_left=pods - pods // zones,
        )  # fmt: skip
        requests = before + max(int(seconds * rate), 1000)
        found = self._replications(rate, group, requests, before)
        return summary(self.demand, found, rate / pods, budget)

    def _replications(
        self, rate: float, group: Group, requests: int, skipped: int
    ) -> list[Replication]:
        return [
            self._replication(number, rate, group, requests, skipped)
            for number in range(self.precision.replications)
        ]

    def _replication(
        self, number: int, rate: float, group: Group, requests: int, skipped: int
    ) -> Replication:
        """The same number gives the same requests, in the same order, at every rate."""
        seeds = np.random.SeedSequence([self.precision.seed, number]).spawn(6)
        arrivals, which, work, looks, gateways, burst = map(np.random.default_rng, seeds)
        stream = self._streams(which.random(requests))
        asked = Requests(
            arrival_milliseconds(
                unit_arrivals(requests, arrivals), rate, self.bursts,
                factors(BURST_FACTORS, self.bursts, burst),
            ),
            self._work(stream, work.random(requests)),
            stream,
            looks.random((requests, 2)),
            gateways.integers(group.gateways, size=requests),
        )  # fmt: skip
        costs = self.demand.costs_by_batch(group.largest_batch)
        started, departed, busy = serve(asked, costs, group)
        waits = (started - asked.arrival)[skipped:]
        return Replication(
            latency=(departed - asked.arrival)[skipped:] + self.added_milliseconds,
            stream=stream[skipped:],
            wait=float(waits[np.isfinite(waits)].mean()),
            utilisation=min(busy / (asked.arrival[-1] * group.pods * group.workers), 1.0),
        )

    def _streams(self, uniform: Floats) -> NDArray[np.int64]:
        upto = np.cumsum([stream.share for stream in self.demand.streams])
        return np.searchsorted(upto[:-1], uniform, side="right")

    def _work(self, stream: NDArray[np.int64], uniform: Floats) -> Floats:
        work = np.empty(len(stream))
        for number, one in enumerate(self.demand.streams):
            own = stream == number
            work[own] = one.times.at(uniform[own])
        return work
