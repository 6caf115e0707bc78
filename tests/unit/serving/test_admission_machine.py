"""Whatever comes, in whatever order: every request offered ends exactly once, and none is lost."""

from __future__ import annotations

from collections import Counter

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from data_contracts.config import PRIORITIES, Batching, Priority
from serving.admission import AdmissionQueue
from serving.drain_rate import DrainRate
from serving.shedding import Refusal
from serving.tickets import Batch, Ticket
from tests.unit.serving.test_admission import Counts, admission

ROOM = 6
BATCH = Batching(maximum_events=4, maximum_milliseconds=20)
MILLISECONDS = st.integers(0, 60)


class AdmissionMachine(RuleBasedStateMachine):
    """Three workers take, finish and hang; clients offer, wait too long and leave."""

    @initialize(share=st.sampled_from([0.2, 0.5, 1.0]), planned=st.sampled_from([0.5, 1.0]))
    def open(self, share: float, planned: float) -> None:
        self.now = 0.0
        self.rate = DrainRate(3, 0.001)
        self.counts = Counts()
        self.offered: Counter[Priority] = Counter()
        self.waiting: dict[int, Ticket[int]] = {}
        self.admitted: Counter[int] = Counter()
        self.ended: Counter[int] = Counter()
        self.running: list[int] = []
        self.queue: AdmissionQueue[int] = AdmissionQueue(
            admission(ROOM, share, planned), BATCH, self.rate, self.note_shed, self.counts
        )

    def note_shed(self, ticket: Ticket[int], refusal: Refusal) -> None:
        assert ticket.taken == 0, "work was done for a request that was shed"
        assert refusal.priority == ticket.priority
        assert 1 <= refusal.retry_after_seconds <= 30
        self.ended[ticket.owner] += 1
        del self.waiting[ticket.owner]

    @rule(
        priority=st.sampled_from(PRIORITIES),
        works=st.lists(st.floats(0.1, 30.0), min_size=1, max_size=9),
        patience=st.integers(-5, 200),
    )
    def offer(self, priority: Priority, works: list[float], patience: int) -> None:
        name = self.offered.total()
        self.offered[priority] += 1
        ticket = self.queue.offer(name, works, priority, self.now + patience / 1000, self.now)
        if isinstance(ticket, Refusal):
            self.ended[name] += 1
        else:
            self.waiting[name] = ticket

    @precondition(lambda self: len(self.running) < 3)
    @rule()
    def take(self) -> None:
        before = {one: self.queue.waiting(one) for one in PRIORITIES}
        batch = self.queue.take(self.now)
        if batch is None:
            assert not self.waiting, "a worker was free and a request waited"
            return
        self.check(batch)
        assert all(
            not self.queue.waiting(one)
            for one in PRIORITIES[: PRIORITIES.index(batch.priority)]
            if before[one]
        ), "a lower class went first"
        self.running.append(self.rate.begin(batch.priority, batch.work, self.now))

    def check(self, batch: Batch[int]) -> None:
        taken = [one for part in batch.slices for one in part.ticket.works[part.start : part.stop]]
        assert 1 <= len(taken) <= BATCH.maximum_events
        for part in batch.slices:
            ticket = part.ticket
            assert ticket.priority == batch.priority
            assert self.admitted[ticket.owner] == part.start, "an item was left out or taken twice"
            self.admitted[ticket.owner] = part.stop
            if part.stop == len(ticket.works):
                self.ended[ticket.owner] += 1
                del self.waiting[ticket.owner]

    @precondition(lambda self: self.running)
    @rule(which=st.integers(0, 2))
    def finish(self, which: int) -> None:
        self.rate.end(self.running.pop(which % len(self.running)), self.now)

    @precondition(lambda self: self.waiting)
    @rule(which=st.integers(0, ROOM))
    def leave(self, which: int) -> None:
        names = sorted(self.waiting)
        ticket = self.waiting.pop(names[which % len(names)])
        self.queue.withdraw(ticket)
        self.queue.withdraw(ticket)
        self.ended[ticket.owner] += 1

    @rule(milliseconds=MILLISECONDS)
    def pass_time(self, milliseconds: int) -> None:
        self.now += milliseconds / 1000
        self.queue.expire(self.now)
        upcoming = self.queue.next_expiry()
        assert upcoming is None or upcoming > self.now

    @invariant()
    def every_request_waits_or_has_ended_once(self) -> None:
        assert set(self.ended.values()) <= {1}
        assert len(self.ended) + len(self.waiting) == self.offered.total()
        counted: Counter[str] = Counter()
        for (priority, _), count in self.counts.ended.items():
            counted[priority] += count
        for one in PRIORITIES:
            assert counted[one] + self.queue.waiting(one) == self.offered[one]

    @invariant()
    def the_room_is_bounded_and_its_work_is_that_of_who_waits(self) -> None:
        assert len(self.queue) == len(self.waiting) <= ROOM
        for one in PRIORITIES:
            left = sum(t.work_left for t in self.waiting.values() if t.priority == one)
            assert abs(self.queue._rooms[one].work - left) < 1e-6

    def teardown(self) -> None:
        if not hasattr(self, "queue"):
            return
        begun = {name for name, ticket in self.waiting.items() if ticket.taken}
        while (batch := self.queue.take(self.now)) is not None:
            self.check(batch)
        assert not self.waiting
        assert all(self.ended[name] == 1 for name in begun)
        self.every_request_waits_or_has_ended_once()


TestAdmission = AdmissionMachine.TestCase
TestAdmission.settings = settings(
    max_examples=150, stateful_step_count=60, deadline=None, database=None, derandomize=True
)
