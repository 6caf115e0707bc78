"""How observations that wait in a queue become counts and buckets of Prometheus."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter as Tally
from collections import deque
from collections.abc import Hashable, Iterable, Sequence
from typing import TypeVar

from prometheus_client import Counter

from serving.metrics import FoldedHistogram, counter, histogram

T = TypeVar("T")
K = TypeVar("K", bound=Hashable)
Key = tuple[str, ...]


def drained(waiting: deque[T]) -> list[T]:
    """What waits now; other threads may go on adding."""
    return [waiting.popleft() for _ in range(len(waiting))]


def fold_counts(metric: Counter, seen: Iterable[Key]) -> None:
    """One each, by labels."""
    for labels, count in Tally(seen).items():
        counter(metric, *labels).inc(count)


def fold_values(metric: FoldedHistogram, seen: Iterable[tuple[Key, float]]) -> None:
    """Values by labels."""
    for labels, row in rows(metric.bounds, seen).items():
        add_row(histogram(metric, *labels), row)


def rows(bounds: Sequence[float], seen: Iterable[tuple[K, float]]) -> dict[K, list[float]]:
    """By key: how many values in each bucket (`bounds` are upper, inclusive), then their sum.

    >>> rows((1.0, 2.0, float("inf")), [("a", 1.0), ("a", 1.5), ("b", 9.0)])
    {'a': [1, 1, 0, 2.5], 'b': [0, 0, 1, 9.0]}
    """
    found: dict[K, list[float]] = {}
    for key, value in seen:
        row = found.get(key)
        if row is None:
            row = found[key] = [0] * (len(bounds) + 1)
        row[bisect_left(bounds, value)] += 1
        row[-1] += value
    return found


def add_row(child: FoldedHistogram, row: Sequence[float]) -> None:
    """A row of `rows` to a histogram with the same bounds."""
    child.add([int(count) for count in row[:-1]], row[-1])
