"""The waiting room, class by class, with a clock that the test sets."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import pytest

from data_contracts.config import PRIORITIES, Admission, Batching, Priority, PriorityClass
from serving.admission import AdmissionQueue, Uncounted
from serving.drain_rate import DrainRate
from serving.shedding import Reason, Refusal, Refused
from serving.tickets import Batch, Ticket


class Counts(Uncounted):
    """Remembers."""

    def __init__(self) -> None:
        self.ended: Counter[tuple[str, str]] = Counter()

    def admitted(self, priority: Priority, waited_seconds: float) -> None:
        self.ended[priority, "admitted"] += 1

    def shed(self, priority: Priority, reason: Reason) -> None:
        self.ended[priority, reason] += 1

    def withdrawn(self, priority: Priority) -> None:
        self.ended[priority, "withdrawn"] += 1


def admission(room: int = 8, share: float = 0.5, planned_share: float = 1.0) -> Admission:
    shares = {"interactive": 1.0, "normal": share, "bulk": share, "shadow": share}
    return Admission(
        waiting_requests=room,
        expected_microseconds=1000,
        maximum_retry_after_seconds=30,
        classes={
            one: PriorityClass(
                share=shares[one], planned_share=planned_share, deadline_milliseconds=100
            )
            for one in PRIORITIES
        },
    )


class Room:
    """A queue over one worker of 1 ms a unit of work, and what became of requests by name."""

    def __init__(self, settings: Admission | None = None, batch: Batching | None = None) -> None:
        self.rate = DrainRate(1, 0.001)
        self.rate._deviation = 0.0
        self.counts = Counts()
        self.shed: dict[str, Refusal] = {}
        self.queue: AdmissionQueue[str] = AdmissionQueue(
            settings or admission(),
            batch or Batching(maximum_events=10, maximum_milliseconds=1000),
            self.rate,
            lambda ticket, refusal: self.shed.update({ticket.owner: refusal}),
            self.counts,
        )

    def offer(
        self,
        name: str,
        priority: Priority = "normal",
        works: tuple[float, ...] = (1.0,),
        deadline: float = 10.0,
        now: float = 0.0,
    ) -> Any:
        return self.queue.offer(name, works, priority, deadline, now)

    def take(self, now: float = 0.0) -> list[tuple[str, int, int]]:
        batch = self.queue.take(now)
        return _named(batch)


def _named(batch: Batch[str] | None) -> list[tuple[str, int, int]]:
    slices = batch.slices if batch else ()
    return [(one.ticket.owner, one.start, one.stop) for one in slices]


def test_the_higher_class_goes_first_and_within_a_class_the_older_request() -> None:
    room = Room()
    for name, priority in (("b", "bulk"), ("n1", "normal"), ("n2", "normal"), ("i", "interactive")):
        room.offer(name, priority)  # type: ignore[arg-type]
    taken = [[name for name, *_ in room.take()] for _ in range(4)]
    assert taken == [["i"], ["n1", "n2"], ["b"], []]


def test_an_interactive_arrival_takes_the_place_of_the_newest_of_the_lowest_class() -> None:
    room = Room(admission(room=4))
    for name, priority in (("n1", "normal"), ("s1", "shadow"), ("n2", "normal"), ("s2", "shadow")):
        room.offer(name, priority)  # type: ignore[arg-type]
    assert isinstance(room.offer("i1", "interactive"), Ticket)
    assert isinstance(room.offer("i2", "interactive"), Ticket)
    assert isinstance(room.offer("i3", "interactive"), Ticket)
    assert [*room.shed] == ["s2", "s1", "n2"]
    assert {one.reason for one in room.shed.values()} == {"displaced"}
    assert {one.status for one in room.shed.values()} == {503}
    assert len(room.queue) == 4


def test_a_full_room_without_a_lower_class_is_saturated_and_a_full_share_is_not() -> None:
    room = Room(admission(room=4))
    assert isinstance(room.offer("n1"), Ticket)
    assert isinstance(room.offer("n2"), Ticket)
    over = room.offer("n3")
    assert (over.reason, over.status) == ("over_share", 429)
    room.offer("i1", "interactive")
    room.offer("i2", "interactive")
    assert (room.offer("n4").reason, room.offer("b", "bulk").reason) == ("saturated", "saturated")
    assert room.offer("n4").status == 503


def test_what_cannot_be_answered_in_time_is_not_let_in() -> None:
    room = Room(admission(room=100))
    room.offer("first", works=(50.0,), deadline=0.1)  # 50 ms of work wait
    assert isinstance(room.offer("fits", works=(10.0,), deadline=0.061), Ticket)
    late = room.offer("late", works=(10.0,), deadline=0.065)
    assert (late.reason, late.status) == ("deadline", 503)
    assert isinstance(room.offer("urgent", "interactive", (10.0,), deadline=0.065), Ticket)


def test_only_a_share_of_the_time_is_planned_with() -> None:
    room = Room(admission(room=100, planned_share=0.5))
    room.offer("first", works=(50.0,), deadline=1.0)
    assert room.offer("late", deadline=0.1).reason == "deadline"
    assert isinstance(room.offer("fits", deadline=0.11), Ticket)


def test_an_idle_server_tries_a_request_that_seems_too_long() -> None:
    room = Room()
    assert isinstance(room.offer("long", works=(500.0,), deadline=0.1), Ticket)
    assert room.take() == [("long", 0, 1)]


def test_who_has_waited_too_long_is_shed_and_not_worked_on() -> None:
    room = Room()
    room.offer("a", works=(10.0,), deadline=0.1)
    room.offer("b", works=(10.0,), deadline=0.2)
    assert room.queue.next_expiry() == pytest.approx(0.09)
    room.queue.expire(0.0899)
    assert not room.shed
    assert room.take(0.0901) == [("b", 0, 1)]
    assert (room.shed["a"].reason, room.shed["a"].status) == ("expired", 503)


def test_the_room_of_a_class_that_never_has_its_turn_empties_by_itself() -> None:
    room = Room(admission(room=8))
    for tick in range(100):
        room.offer(f"b{tick}", "bulk", deadline=tick + 0.5, now=tick)
        room.queue.expire(tick + 0.6)
    assert len(room.queue) == 0
    assert room.counts.ended["bulk", "expired"] == 100


def test_a_batch_ends_before_its_tightest_deadline() -> None:
    room = Room()
    room.offer("a", works=(30.0,), deadline=1.0)
    room.offer("b", works=(30.0,), deadline=0.1)
    room.offer("c", works=(30.0,), deadline=1.0)
    room.offer("d", works=(30.0,), deadline=1.0)
    assert [name for name, *_ in room.take()] == ["a", "b", "c"]
    assert [name for name, *_ in room.take()] == ["d"]


def test_a_batch_is_bounded_in_events_and_in_time() -> None:
    few = Room(batch=Batching(maximum_events=2, maximum_milliseconds=1000))
    short = Room(batch=Batching(maximum_events=10, maximum_milliseconds=2.5))
    for room in (few, short):
        for name in "abc":
            room.offer(name)
        assert [[name for name, *_ in room.take()] for _ in range(2)] == [["a", "b"], ["c"]]


def test_a_long_request_goes_in_parts_and_urgent_ones_go_between() -> None:
    room = Room(batch=Batching(maximum_events=2, maximum_milliseconds=1000))
    room.offer("long", "bulk", (1.0,) * 5)
    assert room.take() == [("long", 0, 2)]
    room.offer("urgent", "interactive")
    room.offer("next", "bulk")
    assert [room.take() for _ in range(3)] == [
        [("urgent", 0, 1)],
        [("long", 2, 4)],
        [("long", 4, 5), ("next", 0, 1)],
    ]


def test_a_request_that_has_begun_is_neither_displaced_nor_expired() -> None:
    room = Room(admission(room=2), Batching(maximum_events=1, maximum_milliseconds=1000))
    room.offer("begun", "bulk", (1.0, 1.0), deadline=0.5)
    assert room.take() == [("begun", 0, 1)]
    room.offer("i1", "interactive", deadline=100.0)
    assert room.offer("i2", "interactive").reason == "saturated"
    room.queue.expire(50.0)
    assert not room.shed
    assert [room.take(50.0), room.take(50.0)] == [[("i1", 0, 1)], [("begun", 1, 2)]]


def test_who_left_is_not_worked_on() -> None:
    room = Room()
    gone = room.offer("gone")
    room.offer("here")
    room.queue.withdraw(gone)
    room.queue.withdraw(gone)
    assert room.take() == [("here", 0, 1)]
    assert room.counts.ended == {("normal", "withdrawn"): 1, ("normal", "admitted"): 1}


def test_the_time_to_try_again_is_that_in_which_the_backlog_is_worked_off() -> None:
    room = Room(admission(room=4))
    room.offer("n1", works=(2500.0,), deadline=100.0)
    room.offer("n2", works=(500.0,), deadline=100.0)
    assert room.offer("n3", works=(1500.0,), deadline=100.0).retry_after_seconds == 5  # of 4.5
    assert room.offer("n4", works=(1e9,), deadline=100.0).retry_after_seconds == 30
    assert Room(admission(room=1)).offer("x", deadline=-1.0).retry_after_seconds == 1


def test_a_request_without_hope_is_turned_away_before_its_body_is_read() -> None:
    room = Room(admission(room=4))
    assert room.queue.turn_away("normal", 0.1, 0.0) is None
    room.offer("n1", works=(200.0,), deadline=1.0)
    refusal = room.queue.turn_away("normal", 0.1, 0.0)
    assert refusal is not None
    assert refusal.reason == "deadline"
    assert room.queue.turn_away("interactive", 0.1, 0.0) is None
    assert room.counts.ended == {("normal", "deadline"): 1}


def test_a_stopping_server_sheds_what_waits_and_says_so() -> None:
    room = Room()
    room.offer("a")
    room.offer("b", "interactive")
    room.queue.close(0.0)
    assert {name: one.reason for name, one in room.shed.items()} == {
        "a": "stopping",
        "b": "stopping",
    }
    assert (len(room.queue), room.queue.next_expiry()) == (0, None)


def test_a_refusal_says_what_was_wrong_and_when_to_come_again() -> None:
    said = str(Refused(Refusal("bulk", "over_share", 7)))
    assert said == (
        "bulk request shed: the class holds its whole share of the waiting room; try again in 7 s"
    )


def test_requests_that_have_left_are_not_kept_in_memory() -> None:
    room = Room(admission(room=8))
    for number in range(10_000):
        room.offer(f"r{number}", deadline=math.inf)
        room.take()
    assert len(room.queue._latest_starts) < 100
