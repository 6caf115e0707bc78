"""The least number of pods that keeps a pool's p99 within its budget, with or without a zone."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from data_contracts.errors import BadInput
from serving.capacity.latencies import Estimate, Latencies
from serving.capacity.simulation import PoolSimulator, Shape

GROUP_PODS = 18  # stand for any larger pool
HALVINGS = 8  # of the utilisation, so that a pod's rate is known to a half per cent of capacity
LONG_REPLICATIONS = 3  # of a pool that lost a zone and cannot keep up


@dataclass(frozen=True)
class Limits:
    """What a pool must hold, end to end: its p99, by the upper end of the 95 % interval.

    `utilisation` is the most of a pod's capacity that is planned for: a queue of many short
    requests is fast until just before it breaks, and no measurement is as exact as that.
    """

    p99_milliseconds: float
    utilisation: float = 0.85

    def __post_init__(self) -> None:
        if not 0 < self.utilisation < 1 or not self.p99_milliseconds > 0:
            raise ValueError(
                f"a p99 of {self.p99_milliseconds} ms at a utilisation of {self.utilisation}; "
                "give more than 0 ms, and a utilisation between 0 and 1"
            )

    def hold(self, p99: Estimate) -> bool:
        return p99.high <= self.p99_milliseconds


@dataclass(frozen=True)
class Zones:
    """Pods stand in equal numbers in `count` zones; for `seconds` nothing replaces a lost one."""

    count: int
    seconds: float

    def rounded(self, pods: int) -> int:
        """At least `pods`, the same number in every zone."""
        return -(-pods // self.count) * self.count

    def left(self, pods: int) -> int:
        """Of pods in equal numbers, those outside the lost zone."""
        return pods - pods // self.count

    def more(self, pods: int) -> int:
        """A hundredth more, at least one a zone."""
        return self.rounded(pods + max(pods // 100, 1))


@dataclass(frozen=True)
class Sustained:
    """The most requests a second that one pod of this shape answers within the limits.

    `limited_by` says which of them is reached first.
    """

    rate: float
    shape: Shape
    limited_by: Literal["p99", "utilisation"]


@dataclass(frozen=True)
class Sized:
    """So many pods, what they do with every zone, and in the time after one is lost.

    `shed_share` must be turned away after the loss for the rest to be within the budget.
    """

    pods: int
    steady: Latencies
    after_a_loss: Latencies | None
    shed_share: float


def sustained(simulator: PoolSimulator, workers: int, gateways: int, limits: Limits) -> Sustained:
    """By bisection, for each measured batch size that makes requests cheaper; the best of them.

    Raises BadInput where not even an idle pod is within the budget.
    """
    found = [
        _sustained(simulator, Shape(workers, size, gateways), limits)
        for size in simulator.demand.batch_sizes()
    ]
    best = max(found, key=lambda one: one.rate)
    if best.rate == 0:
        raise BadInput(
            f"pool {simulator.demand.name}: p99 is above {limits.p99_milliseconds:g} ms however "
            "many pods there are, because single requests take longer; raise --p99-milliseconds "
            "(--afterwards-seconds for stages afterwards), or measure faster hardware"
        )
    return best


def _sustained(simulator: PoolSimulator, shape: Shape, limits: Limits) -> Sustained:
    def holds(share: float) -> bool:
        rate = share * simulator.capacity(shape) * GROUP_PODS
        return limits.hold(simulator.p99(rate, GROUP_PODS, shape))

    if holds(limits.utilisation):
        return Sustained(limits.utilisation * simulator.capacity(shape), shape, "utilisation")
    low, high = 0.0, limits.utilisation  # shares of capacity that hold, and that do not
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return Sustained(low * simulator.capacity(shape), shape, "p99")


def size(
    simulator: PoolSimulator, rate: float, found: Sustained, limits: Limits, zones: Zones
) -> tuple[Sized, Sized]:
    """The least pods for `rate` requests a second, and the least that also keep a lost zone.

    Both are simulated as they are, and grow by a hundredth where the limits do not hold. With a
    single zone nothing is left to keep: both are the same.
    """
    pods = zones.rounded(-int(-rate // found.rate))
    least = _sized(simulator, rate, pods, found, limits, zones)
    while not limits.hold(least.steady.p99):
        least = _sized(simulator, rate, zones.more(least.pods), found, limits, zones)
    if least.after_a_loss is None:
        return least, least
    pods = least.pods
    while zones.left(pods) * found.rate < rate:
        pods += zones.count
    kept = _sized(simulator, rate, pods, found, limits, zones)
    while kept.after_a_loss is not None and not limits.hold(kept.after_a_loss.p99):
        kept = _sized(simulator, rate, zones.more(kept.pods), found, limits, zones)
    return least, kept


def _sized(
    simulator: PoolSimulator, rate: float, pods: int, found: Sustained, limits: Limits, zones: Zones
) -> Sized:
    group = min(pods, GROUP_PODS)
    budget = limits.p99_milliseconds
    steady = simulator.steady(rate * group / pods, group, found.shape, budget)
    if zones.count == 1:
        return Sized(pods, steady, None, 1.0)
    lost = _after_a_loss(simulator, rate, pods, found.shape, budget, zones)
    return Sized(pods, steady, lost, max(0.0, 1 - zones.left(pods) * found.rate / rate))


def _after_a_loss(
    simulator: PoolSimulator, rate: float, pods: int, shape: Shape, budget: float, zones: Zones
) -> Latencies:
    """In a group that stands for the pool.

    Queues that still settle do so within moments, so that a shorter time says the same. Queues
    that grow are followed for all of the time, in a smaller group and fewer replications.
    """
    grows = rate >= zones.left(pods) * simulator.capacity(shape)
    of_a_zone = (2 if zones.count == 2 else 1) if grows else max(GROUP_PODS // zones.count, 1)
    group = zones.count * min(of_a_zone, pods // zones.count)
    rate_of_group, seconds = rate * group / pods, zones.seconds
    if grows:
        precision = replace(simulator.precision, replications=LONG_REPLICATIONS)
        simulator = replace(simulator, precision=precision)
    elif not simulator.bursts.variation:
        seconds = min(seconds, simulator.precision.requests / rate_of_group)
    return simulator.after_a_loss(rate_of_group, group, zones.count, shape, budget, seconds)
