"""Made-up service times and requests for the tests of the capacity plan."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from serving.capacity.arrivals import unit_arrivals
from serving.capacity.demand import PoolDemand, Stream
from serving.capacity.pods import Floats, Requests
from serving.capacity.service_times import (
    Afterwards,
    ByLabel,
    Distribution,
    KindTimes,
    PoolTimes,
    ServiceTimes,
)

TEXT = KindTimes(
    settled_early=ByLabel(0.6, 0.1),
    early=Distribution(9, ((0.0, 0.1), (1.0, 0.3))),
    full=Distribution(9, ((0.0, 1.0), (0.9, 2.0), (1.0, 4.0))),
    batch_curve=((1, 1.0), (4, 0.5)),
)
IMAGE = KindTimes(
    settled_early=ByLabel(0.0, 0.0),
    early=None,
    full=Distribution(9, ((0.0, 10.0), (0.9, 25.0), (1.0, 40.0))),
)
TIMES = ServiceTimes(
    format=1, origin="Made up for a test.", machine="none", measured_at="2026-01-05T00:00:00",
    commit="none", overhead_milliseconds=0.1,
    pools={"cpu": PoolTimes("one core", {"text": TEXT, "account": TEXT, "image": IMAGE})},
    afterwards={
        "image": Afterwards(ByLabel(0.2, 1.0), Distribution(9, ((0.0, 50.0), (1.0, 90.0))))
    },
)  # fmt: skip


def of_requests(arrival: Sequence[float], work: Sequence[float]) -> Requests:
    """Of one stream and one gateway that sees pod 0 first; times in milliseconds."""
    count = len(arrival)
    return Requests(
        np.array(arrival, float), np.array(work, float), np.zeros(count, np.int64),
        np.zeros((count, 2)), np.zeros(count, np.int64),
    )  # fmt: skip


def poisson(count: int, rate: float, work: Floats, gateways: int = 1, seed: int = 1) -> Requests:
    """At `rate` a millisecond, with random looks."""
    rng = np.random.default_rng(seed)
    return Requests(
        unit_arrivals(count, rng) / rate, work, np.zeros(count, np.int64),
        rng.random((count, 2)), rng.integers(gateways, size=count),
    )  # fmt: skip


def exponential_pool(mean: float) -> PoolDemand:
    """One stream whose times are exponential, but for the longest in a thousand."""
    at = np.linspace(0, 0.999, 1000)
    quantiles = tuple(zip((*at.tolist(), 1.0), (*(-mean * np.log1p(-at)).tolist(), 9 * mean),
                          strict=True))  # fmt: skip
    return PoolDemand(
        "made", "cpu", "one core", 1.0, (Stream("text", 1.0, Distribution(9, quantiles)),)
    )
