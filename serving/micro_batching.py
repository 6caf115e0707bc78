"""Events of several requests, decided together in one call of a worker thread.

A request that finds a worker free goes at once; what comes while all are busy waits its turn in
the admission queue, and a worker that becomes free takes what has accumulated. So there is no
timer and no added wait, and batches grow with load alone (natural batching; the opposite of the
`max_queue_delay` of Triton and Clipper, Crankshaw et al. 2017). Longer requests go in parts.

Verdicts may not depend on their neighbours: `decide` must answer each item as if it were alone.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import CancelledError, Executor, Future
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Generic, Protocol, TypeVar

from data_contracts.config import Admission, Batching, Priority
from serving import admission as waiting_room
from serving.admission import AdmissionCounts, AdmissionQueue
from serving.drain_rate import DrainRate
from serving.shedding import Refusal, Refused
from serving.tickets import Batch, Ticket

T = TypeVar("T")
R = TypeVar("R")

WAKE_SECONDS = 0.001  # between two looks at what expires, at least


class BatchCounts(AdmissionCounts, Protocol):
    """Where requests and batches are counted; `split` is called in worker threads."""

    def decided(self, priority: Priority, events: int, seconds: float) -> None: ...

    def split(self) -> None:
        """A batch failed, and its items are decided one by one."""
        ...


class Uncounted(waiting_room.Uncounted):
    """For who does not count."""

    def decided(self, priority: Priority, events: int, seconds: float) -> None: ...

    def split(self) -> None: ...


class Request(Generic[T, R]):
    """What one client waits for: its items, and the answers so far, in the items' order."""

    def __init__(self, items: Sequence[T], answer: asyncio.Future[list[R]]) -> None:
        self.items = items
        self.answer = answer
        self._found: dict[int, R] = {}

    def take(self, at: int, found: R | Failure) -> None:
        """The answer to item number `at`; the first failure is the request's."""
        if self.answer.done():
            return
        if isinstance(found, Failure):
            self.answer.set_exception(found.error)
            return
        self._found[at] = found
        if len(self._found) == len(self.items):
            self.answer.set_result([self._found[at] for at in range(len(self.items))])


@dataclass(frozen=True)
class Failure:
    """Stands where an item has no answer."""

    error: Exception


