"""Latencies as counts in fine logarithmic bins, and the ratio of two arms' quantiles.

Half a per cent wide, the bins cost the ratio's interval at most one per cent, and a look costs
the same after a hundred requests as after a million.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from functools import lru_cache
from math import ceil, inf, log, sqrt

import numpy as np
from numpy.typing import ArrayLike, NDArray

from serving.rollout.confidence_sequences import Floats, OrderEvidence, log_rank_evidence

FLOOR_MILLISECONDS = 2.0  # faster than this is all the same to a client
CEILING_MILLISECONDS = 120_000.0  # and slower than this as well
GROWTH = 1.005
_LOG_GROWTH = log(GROWTH)
BINS = ceil(log(CEILING_MILLISECONDS / FLOOR_MILLISECONDS) / _LOG_GROWTH) + 1
QUANTILE_ERROR_SHARE = 0.1  # of alpha, for where the reference's quantile lies
_WINDOW_DEVIATIONS = 9.0  # ranks further from a quantile are beyond every alpha in use
_WINDOW_RANKS = 60.0
_RANK_STEPS = 21


class LatencyHistogram:
    """How many requests took how long: bin 0 holds what is no slower than the floor, bin i what
    took up to `FLOOR_MILLISECONDS * GROWTH**i`, the last one everything slower as well.
    """

    def __init__(self, counts: NDArray[np.int64] | None = None) -> None:
        if counts is not None and counts.shape != (BINS,):
            raise ValueError(f"counts of shape {counts.shape}; give one for each of {BINS} bins")
        self.counts = np.zeros(BINS, np.int64) if counts is None else counts

    @classmethod
    def of(cls, milliseconds: ArrayLike) -> LatencyHistogram:
        """Of plain values. Raises ValueError for one that is no duration."""
        return cls(np.bincount(bins_of(milliseconds), minlength=BINS).astype(np.int64))

    def add(self, milliseconds: float) -> None:
        """Count one request. Raises ValueError for what is no duration."""
        if not milliseconds >= 0:
            raise ValueError(f"{milliseconds} milliseconds is no duration; leave the request out")
        at = 0
        if milliseconds > FLOOR_MILLISECONDS:
            at = min(ceil(log(milliseconds / FLOOR_MILLISECONDS) / _LOG_GROWTH), BINS - 1)
        self.counts[at] += 1

    def __len__(self) -> int:
        return int(self.counts.sum())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LatencyHistogram) and bool(np.all(self.counts == other.counts))

    __hash__ = None  # type: ignore[assignment]  # it grows

    def __repr__(self) -> str:
        return f"LatencyHistogram of {len(self)} requests"

    def quantile(self, quantile: float) -> float:
        """Milliseconds that this share of the requests did not exceed, to half a per cent.

        >>> round(LatencyHistogram.of([10.0, 20.0, 30.0]).quantile(0.5))
        20
        """
        return _milliseconds(_bin_of_quantile(np.cumsum(self.counts), quantile))


def bins_of(milliseconds: ArrayLike) -> NDArray[np.int64]:
    """The bin of each value, int64[n]. Raises ValueError for one that is no duration."""
    values = np.asarray(milliseconds, np.float64)
    wrong = values[~(values >= 0)]
    if len(wrong):
        raise ValueError(f"{wrong[0]} milliseconds is no duration; leave such requests out")
    with np.errstate(divide="ignore"):
        at = np.ceil(np.log(values / FLOOR_MILLISECONDS) / _LOG_GROWTH)
    return np.clip(at, 0, BINS - 1).astype(np.int64)


def histogram(milliseconds: LatencyHistogram | Iterable[float]) -> LatencyHistogram:
    """The histogram itself, or that of plain values."""
    if isinstance(milliseconds, LatencyHistogram):
        return milliseconds
    return LatencyHistogram.of(np.fromiter(milliseconds, np.float64))


class QuantileRatios:
    """Quantiles of a canary over those of its reference, as ratios with time-uniform limits."""

    def __init__(self, canary: LatencyHistogram, reference: LatencyHistogram) -> None:
        self._canary = np.cumsum(canary.counts).astype(np.float64)
        self._reference = np.cumsum(reference.counts).astype(np.float64)

    @property
    def sizes(self) -> tuple[int, int]:
        """How many requests the two arms have."""
        return int(self._canary[-1]), int(self._reference[-1])

    def values(self, quantile: float) -> tuple[float, float]:
        """The two arms' own quantiles, milliseconds."""
        canary = _bin_of_quantile(self._canary, quantile)
        return _milliseconds(canary), _milliseconds(_bin_of_quantile(self._reference, quantile))

    def limits(self, quantile: float, alpha: float) -> tuple[float, float]:
        """Limits of the ratio, (0, inf) where nothing can be said.

        A tenth of alpha says where the reference's quantile may lie (Howard & Ramdas 2022). A
        ratio is ruled out when, wherever that is, too few of the canary's requests lie below the
        ratio times it for how many of the reference's lie below it.
        """
        low = _lowest_shift(self._canary, self._reference, quantile, alpha)
        high = _lowest_shift(self._reference, self._canary, quantile, alpha)
        return (
            0.0 if low is None else GROWTH**low,
            inf if high is None else GROWTH**-high,
        )


