"""What arrives where: a mix of content, divided among pools as the gateway routes it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from data_contracts.errors import BadInput
from serving.capacity.service_times import (
    KINDS,
    Distribution,
    Kind,
    KindTimes,
    PoolName,
    ServiceTimes,
)

Floats = NDArray[np.float64]

TEXT, MEDIA, AFTERWARDS = "text", "media", "afterwards"
ROUTES: Mapping[Kind, str] = {"text": TEXT, "account": TEXT, "image": MEDIA, "video": MEDIA}
ALONE = ((1, 1.0),)
WORTH_BATCHING = 0.05  # a size must make a pool's events cheaper by so much to be considered


@dataclass(frozen=True)
class Stream:
    """Requests that cost alike: `share` of their pool's, `times` with the overhead.

    `batch_curve` is the relative cost of one at each batch size, linear in between.
    """

    kind: Kind
    share: float
    times: Distribution
    batch_curve: tuple[tuple[int, float], ...] = ALONE

    def relative_cost(self, batch_size: int) -> float:
        sizes, costs = np.array(self.batch_curve, np.float64).T
        return float(np.interp(batch_size, sizes, costs))


@dataclass(frozen=True)
class PoolDemand:
    """The requests of one pool: `share_of_verdicts` of them a verdict, `streams` sum to 1."""

    name: str
    hardware: PoolName
    worker: str
    share_of_verdicts: float
    streams: tuple[Stream, ...]

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """In the order of the mix."""
        return tuple(dict.fromkeys(stream.kind for stream in self.streams))

    def mean_milliseconds(self, batch_size: int = 1) -> float:
        """What a request costs a worker that takes so many at a time."""
        return sum(
            stream.share * stream.times.mean * stream.relative_cost(batch_size)
            for stream in self.streams
        )

    def batch_sizes(self) -> tuple[int, ...]:
        """1, and every measured size at which a request is cheaper than at the ones before."""
        measured = {size for stream in self.streams for size, _ in stream.batch_curve}
        found = [1]
        for size in sorted(measured):
            before = self.mean_milliseconds(found[-1])
            if self.mean_milliseconds(size) < before * (1 - WORTH_BATCHING):
                found.append(size)
        return tuple(found)

    def costs_by_batch(self, largest: int) -> Floats:
        """float64[streams, largest + 1]: relative cost of one among so many; column 0 is unused."""
        return np.array([
            [1.0, *(stream.relative_cost(size) for size in range(1, largest + 1))]
            for stream in self.streams
        ])  # fmt: skip


def read_mix(text: str) -> dict[Kind, float]:
    """Shares that sum to 1 from for example `text=80,image=12,video=3,account=5`.

    >>> read_mix("text=3,image=1")
    {'text': 0.75, 'image': 0.25}
    """
    found: dict[Kind, float] = {}
    for part in text.split(","):
        name, _, share = part.partition("=")
        kind = next((one for one in KINDS if one == name.strip()), None)
        try:
            value = float(share)
        except ValueError:
            value = -1.0
        if kind is None or kind in found or not 0 <= value < float("inf"):
            raise BadInput(
                f"--mix part {part!r}: give each of {', '.join(KINDS)} at most once with a "
                "share of at least 0, for example text=80,image=12,video=3,account=5"
            )
        found[kind] = value
    total = sum(found.values())
    if total == 0:
        raise BadInput(f"--mix {text!r} sums to 0; give one kind a share above 0")
    return {kind: value / total for kind, value in found.items() if value}


def demand(
    times: ServiceTimes, mix: Mapping[Kind, float], spam_share: float
) -> tuple[PoolDemand, ...]:
    """The pools that `mix` needs: text on CPU, media on GPU where measured, stages afterwards."""
    pools = []
    for name in (TEXT, MEDIA):
        kinds = {kind: share for kind, share in mix.items() if ROUTES[kind] == name}
        if kinds:
            hardware: PoolName = "gpu" if name == MEDIA and "gpu" in times.pools else "cpu"
            pools.append(_pool(times, name, hardware, kinds, spam_share))
    later = _afterwards(times, mix, spam_share)
    return tuple(pools if later is None else [*pools, later])


def _pool(
    times: ServiceTimes,
    name: str,
    hardware: PoolName,
    kinds: Mapping[Kind, float],
    spam_share: float,
) -> PoolDemand:
    measured, total = times.pools[hardware], sum(kinds.values())
    streams: list[Stream] = []
    for kind, share in kinds.items():
        if kind not in measured.kinds:
            raise BadInput(
                f"the service times have no pools.{hardware}.kinds.{kind}, but --mix gives it "
                f"{share:.1%}; measure it, or leave it out of --mix"
            )
        streams += _streams(kind, share / total, measured.kinds[kind], times, spam_share)
    return PoolDemand(name, hardware, measured.worker, total, tuple(streams))


def _streams(
    kind: Kind, share: float, measured: KindTimes, times: ServiceTimes, spam_share: float
) -> Iterator[Stream]:
    early = measured.settled_early.within(spam_share)
    if measured.early is not None and early > 0:
        yield Stream(kind, share * early, _with(measured.early, times.overhead_milliseconds))
    if early < 1:
        full = _with(measured.full, times.overhead_milliseconds)
        yield Stream(kind, share * (1 - early), full, _curve(measured, full.mean))


def _curve(measured: KindTimes, mean_with_overhead: float) -> tuple[tuple[int, float], ...]:
    """As measured of the stages, less what the overhead, which never gains, leaves of it."""
    stages = measured.full.mean / mean_with_overhead if mean_with_overhead else 1.0
    return tuple((size, 1 - stages * (1 - cost)) for size, cost in measured.batch_curve)


def _afterwards(
    times: ServiceTimes, mix: Mapping[Kind, float], spam_share: float
) -> PoolDemand | None:
    """Second assessments: they come from a queue, so that no request's overhead is added."""
    shares = {
        kind: mix[kind] * later.share.within(spam_share)
        for kind, later in times.afterwards.items()
        if kind in mix
    }
    total = sum(shares.values())
    if total == 0:
        return None
    streams = tuple(
        Stream(kind, share / total, times.afterwards[kind].times)
        for kind, share in shares.items()
        if share
    )
    return PoolDemand(AFTERWARDS, "cpu", times.pools["cpu"].worker, total, streams)


def _with(times: Distribution, overhead: float) -> Distribution:
    moved = tuple((at, milliseconds + overhead) for at, milliseconds in times.quantiles)
    return Distribution(times.samples, moved)
