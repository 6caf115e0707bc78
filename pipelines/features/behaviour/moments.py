"""Times in whole microseconds since 1970 (UTC), and counts that fade with time."""

from __future__ import annotations

from datetime import datetime
from math import exp

from pipelines.feature_store.base import EPOCH, MICROSECOND

SECOND = 1_000_000
MINUTE, HOUR, DAY = 60 * SECOND, 3600 * SECOND, 86_400 * SECOND


def microseconds(at: datetime) -> int:
    return (at - EPOCH) // MICROSECOND


def faded(count: float, passed: float, span: int) -> float:
    """What is left of `count` after `passed` microseconds; a span later it is 1 / e."""
    return count * exp(-passed / span) if passed > 0 else count


def one_more(count: float, last: float, at: int, span: int) -> float:
    """A fading count as of max(last, at) after one more at `at`, which may have come late."""
    return faded(count, at - last, span) + faded(1.0, last - at, span)


def days(passed: float) -> float:
    """Microseconds as days; a time ahead of the event counts as the event's."""
    return max(passed, 0.0) / DAY
