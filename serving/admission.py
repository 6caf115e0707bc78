"""Who may wait for a worker, who goes first, and who is turned away before any work is done.

Four classes with one bounded waiting room, each with its share of it. A higher class goes first,
and an arrival displaces waiting work of a lower class where the room is full. Nobody is let in
to wait for an answer that would come too late: the expected wait follows from the work ahead and
the measured drain rate (`serving.drain_rate`), and is held against the request's deadline. A
queue so bounded in time stays short under any overload, the aim of CoDel (Nichols, Jacobson 2012;
RFC 8289) and of its use for requests (Maurer 2015, Fail at Scale); that the lowest class goes
first is DAGOR's rule (Zhou et al. 2018, Overload Control for Scaling WeChat Microservices).

No event loop, no thread, no clock of its own: `serving.micro_batching` drives it.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Generic, Protocol, TypeVar

from data_contracts.config import PRIORITIES, Admission, Batching, Priority
from serving.drain_rate import DrainRate
from serving.shedding import Reason, Refusal
from serving.tickets import RECENT_SECONDS, Batch, Room, Slice, Ticket, places_of

LARGEST_OWN_SHARE = 0.5  # of its time that a request may ask for its own work

T = TypeVar("T")


class AdmissionCounts(Protocol):
    """Where it is counted how requests end; each of them exactly once."""

    def admitted(self, priority: Priority, waited_seconds: float) -> None: ...

    def shed(self, priority: Priority, reason: Reason) -> None: ...

    def withdrawn(self, priority: Priority) -> None: ...


class Uncounted:
    """For who does not count."""

    def admitted(self, priority: Priority, waited_seconds: float) -> None: ...

    def shed(self, priority: Priority, reason: Reason) -> None: ...

    def withdrawn(self, priority: Priority) -> None: ...


class AdmissionQueue(Generic[T]):
    """The waiting room. `on_shed` is told of every request that was let in and then shed."""

    def __init__(
        self,
        admission: Admission,
        batching: Batching,
        rate: DrainRate,
        on_shed: Callable[[Ticket[T], Refusal], None],
        counts: AdmissionCounts | None = None,
    ) -> None:
        self._admission = admission
        self._batching = batching
        self._rate = rate
        self._on_shed = on_shed
        self._counts: AdmissionCounts = counts or Uncounted()
        self._rooms: dict[Priority, Room[T]] = {one: Room(0) for one in PRIORITIES}
        self.limit({})
        self._latest_starts: list[tuple[float, int, Ticket[T]]] = []
        self._offers = 0

    def __len__(self) -> int:
        return sum(len(room.tickets) for room in self._rooms.values())

    def limit(self, shares: Mapping[str, float]) -> None:
        """Hold classes to less than their configured share; one that is not named has that again.

        Who waits already is not turned out.
        """
        for one, room in self._rooms.items():
            share = min(self._admission.classes[one].share, shares.get(one, 1.0))
            room.capacity = places_of(self._admission.waiting_requests, share)

    def waiting(self, priority: Priority) -> int:
        """Requests of a class that wait."""
        return len(self._rooms[priority].tickets)

    # Coming

    def turn_away(self, priority: Priority, deadline: float, now: float) -> Refusal | None:
        """Before the body is read: a counted refusal where there is no hope for any request."""
        why = self._why_not(priority, 0.0, deadline, now)
        return None if why is None else self._refused(priority, 1.0, why, now)

    def offer(
        self, owner: T, works: Sequence[float], priority: Priority, deadline: float, now: float
    ) -> Ticket[T] | Refusal:
        """A place in the room, or why there is none."""
        work = sum(works)
        if (why := self._why_not(priority, work, deadline, now)) is not None:
            return self._refused(priority, work, why, now)
        if self._is_full:
            self._shed(self._lowest_below(priority), "displaced", now)
        self._offers += 1
        ticket = Ticket(owner, works, priority, deadline, now, self._offers)
        self._rooms[priority].tickets[ticket.number] = ticket
        self._rooms[priority].work += work
        self._watch(ticket)
        return ticket

    def _why_not(
        self, priority: Priority, work: float, deadline: float, now: float
    ) -> Reason | None:
        if len(self._rooms[priority].tickets) >= self._rooms[priority].capacity:
            return "saturated" if self._is_full else "over_share"
        if self._is_full and self._displaceable(priority) is None:
            return "saturated"
        wait = self._rate.seconds_until_worked_off(self._work_ahead(priority), priority, now)
        allowance = deadline - now
        needed = wait + self._own_seconds(work, allowance)
        planned = allowance * self._admission.classes[priority].planned_share
        return "deadline" if needed > planned else None

    def _own_seconds(self, work: float, allowance_seconds: float) -> float:
        """What a request's own work takes; no more than a share of its time, since an idle server
        tries everything, and the cascade leaves out stages that do not fit."""
        share = max(allowance_seconds, 0.0) * LARGEST_OWN_SHARE
        return min(self._rate.cautious_seconds(work), share)

    def _work_ahead(self, priority: Priority) -> float:
        ahead = PRIORITIES[: PRIORITIES.index(priority) + 1]
        return sum(self._rooms[one].work for one in ahead)

    @property
    def _is_full(self) -> bool:
        return len(self) >= self._admission.waiting_requests

    def _displaceable(self, priority: Priority) -> Ticket[T] | None:
        """The newest of the lowest class below: it would have waited longest."""
        for below in reversed(PRIORITIES[PRIORITIES.index(priority) + 1 :]):
            for ticket in reversed(self._rooms[below].tickets.values()):
                if not ticket.taken:
                    return ticket
        return None

    def _lowest_below(self, priority: Priority) -> Ticket[T]:
        found = self._displaceable(priority)
        if found is None:
            raise AssertionError("a full room without lower classes was not refused")
        return found

    # Going

    def take(self, now: float) -> Batch[T] | None:
        """What a free worker does next; None where nothing waits that can still be answered."""
        self.expire(now)
        for priority in PRIORITIES:
            slices = tuple(self._filled(priority, now))
            if slices:
                work = sum(sum(one.ticket.works[one.start : one.stop]) for one in slices)
                return Batch(priority, slices, work)
        return None

    def _filled(self, priority: Priority, now: float) -> Iterator[Slice[T]]:
        """The oldest requests of a class, as far as they fit one batch.

        A batch ends before the tightest deadline in it, and its length bounds how long a more
        urgent arrival waits for a worker: a long request goes in parts, its place kept.
        """
        items, work = 0, 0.0
        latest_end = now + self._batching.maximum_milliseconds / 1000
        for ticket in list(self._rooms[priority].tickets.values()):
            start = ticket.taken
            if not start:
                if self._latest_start(ticket) <= now:
                    self._shed(ticket, "expired", now)
                    continue
                latest_end = min(latest_end, ticket.deadline)
            for one in ticket.works[start:]:
                is_over = now + self._rate.seconds(work + one) > latest_end
                if items == self._batching.maximum_events or (items and is_over):
                    break
                items, work = items + 1, work + one
                self._take_item(ticket, one)
            if ticket.taken > start:
                yield Slice(ticket, start, ticket.taken)
            if ticket.taken < len(ticket.works):
                return
            self._admit(ticket, now)

    def _take_item(self, ticket: Ticket[T], work: float) -> None:
        ticket.taken += 1
        self._rooms[ticket.priority].work -= work

    def _admit(self, ticket: Ticket[T], now: float) -> None:
        self._leave(ticket)
        ticket.state = "admitted"
        self._counts.admitted(ticket.priority, now - ticket.offered_at)

    # Leaving before its turn

    def withdraw(self, ticket: Ticket[T]) -> None:
        """Its client has left: no work for it. Without effect where it does not wait."""
        if ticket.state == "waiting":
            self._leave(ticket)
            ticket.state = "withdrawn"
            self._counts.withdrawn(ticket.priority)

    def expire(self, now: float) -> None:
        """Shed what could not be answered in time even if it began now."""
        while self._latest_starts and self._latest_starts[0][0] <= now:
            _, _, ticket = heapq.heappop(self._latest_starts)
            if not _may_expire(ticket):
                continue
            if self._latest_start(ticket) > now:  # workers have become faster since
                self._watch(ticket)
            else:
                self._shed(ticket, "expired", now)

    def next_expiry(self) -> float | None:
        """When `expire` should be called at the latest."""
        while self._latest_starts and not _may_expire(self._latest_starts[0][2]):
            heapq.heappop(self._latest_starts)
        return self._latest_starts[0][0] if self._latest_starts else None

    def close(self, now: float) -> None:
        """Shed everything that waits."""
        for room in self._rooms.values():
            for ticket in list(room.tickets.values()):
                self._shed(ticket, "stopping", now)

    def _latest_start(self, ticket: Ticket[T]) -> float:
        return ticket.deadline - self._own_seconds(ticket.work_left, ticket.allowance_seconds)

    def _watch(self, ticket: Ticket[T]) -> None:
        if len(self._latest_starts) > 2 * len(self) + 64:  # forget those who have left
            self._latest_starts = [one for one in self._latest_starts if _may_expire(one[2])]
            heapq.heapify(self._latest_starts)
        latest = self._latest_start(ticket)
        heapq.heappush(self._latest_starts, (latest, ticket.number, ticket))

    def _shed(self, ticket: Ticket[T], reason: Reason, now: float) -> None:
        self._leave(ticket)
        ticket.state = "shed"
        self._on_shed(ticket, self._refused(ticket.priority, ticket.work_left, reason, now))

    def _leave(self, ticket: Ticket[T]) -> None:
        room = self._rooms[ticket.priority]
        del room.tickets[ticket.number]
        room.work = room.work - ticket.work_left if room.tickets else 0.0

    def _refused(self, priority: Priority, work: float, reason: Reason, now: float) -> Refusal:
        self._counts.shed(priority, reason)
        self._rooms[priority].turned_away.add(work, now)
        return Refusal(priority, reason, self._retry_after(priority, now))

    def _retry_after(self, priority: Priority, now: float) -> int:
        """Whole seconds in which what waits, and what was lately turned away, is worked off."""
        again = self._rooms[priority].turned_away.rate(now) * RECENT_SECONDS
        work = self._work_ahead(priority) + again
        seconds = self._rate.seconds_until_worked_off(work, priority, now)
        return max(1, min(math.ceil(seconds), self._admission.maximum_retry_after_seconds))


def _may_expire(ticket: Ticket[T]) -> bool:
    return ticket.state == "waiting" and not ticket.taken
