"""The two ways through the worker threads, for texts and for media, and what counts as shed.

A request that the queue of media refuses has its chance among the texts, without its media; one of
the most urgent class that the queue of texts has no time for is decided at once, without networks.
Only what finds no way at all was shed.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from data_contracts.config import PRIORITIES, Priority
from data_contracts.events import Event
from serving.cascade import Asked, Decided
from serving.meter import Meter
from serving.micro_batching import MicroBatcher
from serving.shedding import Reason


class Lane(NamedTuple):
    """Worker threads, and the queue before them."""

    threads: ThreadPoolExecutor
    batcher: MicroBatcher[Asked, tuple[Event, Decided]]


class TextCounts:
    """Counts for the queue of texts: what is hurried instead was not shed."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self.admitted, self.withdrawn = meter.admitted, meter.withdrawn
        self.decided, self.split = meter.decided, meter.split

    def shed(self, priority: Priority, reason: Reason) -> None:
        if not is_hurried(priority, reason):
            self._meter.shed(priority, reason)


class MediaCounts(TextCounts):
    """Counts for the queue of media: what it refuses was not shed yet."""

    def shed(self, priority: Priority, reason: Reason) -> None: ...


def is_hurried(priority: Priority, reason: Reason) -> bool:
    """Whether a request refused so may be decided without networks.

    >>> is_hurried("interactive", "deadline"), is_hurried("normal", "deadline")
    (True, False)
    """
    return priority == PRIORITIES[0] and reason in ("deadline", "expired")
