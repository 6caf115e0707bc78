"""10,000 steps over the label queue, on SQLite and on a real PostgreSQL, held against a model.

Hypothesis chooses the steps: reviewers lease, answer, give back and vanish, adjudicators settle,
batches are judged, clocks jump both ways, processes start anew, commits fail, several callers act
at once. The model is the queue's rules written as plainly as they can be; beside it stands a
record of every answer that was confirmed, from which nothing may be missing or stand twice.
"""

from __future__ import annotations

import math
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, TypeVar

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import Connection, Engine, delete, event, select

from data_contracts.errors import BadInput, LabelRefused
from pipelines.labelling.queue import ExposureLimit, LabelQueue, NewTask
from pipelines.labelling.queue_tables import (
    BATCH_TRANSITIONS,
    METADATA,
    STATES,
    TASKS,
    BatchState,
)
from pipelines.labelling.samplers import Draw
from pipelines.state import create_tables, open_state

T = TypeVar("T")
STEPS = 10_000
STEPS_A_RUN = 102
RUNS_A_ROUND = 20
CHECKED_EVERY = 10  # steps between two readings of everything
DAYS = ("2026-01-05", "2026-01-06")
REVIEWERS = ("ana", "ben", "cid", "dee")
SYNCHRONISATION = "label-studio"  # holds tasks on behalf of the reviewers
START = datetime(2026, 1, 7, 9, 0, tzinfo=UTC)
LEASE = timedelta(seconds=900)
LIMIT = ExposureLimit(cap=3, window=timedelta(hours=1))
JUMPS = (-400_000, -3_000, -20, 20, 300, 1_000, 4_000, 400_000)

days = st.sampled_from(DAYS)
reviewers = st.sampled_from(REVIEWERS)
holders = st.sampled_from((*REVIEWERS, SYNCHRONISATION))
adjudicators = st.sampled_from((*REVIEWERS, "eve"))
labels = st.sampled_from(("spam", "ham"))
few = st.integers(1, 3)
picks = st.integers(0, 2**16)  # an index into whatever there is: draws never depend on races


@dataclass
class ModelTask:
    """A task as the rules know it; an answer is (reviewer, label, source, batch, time)."""

    id: int
    new: NewTask
    turn: tuple[str, int, int]
    state: str = "open"
    holder: str | None = None
    expires: datetime = START
    answers: list[tuple[str, str, str, str, datetime]] = field(default_factory=list)


