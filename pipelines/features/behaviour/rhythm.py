"""When an account posts: intervals, bursts, nights.

Entropy of the intervals as in Chu, Gianvecchio, Wang & Jajodia 2012, "Detecting automation of
Twitter accounts" (IEEE TDSC 9): machines keep time, people do not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from math import log1p, log2
from typing import NamedTuple

from pipelines.features.behaviour.moments import DAY, HOUR, MINUTE, SECOND, faded, one_more
from pipelines.features.behaviour.packing import Ring, latest

POSTS = 32
NIGHT_ENDS_HOUR = 6
ALIKE = 0.1
FEWEST_INTERVALS = 3

NAMES = (
    "posts_seen_log", "since_last_log", "posts_hour", "posts_day", "night_share",
    "interval_mean_log", "interval_cv", "interval_entropy", "interval_regularity",
    "most_in_minute", "most_in_ten_minutes",
)  # fmt: skip


class Rhythm(NamedTuple):
    """The times of the latest posts, and counts; `hour` and `day` fade and are as of `last`."""

    times: Ring = ()
    posts: float = 0.0
    last: float = 0.0
    hour: float = 0.0
    day: float = 0.0
    nights: float = 0.0
    with_local_time: float = 0.0

    def posted(self, at: int, offset_minutes: float | None) -> Rhythm:
        known = offset_minutes is not None
        night = known and is_night(at, offset_minutes or 0.0)
        return Rhythm(
            times=latest(self.times, at, POSTS),
            posts=self.posts + 1,
            last=max(self.last, float(at)),
            hour=one_more(self.hour, self.last, at, HOUR),
            day=one_more(self.day, self.last, at, DAY),
            nights=self.nights + night,
            with_local_time=self.with_local_time + known,
        )


def rhythm_features(rhythm: Rhythm, at: int) -> dict[str, float | None]:
    times = sorted([time for time in rhythm.times if time <= at])
    intervals = [later - earlier for earlier, later in pairwise(times)]
    nights = rhythm.nights / rhythm.with_local_time if rhythm.with_local_time else None
    return {
        "posts_seen_log": log1p(rhythm.posts),
        "since_last_log": log1p((at - times[-1]) / SECOND) if times else None,
        "posts_hour": faded(rhythm.hour, at - rhythm.last, HOUR),
        "posts_day": faded(rhythm.day, at - rhythm.last, DAY),
        "night_share": nights,
        **_bursts(times, intervals),
        **_interval_features(intervals),
    }


def is_night(at: int, offset_minutes: float) -> bool:
    """Whether it is between midnight and six where the offset holds."""
    return (at + int(offset_minutes * MINUTE)) % DAY < NIGHT_ENDS_HOUR * HOUR


def most_within(times: Sequence[int], window: int) -> int:
    """The most of these sorted times within any `window` microseconds.

    >>> most_within([0, 50, 100, 300], 100)
    3
    """
    most, start = 0, 0
    for end, time in enumerate(times):
        while time - times[start] > window:
            start += 1
        most = max(most, end - start + 1)
    return most


def entropy_bits(intervals: Sequence[int]) -> float:
    """Shannon entropy of intervals in bins that double: under 2 s, under 4 s, under 8 s, …

    >>> entropy_bits([1 * SECOND, 1 * SECOND, 5 * SECOND, 5 * SECOND])
    1.0
    """
    counts = Counter([max(interval // SECOND, 1).bit_length() for interval in intervals])
    shares = [count / len(intervals) for _, count in sorted(counts.items())]
    return max(0.0, -sum(share * log2(share) for share in shares))


def _bursts(times: Sequence[int], intervals: Sequence[int]) -> dict[str, float | None]:
    shortest = min(intervals, default=0)
    minute, ten_minutes = (
        float(most_within(times, window) if shortest <= window else 1)
        for window in (MINUTE, 10 * MINUTE)
    )
    return {"most_in_minute": minute, "most_in_ten_minutes": ten_minutes}


def _interval_features(intervals: Sequence[int]) -> dict[str, float | None]:
    if len(intervals) < FEWEST_INTERVALS:
        return {}
    mean = sum(intervals) / len(intervals)
    median = sorted(intervals)[len(intervals) // 2]
    variance = sum([(interval - mean) ** 2 for interval in intervals]) / len(intervals)
    near = ALIKE * median
    alike = sum([abs(interval - median) <= near for interval in intervals])
    return {
        "interval_mean_log": log1p(mean / SECOND),
        "interval_cv": variance**0.5 / mean if mean else 0.0,
        "interval_entropy": entropy_bits(intervals),
        "interval_regularity": alike / len(intervals),
    }
