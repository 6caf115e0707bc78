"""Requests that wait: their tickets, the room of one class, and the parts that go in one batch."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Generic, Literal, TypeVar

from data_contracts.config import Priority
from serving.drain_rate import FadingRate

RECENT_SECONDS = 1.0  # shed work of so long is expected to come again

T = TypeVar("T")


def places_of(room: int, share: float) -> int:
    """What a class has of a room: its share, at least one place, and none only at a share of 0.

    >>> places_of(10, 0.25), places_of(10, 0.01), places_of(10, 0.0)
    (2, 1, 0)
    """
    return max(1, math.floor(room * share)) if share > 0 else 0


@dataclass(eq=False)
class Ticket(Generic[T]):
    """A request that waits. `works`: of each of its items; `deadline`, `offered_at` in seconds.

    The first `taken` items are with workers already. A request ends admitted, when its last item
    was taken, or shed, or withdrawn; one that has begun is not shed any more.
    """

    owner: T
    works: Sequence[float]
    priority: Priority
    deadline: float
    offered_at: float
    number: int
    taken: int = 0
    state: Literal["waiting", "admitted", "shed", "withdrawn"] = "waiting"

    @property
    def work_left(self) -> float:
        return sum(self.works[self.taken :])

    @property
    def allowance_seconds(self) -> float:
        return self.deadline - self.offered_at


@dataclass(frozen=True)
class Slice(Generic[T]):
    """The items `start` to `stop` of a request, for one batch."""

    ticket: Ticket[T]
    start: int
    stop: int


@dataclass(frozen=True)
class Batch(Generic[T]):
    """What one worker decides in one call: requests of one class, or parts of them."""

    priority: Priority
    slices: tuple[Slice[T], ...]
    work: float


@dataclass
class Room(Generic[T]):
    """Where one class waits, oldest first; `work` is what all of it amounts to."""

    capacity: int
    tickets: OrderedDict[int, Ticket[T]] = field(default_factory=OrderedDict)
    work: float = 0.0
    turned_away: FadingRate = field(default_factory=lambda: FadingRate(RECENT_SECONDS))