def _lowest_shift(slow: Floats, fast: Floats, quantile: float, alpha: float) -> int | None:
    """The largest shift of bins that `slow` surely exceeds `fast` by; None where there is none.

    Everything is rounded so that the shift is too small rather than too large: the ranks between
    two edges of a bin are taken at the edge that says less.
    """
    slow_size, fast_size = float(slow[-1]), float(fast[-1])
    if slow_size == 0 or fast_size == 0:
        return None
    possible_ranks = _rank_limits(fast_size, quantile, alpha * QUANTILE_ERROR_SHARE)
    if possible_ranks is None:
        return None
    start = int(np.searchsorted(fast, possible_ranks[0]))
    end = min(int(np.searchsorted(fast, possible_ranks[1], side="right")) + 1, BINS)
    evidence = OrderEvidence(slow_size, fast_size, quantile)
    fast_ranks = np.clip(np.concatenate([[0.0], fast])[start:end], *possible_ranks)
    of_fast = evidence.of_second(fast_ranks)
    left, right = _window(slow, quantile)
    size = end - start
    before = slow[left] if left > 0 else 0.0
    of_slow = evidence.of_first(
        np.concatenate([np.full(size, before), slow[left:right], np.full(size, slow_size)])
    )
    needed = -log(alpha * (1 - QUANTILE_ERROR_SHARE))
    lowest = left - end  # all of the fast arm's bins come to lie before the slow arm's

    def possible(shift: int) -> bool:
        """Whether the ratio may be no larger than GROWTH**shift."""
        at = shift - lowest
        return float((of_slow[:, at : at + size] + of_fast).max(axis=0).min()) < needed

    if possible(lowest):
        return None
    return bisect_left(range(lowest, right - start + 1), True, key=possible) + lowest - 1


def _window(cumulative: Floats, quantile: float) -> tuple[int, int]:
    """The bins whose ranks are near enough to the quantile to matter, the last one excluded.

    A bin before them may be taken for the first of them, which says less than it would.
    """
    n = float(cumulative[-1])
    reach = _WINDOW_RANKS + _WINDOW_DEVIATIONS * sqrt(n * quantile * (1 - quantile))
    start = int(np.searchsorted(cumulative, max(n * quantile - reach, 0.5)))
    end = int(np.searchsorted(cumulative, min(n * quantile + reach, n))) + 1
    return max(start - 1, 0), min(end, BINS)


@lru_cache(maxsize=64)
def _rank_limits(n: float, quantile: float, alpha: float) -> tuple[float, float] | None:
    """Between how many of `n` and how many lie below the quantile; None: it may be anywhere."""
    middle = n * quantile
    reach = _WINDOW_RANKS + _WINDOW_DEVIATIONS * sqrt(middle * (1 - quantile))
    steps = np.linspace(0.0, 1.0, _RANK_STEPS)
    ends = np.array([max(middle - reach, 0.0), min(middle + reach, n)])
    ranks = ends[:, None] + (middle - ends)[:, None] * steps
    ruled_out = log_rank_evidence(ranks, n, quantile) >= -log(alpha)
    if not ruled_out[:, 0].all():
        return None
    last = ruled_out.sum(axis=1) - 1
    return float(ranks[0, last[0]]), float(ranks[1, last[1]])


def _bin_of_quantile(cumulative: NDArray[np.generic], quantile: float) -> int:
    return int(np.searchsorted(cumulative, quantile * float(cumulative[-1])))


def _milliseconds(bin_number: int) -> float:
    """The middle of a bin on the log scale; the floor itself for bin 0."""
    return float(FLOOR_MILLISECONDS * GROWTH ** max(bin_number - 0.5, 0.0))