class Model:
    """The queue's rules, for one caller at a time."""

    def __init__(self) -> None:
        self.tasks: dict[int, ModelTask] = {}
        self.batches: dict[str, BatchState] = {}
        self.given: dict[tuple[str, int], datetime] = {}

    def in_turn(self) -> list[ModelTask]:
        return sorted(self.tasks.values(), key=lambda task: task.turn)

    def expire(self, now: datetime) -> int:
        late = [task for task in self.tasks.values() if task.holder and task.expires <= now]
        for task in late:
            self.hand_back(task)
        return len(late)

    def hand_back(self, task: ModelTask) -> None:
        task.state = "open" if task.state == "leased" else "contested"
        task.holder = None

    def eligible(self, state: str, reviewer: str, day: str | None) -> list[ModelTask]:
        return [
            task
            for task in self.in_turn()
            if task.state == state
            and task.new.day == (day or task.new.day)
            and reviewer not in {answer[0] for answer in task.answers}
        ]

    def left(self, reviewer: str, now: datetime) -> int:
        seen = [at for (who, _), at in self.given.items() if who == reviewer]
        return max(0, LIMIT.cap - sum(at > now - LIMIT.window for at in seen))

    def choose(
        self, state: str, reviewer: str, n: int, now: datetime, day: str | None, capped: bool
    ) -> list[int]:
        left = self.left(reviewer, now) if capped else n
        chosen: list[int] = []
        for task in self.eligible(state, reviewer, day):
            if task.new.sensitive and left == 0:
                continue
            left -= task.new.sensitive
            chosen.append(task.id)
        return chosen[:n]

    def lease(
        self, ids: list[int], reviewer: str, now: datetime, lease: timedelta, capped: bool
    ) -> None:
        for task in (self.tasks[one] for one in ids):
            task.state = "leased" if task.state == "open" else "adjudicating"
            task.holder, task.expires = reviewer, now + lease
            if capped:
                self.expose(task, reviewer, now)

    def expose(self, task: ModelTask, reviewer: str, now: datetime) -> None:
        if task.new.sensitive:
            key = reviewer, task.id
            self.given[key] = max(now, self.given.get(key, now))

    def counting(self, task: ModelTask) -> list[tuple[str, str, str, str, datetime]]:
        return [one for one in task.answers if self.batches[one[3]] != "removed"]

    def stand(self, task: ModelTask) -> str:
        """Where the answers that count put a task that nobody holds."""
        counting = self.counting(task)
        if any(answer[2] == "adjudication" for answer in counting):
            return "labelled"
        if len(counting) < task.new.answers_wanted:
            return "open"
        one_voice = len({answer[1] for answer in counting}) == 1
        return "labelled" if one_voice or task.new.gold else "contested"

    def answer(
        self, task_id: int, holder: str, label: str, now: datetime, source: str, **who: Any
    ) -> bool:
        """Whether the answer is taken."""
        task = self.tasks.get(task_id)
        reviewer = who.get("reviewer") or holder
        wanted = "adjudicating" if source == "adjudication" else "leased"
        if task is None or (task.state, task.holder) != (wanted, holder):
            return False
        batch = who.get("batch") or f"{task.new.day}/{reviewer}"
        if self.batches.get(batch) == "removed" or reviewer in {one[0] for one in task.answers}:
            return False
        self.batches.setdefault(batch, "accepted")
        if source == "adjudication":
            now = max(now, max(one[4] for one in task.answers) + timedelta(microseconds=1))
        task.answers.append((reviewer, label, source, batch, now))
        if reviewer != holder:
            self.expose(task, reviewer, now)
        task.state, task.holder = self.stand(task), None
        return True

    def judge(self, batch: str, state: BatchState) -> int | None:
        """How many answers the batch has; None where the judgement is refused."""
        before = self.batches.get(batch)
        if before is None or (state != before and state not in BATCH_TRANSITIONS[before]):
            return None
        if state == before:
            return 0
        self.batches[batch] = state
        if state == "removed":
            self.take_away(batch)
        return sum(one[3] == batch for task in self.tasks.values() for one in task.answers)

    def take_away(self, batch: str) -> None:
        for task in self.tasks.values():
            mine = any(answer[3] == batch for answer in task.answers)
            stand = self.stand(task)
            kept = task.state == "adjudicating" and stand == "contested"
            if mine and task.state != "leased" and not kept:
                task.state, task.holder = stand, None

    def labels(self, day: str) -> set[tuple[str, str, str]]:
        """(event, reviewer, label) of every label that counts."""
        found = set()
        for task in self.tasks.values():
            shown = [one for one in task.answers if self.batches[one[3]] == "accepted"]
            settled = len({one[1] for one in shown}) == 1 or "adjudication" in {
                one[2] for one in shown
            }
            if task.new.day == day and task.state == "labelled" and settled and not task.new.gold:
                found |= {(task.new.draw.event_id, one[0], one[1]) for one in shown}
        return found


