"""What needs no network is decided in the event loop, together with what came in the same turn.

A verdict of the prefilter takes less time than handing it to a thread and back. Requests that the
loop reads in one turn are decided in one call, so batches grow with the load and nobody waits for
company. The lane holds few events: what finds it full, and what it cannot settle, goes the way of
everything else, through admission to the worker threads.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Generic, NamedTuple, TypeVar

from data_contracts.config import Priority
from serving.tickets import places_of

T = TypeVar("T")
R = TypeVar("R")


class _Waiting(NamedTuple, Generic[T, R]):
    items: Sequence[T]
    answer: asyncio.Future[Sequence[R | None]]


class QuickLane(Generic[T, R]):
    """Used from one event loop. `settle` answers in order, with None for what it cannot settle.

    `settle` may raise: then it is asked for each request alone, and one that fails is not settled.
    `places` are the items of one turn; a class finds a place while fewer than its share are taken.
    """

    def __init__(
        self,
        settle: Callable[[Sequence[T]], Sequence[R | None]],
        places: int,
        shares: Mapping[Priority, float],
    ) -> None:
        self._settle = settle
        self._of_turn = places
        self._shares = shares
        self._places = dict.fromkeys(shares, 0)
        self.limit({})
        self._waiting: list[_Waiting[T, R]] = []
        self._taken = 0

    def limit(self, shares: Mapping[str, float]) -> None:
        """Hold classes to less than their own share; one that is not named has that again."""
        self._places = {
            one: places_of(self._of_turn, min(share, shares.get(one, 1.0)))
            for one, share in self._shares.items()
        }

    def has_place(self, priority: Priority, items: int = 1) -> bool:
        """Whether `submit` may be called for so many."""
        return self._taken + items <= self._places[priority]

    def submit(self, items: Sequence[T]) -> asyncio.Future[Sequence[R | None]]:
        """The answers, at the end of this turn of the loop."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Sequence[R | None]] = loop.create_future()
        if not self._waiting:
            loop.call_soon(self._go)
        self._waiting.append(_Waiting(items, answer))
        self._taken += len(items)
        return answer

    def _go(self) -> None:
        waiting, self._waiting, self._taken = self._waiting, [], 0
        try:
            found = self._settle([item for one in waiting for item in one.items])
        except Exception:
            for one in waiting:
                _tell(one, self._settled_alone(one.items))
            return
        begin = 0
        for one in waiting:
            end = begin + len(one.items)
            _tell(one, found[begin:end])
            begin = end

    def _settled_alone(self, items: Sequence[T]) -> Sequence[R | None]:
        try:
            return self._settle(items)
        except Exception:  # the worker threads try again, and say what is wrong
            return [None] * len(items)


def _tell(one: _Waiting[T, R], found: Sequence[R | None]) -> None:
    if not one.answer.done():  # else its client has left
        one.answer.set_result(found)