class MicroBatcher(Generic[T, R]):
    """Used from one event loop. `decide` runs in `workers` of `threads`, and answers in order.

    `decide` must not act (record, count) before it has all its answers: after a failure it is
    called again with each item alone, so that one bad item costs its neighbours nothing.
    `work_of` is what an item is expected to take, in milliseconds; without it all count alike.
    """

    def __init__(
        self,
        decide: Callable[[Sequence[T]], Sequence[R]],
        threads: Executor,
        workers: int,
        admission: Admission,
        batching: Batching,
        work_of: Callable[[T], float] = lambda _item: 1.0,
        clock: Callable[[], float] = time.monotonic,
        counts: BatchCounts | None = None,
    ) -> None:
        self._decide = decide
        self._threads = threads
        self._work_of = work_of
        self._clock = clock
        self._counts: BatchCounts = counts or Uncounted()
        self._rate = DrainRate(workers, admission.expected_microseconds / 1e6)
        self.queue = AdmissionQueue[Request[T, R]](
            admission, batching, self._rate, _tell, self._counts
        )
        self._free = workers
        self._alarm: asyncio.TimerHandle | None = None
        self._alarm_at = math.inf

    def turn_away(self, priority: Priority, deadline: float) -> None:
        """Before a body is read: raises Refused where any request would be shed."""
        refusal = self.queue.turn_away(priority, deadline, self._clock())
        if refusal is not None:
            raise Refused(refusal)

    async def submit(
        self,
        items: Sequence[T],
        priority: Priority,
        deadline: float,
        client_left: Callable[[], Awaitable[object]] | None = None,
    ) -> list[R]:
        """The answers, in order. Raises Refused where the request was shed, or what `decide` did.

        `deadline` is a time of the clock. Where the request must wait, `client_left` is awaited
        beside it: when that returns (ClientLeft), or the caller is cancelled, no work is begun.
        """
        if not items:
            return []
        request = Request[T, R](items, asyncio.get_running_loop().create_future())
        works = [self._work_of(item) for item in items]
        ticket = self.queue.offer(request, works, priority, deadline, self._clock())
        if isinstance(ticket, Refusal):
            raise Refused(ticket)
        self._start_batches()
        try:
            if client_left is not None and not ticket.taken:
                return await _unless_left(request.answer, client_left)
            return await request.answer
        finally:
            self.queue.withdraw(ticket)
            request.answer.cancel()  # without effect where there is one

    def close(self) -> None:
        """Shed what waits; what has begun is finished."""
        self.queue.close(self._clock())

    def _start_batches(self) -> None:
        while self._free and (batch := self.queue.take(self._clock())) is not None:
            self._start(batch)
        self._set_alarm()

    def _start(self, batch: Batch[Request[T, R]]) -> None:
        items = [
            item for one in batch.slices for item in one.ticket.owner.items[one.start : one.stop]
        ]
        number = self._rate.begin(batch.priority, batch.work, self._clock())
        self._free -= 1
        hand_back = partial(self._hand_back, asyncio.get_running_loop(), batch, number)
        try:  # not `run_in_executor`, whose chain of futures costs two more turns of the loop
            call = self._threads.submit(self._work, items, hand_back)
        except RuntimeError as error:  # the threads were shut down
            self._finish(batch, number, [Failure(error)] * len(items))
        else:
            call.add_done_callback(partial(_note_dropped, hand_back, len(items)))

    def _work(self, items: Sequence[T], hand_back: Callable[[Sequence[R | Failure]], None]) -> None:
        """Runs in a worker thread."""
        try:
            found = self._decided(items)
        except BaseException as error:
            hand_back([_undecided(error)] * len(items))
            raise
        hand_back(found)

    def _hand_back(
        self,
        loop: asyncio.AbstractEventLoop,
        batch: Batch[Request[T, R]],
        number: int,
        found: Sequence[R | Failure],
    ) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(self._go_on, batch, number, found)

    def _decided(self, items: Sequence[T]) -> list[R | Failure]:
        try:
            return list(self._in_order(items))
        except Exception as error:
            if len(items) == 1:
                return [Failure(error)]
        self._counts.split()
        return [found for item in items for found in self._decided([item])]

    def _in_order(self, items: Sequence[T]) -> Sequence[R]:
        found = self._decide(items)
        if len(found) != len(items):
            raise ValueError(f"{len(found)} answers to {len(items)} items; give one an item")
        return found

    def _go_on(
        self, batch: Batch[Request[T, R]], number: int, found: Sequence[R | Failure]
    ) -> None:
        self._finish(batch, number, found)
        self._start_batches()

    def _finish(
        self, batch: Batch[Request[T, R]], number: int, found: Sequence[R | Failure]
    ) -> None:
        """The worker is free; every request of the batch gets its answers."""
        self._free += 1
        seconds = self._rate.end(number, self._clock())
        self._counts.decided(batch.priority, len(found), seconds)
        answers = iter(found)
        for one in batch.slices:
            for at in range(one.start, one.stop):
                one.ticket.owner.take(at, next(answers))
            if one.ticket.owner.answer.done():  # failed or left: the rest of it is not begun
                self.queue.withdraw(one.ticket)

    def _set_alarm(self) -> None:
        """Wakes when the first of those who wait expires, whatever the workers do."""
        at = self.queue.next_expiry()
        if at is None or at >= self._alarm_at:
            return
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm_at = at
        delay = max(at - self._clock(), WAKE_SECONDS)
        self._alarm = asyncio.get_running_loop().call_later(delay, self._wake)

    def _wake(self) -> None:
        self._alarm, self._alarm_at = None, math.inf
        self.queue.expire(self._clock())
        self._set_alarm()


class ClientLeft(Exception):
    """The client was gone before any work had begun for it."""


async def _unless_left(
    answer: asyncio.Future[list[R]], client_left: Callable[[], Awaitable[object]]
) -> list[R]:
    watch = asyncio.ensure_future(client_left())
    try:
        await asyncio.wait((answer, watch), return_when=asyncio.FIRST_COMPLETED)
        if answer.done():
            return answer.result()
        raise ClientLeft
    finally:
        watch.cancel()


def _tell(ticket: Ticket[Request[T, R]], refusal: Refusal) -> None:
    if not ticket.owner.answer.done():
        ticket.owner.answer.set_exception(Refused(refusal))


def _note_dropped(
    hand_back: Callable[[Sequence[Failure]], None], items: int, call: Future[None]
) -> None:
    """A call that was cancelled before it began, when the threads were shut down."""
    if call.cancelled():
        hand_back([_undecided(CancelledError())] * items)


def _undecided(error: BaseException) -> Failure:
    return Failure(RuntimeError(f"the batch was not decided ({type(error).__name__})"))