class LabelQueueMachine(RuleBasedStateMachine):
    """Does the same to the queue and to the model, and compares."""

    url: ClassVar[str]
    engine: ClassVar[Engine]
    queue: ClassVar[LabelQueue]
    steps: ClassVar[int]
    seen: ClassVar[Counter[str]]

    def __init__(self) -> None:
        super().__init__()
        self.now, self.model, self.begun = START, Model(), False
        self.confirmed: Counter[tuple[int, str, str, str]] = Counter()
        self.gone: set[tuple[int, str]] = set()
        with self.engine.begin() as connection:
            for table in reversed(METADATA.sorted_tables):
                connection.execute(delete(table))

    @classmethod
    def open(cls, url: str) -> None:
        cls.url, cls.engine = url, open_state(url)
        cls.queue = LabelQueue(cls.engine, LEASE.total_seconds(), LIMIT)

    def teardown(self) -> None:
        self.compare()

    # Steps

    @initialize(first=st.integers(0, 40), n=st.integers(4, 16))
    def begin(self, first: int, n: int) -> None:
        for day in DAYS:
            self.enqueue(day, first, n, 1)

    @rule(day=days, first=st.integers(0, 60), n=st.integers(1, 12), callers=st.integers(1, 3))
    def enqueue(self, day: str, first: int, n: int, callers: int) -> None:
        """One sampler puts tasks in, or several the same ones at the same time."""
        new = [new_task(day, i) for i in range(first, first + n)]
        known = {(task.new.day, task.new.draw.event_id) for task in self.model.tasks.values()}
        fresh = [one for one in new if (day, one.draw.event_id) not in known]
        added = together([lambda: self.queue.enqueue(new, self.now)] * callers)
        assert sum(added) == len(fresh)
        self.seen["concurrent enqueue"] += callers > 1
        for task_id, event_id, rank in self.stored(day):
            for one in fresh:
                if one.draw.event_id == event_id:
                    turn = (day, rank, task_id)
                    self.model.tasks[task_id] = ModelTask(task_id, one, turn)

    @rule(
        holder=holders, n=few, day=st.sampled_from((None, *DAYS)),
        lease=st.sampled_from((None, 60.0)),
    )  # fmt: skip
    def lease(self, holder: str, n: int, day: str | None, lease: float | None) -> None:
        self.model.expire(self.now)
        capped = holder != SYNCHRONISATION
        wanted = self.model.choose("open", holder, n, self.now, day, capped)
        held = self.queue.lease(holder, n, self.now, day=day, lease_seconds=lease, capped=capped)
        assert [task.id for task in held] == wanted
        self.take(wanted, holder, timedelta(seconds=lease) if lease else LEASE, capped)

    @rule(reviewer=reviewers, n=few, answers=st.lists(labels, min_size=3, max_size=3))
    def work(self, reviewer: str, n: int, answers: list[str]) -> None:
        """The usual case: take some tasks and answer them."""
        self.lease(reviewer, n, None, None)
        mine = [task.id for task in self.model.in_turn() if task.holder == reviewer]
        for task_id, label in zip(mine, answers, strict=False):
            if self.model.tasks[task_id].state == "leased":
                self.say(task_id, reviewer, label)

    @rule(first=st.integers(0, 3), one=labels, other=labels)
    def two_work(self, first: int, one: str, other: str) -> None:
        """So that second opinions come in, and differ."""
        self.work(REVIEWERS[first], 1, [one])
        self.work(REVIEWERS[(first + 1) % 4], 1, [other])

    @rule(first=st.integers(0, 3), second=st.integers(1, 3), n=few)
    def lease_at_once(self, first: int, second: int, n: int) -> None:
        """Two reviewers ask at the same time: each may come first, neither gets the other's."""
        self.model.expire(self.now)
        self.queue.expire(self.now)
        pair = [REVIEWERS[first], REVIEWERS[(first + second) % 4]]
        fit = [{task.id for task in self.model.eligible("open", who, None)} for who in pair]
        found = together([leasing(self.queue, who, n, self.now) for who in pair])
        assert not set(found[0]) & set(found[1])
        for who, ids, eligible in zip(pair, found, fit, strict=True):
            assert set(ids) <= eligible
            self.take(ids, who, LEASE, capped=True)
        self.seen["concurrent lease"] += all(found)

    @rule(pick=picks, label=labels, on_behalf=reviewers)
    def submit(self, pick: int, label: str, on_behalf: str) -> None:
        """Answer a task that somebody holds and has not vanished with."""
        task = self.held("leased", pick)
        if task is None or task.holder is None:
            self.say(pick, on_behalf, label)
        elif task.holder == SYNCHRONISATION:
            self.say(task.id, task.holder, label, reviewer=on_behalf)
        else:
            self.say(task.id, task.holder, label)

    @rule(pick=picks, holder=holders, label=labels, batch=st.sampled_from((None, "import")))
    def submit_anyhow(self, pick: int, holder: str, label: str, batch: str | None) -> None:
        """Answer any task, held or not: also what a caller does who repeats a call."""
        task_id = self.any_task(pick)
        self.say(task_id, holder, label, batch=batch)

    @rule(pick=picks, holder=holders, held=st.booleans())
    def release(self, pick: int, holder: str, held: bool) -> None:
        known = self.model.tasks.get(self.any_task(pick))
        if held:
            known = self.held("leased", pick) or self.held("adjudicating", pick) or known
            holder = (known.holder if known else None) or holder
        allowed = known is not None and known.holder == holder
        refused = attempt(lambda: self.queue.release(known.id if known else 0, holder))
        assert refused != allowed
        if known and allowed:
            self.model.hand_back(known)

    @rule(pick=picks)
    def vanish(self, pick: int) -> None:
        """A holder is never heard of again: only the end of the lease frees the task."""
        task = self.held("leased", pick)
        if task is not None and task.holder is not None:
            self.gone.add((task.id, task.holder))
            self.seen["vanished"] += 1

    @rule()
    def expire(self) -> None:
        expired = self.model.expire(self.now)
        assert self.queue.expire(self.now) == expired
        self.seen["expired"] += expired

    @rule(adjudicator=adjudicators, n=few, label=labels, settle=st.booleans())
    def adjudicate(self, adjudicator: str, n: int, label: str, settle: bool) -> None:
        """Take contested tasks, and settle them or leave that for later."""
        self.model.expire(self.now)
        wanted = self.model.choose("contested", adjudicator, n, self.now, None, capped=True)
        held = self.queue.lease_contested(adjudicator, n, self.now)
        assert [task.id for task in held] == wanted
        self.take(wanted, adjudicator, LEASE, capped=True)
        for task_id in wanted if settle else []:
            self.settle(task_id, adjudicator, label)

    @rule(pick=picks, adjudicator=adjudicators, label=labels)
    def adjudicate_later(self, pick: int, adjudicator: str, label: str) -> None:
        """Settle a task that somebody took before, or try to settle any."""
        task = self.held("adjudicating", pick)
        if task is not None and task.holder is not None:
            self.settle(task.id, task.holder, label)
        else:
            self.settle(self.any_task(pick), adjudicator, label)

    @rule(
        pick=picks,
        adjudicated=st.booleans(),
        state=st.sampled_from(("accepted", "quarantined", "removed")),
    )
    def judge_batch(self, pick: int, adjudicated: bool, state: BatchState) -> None:
        everything = sorted(self.model.batches)
        allowed = [one for one in everything if state in BATCH_TRANSITIONS[self.state_of(one)]]
        known = (self.adjudicated_batches() if adjudicated else allowed) or everything
        batch = known[pick % len(known)] if known else "none"
        before = Counter(task.state for task in self.model.tasks.values())
        wanted = self.model.judge(batch, state)
        try:
            found = self.queue.set_batch_state(batch, state, "test", "eve", self.now)
        except BadInput:
            found = None
        assert found == wanted
        after = Counter(task.state for task in self.model.tasks.values())
        self.seen[f"batch {state}"] += bool(found)
        self.seen["reopened"] += after["open"] > before["open"]
        self.seen["disputed again"] += after["contested"] > before["contested"]

    @rule(pick=picks, adjudicator=adjudicators, label=labels)
    def settle_and_withdraw(self, pick: int, adjudicator: str, label: str) -> None:
        """So that disputes come back: a settled one loses the answer that settled it."""
        self.adjudicate(adjudicator, 3, label, settle=True)
        self.judge_batch(pick, adjudicated=True, state="removed")

    @rule(seconds=st.sampled_from(JUMPS), restart=st.integers(0, 7))
    def clock(self, seconds: int, restart: int) -> None:
        """Time jumps; now and then the process ends meanwhile and another opens the database."""
        self.now += timedelta(seconds=seconds)
        if restart == 0:
            self.engine.dispose()
            self.open(self.url)
            self.seen["restart"] += 1

    @rule(pick=picks, reviewer=reviewers, label=labels)
    def crash_before_commit(self, pick: int, reviewer: str, label: str) -> None:
        """Each writing call dies when all is written but nothing is committed: nothing happened."""
        held = self.held("leased", pick)
        batches = sorted(self.model.batches) or ["none"]
        calls: list[Callable[[], object]] = [
            lambda: self.queue.lease(reviewer, 3, self.now),
            lambda: self.queue.enqueue([new_task(DAYS[0], 999)], self.now),
            lambda: self.queue.expire(self.now),
        ]
        if held is not None and held.holder is not None:
            task_id, holder = held.id, held.holder
            calls.append(lambda: self.queue.submit(task_id, holder, label, self.now))  # type: ignore[arg-type]
            calls.append(lambda: self.queue.release(task_id, holder))
        calls.append(
            lambda: self.queue.set_batch_state(
                batches[pick % len(batches)], "removed", "", "eve", self.now
            )
        )
        event.listen(self.engine, "commit", die)
        try:
            calls[pick % len(calls)]()
        except (PowerCut, LabelRefused, BadInput) as error:
            self.seen["crash"] += isinstance(error, PowerCut)
        finally:
            event.remove(self.engine, "commit", die)

    # What must hold

    @invariant()
    def sometimes_compare(self) -> None:
        if not self.begun:  # Hypothesis looks before the first step too
            self.begun = True
            return
        type(self).steps += 1
        if self.steps % CHECKED_EVERY == 0:
            self.compare()

    def compare(self) -> None:
        self.no_answer_is_lost_or_doubled()
        self.every_task_is_where_its_answers_put_it()
        for day in DAYS:
            self.labels_are_those_that_count(day)

    def no_answer_is_lost_or_doubled(self) -> None:
        stored = self.queue.answers()
        assert self.confirmed == Counter(
            (one.task_id, one.reviewer, one.label, one.batch) for one in stored
        )
        assert len({(one.task_id, one.reviewer) for one in stored}) == len(stored)

    def every_task_is_where_its_answers_put_it(self) -> None:
        with self.engine.begin() as connection:
            rows = connection.execute(select(TASKS.c.id, TASKS.c.state, TASKS.c.reviewer)).all()
        assert {row.id: (row.state, row.reviewer) for row in rows} == {
            task.id: (task.state, task.holder) for task in self.model.tasks.values()
        }
        counted: Counter[str] = Counter()
        for states in self.queue.progress().values():
            counted.update(states)
        assert counted == Counter(dict.fromkeys(STATES, 0)) + Counter(row.state for row in rows)

    def labels_are_those_that_count(self, day: str) -> None:
        found = self.queue.labels(day)
        pairs = [(label.event_id, label.reviewer) for label in found]
        assert len(pairs) == len(set(pairs))
        assert {(*pair, one.label) for pair, one in zip(pairs, found, strict=True)} == (
            self.model.labels(day)
        )
        assert not {label.event_id for label in found} & GOLD_EVENTS
        for one in found:
            if one.source == "adjudication":
                others = [label for label in found if label.event_id == one.event_id]
                assert max(others, key=lambda label: label.observed_at) == one

    # Words the steps are made of

    def take(self, ids: list[int], holder: str, lease: timedelta, capped: bool) -> None:
        for task_id in ids:
            assert self.model.tasks[task_id].holder is None, "given to two"
            self.gone.discard((task_id, holder))
        self.model.lease(ids, holder, self.now, lease, capped)
        if capped:
            since = self.now - LIMIT.window
            given = [at for (who, _), at in self.model.given.items() if who == holder]
            if any(self.model.tasks[one].new.sensitive for one in ids):
                assert sum(at > since for at in given) <= LIMIT.cap
            self.seen["at the exposure limit"] += self.model.left(holder, self.now) == 0

    def say(self, task_id: int, holder: str, label: str, **who: Any) -> None:
        taken = self.model.answer(task_id, holder, label, self.now, "reviewer", **who)
        refused = attempt(
            lambda: self.queue.submit(task_id, holder, label, self.now, **who)  # type: ignore[arg-type]
        )
        self.keep(task_id, taken, refused)

    def settle(self, task_id: int, adjudicator: str, label: str) -> None:
        taken = self.model.answer(task_id, adjudicator, label, self.now, "adjudication")
        refused = attempt(
            lambda: self.queue.adjudicate(task_id, adjudicator, label, self.now)  # type: ignore[arg-type]
        )
        self.keep(task_id, taken, refused)
        self.seen["adjudicated"] += taken

    def keep(self, task_id: int, taken: bool, refused: bool) -> None:
        assert taken != refused
        self.seen["refused"] += refused
        if taken:
            task = self.model.tasks[task_id]
            reviewer, label, _, batch, _ = task.answers[-1]
            self.confirmed[task_id, reviewer, label, batch] += 1
            self.seen[f"answered: {task.state}"] += 1

    def held(self, state: str, pick: int) -> ModelTask | None:
        found = [
            task
            for task in self.model.in_turn()
            if task.state == state and (task.id, task.holder) not in self.gone
        ]
        return found[pick % len(found)] if found else None

    def state_of(self, batch: str) -> BatchState:
        return self.model.batches[batch]

    def adjudicated_batches(self) -> list[str]:
        given = [answer for task in self.model.tasks.values() for answer in task.answers]
        return sorted({answer[3] for answer in given if answer[2] == "adjudication"})

    def any_task(self, pick: int) -> int:
        known = self.model.in_turn()
        return known[pick % len(known)].id if known else 0

    def stored(self, day: str) -> list[tuple[int, str, int]]:
        chosen = select(TASKS.c.id, TASKS.c.event_id, TASKS.c.rank).where(TASKS.c.day == day)
        with self.engine.begin() as connection:
            return list(connection.execute(chosen).tuples())


class PowerCut(Exception):
    """What a process feels that dies before its commit."""


def die(_connection: Connection) -> None:
    raise PowerCut


def new_task(day: str, i: int) -> NewTask:
    """Event number `i`: some want two answers or three, some are gold, some are sensitive."""
    return NewTask(
        Draw(f"e{i:03d}", "audit", 0.25),
        day,
        reasons=("link",),
        answers_wanted=(1, 2, 2, 1, 3)[i % 5],
        gold="spam" if i % 7 == 3 else None,
        sensitive=i % 3 == 1,
    )


GOLD_EVENTS = {f"e{i:03d}" for i in range(100) if i % 7 == 3}


def leasing(queue: LabelQueue, who: str, n: int, now: datetime) -> Callable[[], list[int]]:
    return lambda: [task.id for task in queue.lease(who, n, now)]


def together(calls: list[Callable[[], T]]) -> list[T]:
    """What each call returns, made at the same time in threads of their own."""
    if len(calls) == 1:
        return [calls[0]()]
    start, found = threading.Barrier(len(calls)), dict[int, T]()

    def call(i: int) -> None:
        start.wait(30)
        found[i] = calls[i]()

    threads = [threading.Thread(target=call, args=(i,)) for i in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return [found[i] for i in range(len(calls))]


def attempt(call: Callable[[], object]) -> bool:
    """Whether the queue refused."""
    try:
        call()
    except LabelRefused:
        return True
    return False


@pytest.mark.timeout(900)  # a loaded machine; alone it takes about a minute
def test_ten_thousand_steps_lose_no_label_and_double_none(state_url: str) -> None:
    machine = LabelQueueMachine
    machine.steps, machine.seen = 0, Counter()
    machine.open(state_url)
    create_tables(machine.engine, METADATA)
    number = 0
    while machine.steps < STEPS:
        missing_runs = math.ceil((STEPS - machine.steps) / STEPS_A_RUN)
        profile = settings(
            max_examples=min(missing_runs, RUNS_A_ROUND),
            stateful_step_count=STEPS_A_RUN,
            deadline=None,
            database=None,
            phases=[Phase.generate, Phase.shrink],
            suppress_health_check=list(HealthCheck),
        )
        run_state_machine_as_test(seed(number)(machine), settings=profile)
        number += 1
    machine.engine.dispose()
    assert machine.steps >= STEPS
    happened = [
        "answered: open", "answered: labelled", "answered: contested", "refused", "expired",
        "adjudicated", "batch accepted", "batch quarantined", "batch removed", "reopened",
        "disputed again", "crash", "vanished", "restart", "concurrent enqueue", "concurrent lease",
        "at the exposure limit",
    ]  # fmt: skip
    rare = {name: machine.seen[name] for name in happened if machine.seen[name] < 3}
    assert not rare, f"the walk hardly met {rare}"
