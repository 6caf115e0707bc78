"""The label queue on SQLite and on a real PostgreSQL: no label is lost, none counts twice."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from multiprocessing.connection import Connection
from threading import Barrier

import pytest
from sqlalchemy import Engine, insert
from sqlalchemy.exc import IntegrityError

from data_contracts.errors import ContractViolation, LabelRefused
from data_contracts.labels import Label
from pipelines.labelling.queue import LabelQueue, NewTask, open_label_queue
from pipelines.labelling.queue_tables import METADATA, STATES, TASKS, TRANSITIONS
from pipelines.labelling.samplers import Draw
from pipelines.state import create_tables, open_state

FRESH = multiprocessing.get_context("forkserver")  # as clean as spawn, imports once
FRESH.set_forkserver_preload([__name__])
DAY = "2026-01-05"
NOW = datetime(2026, 1, 6, 9, 0, tzinfo=UTC)
LEASE_SECONDS = 900.0
LEASE = timedelta(seconds=LEASE_SECONDS)


@pytest.fixture
def engine(state_url: str) -> Iterator[Engine]:
    engine = open_state(state_url)
    create_tables(engine, METADATA)
    yield engine
    engine.dispose()


@pytest.fixture
def queue(engine: Engine) -> LabelQueue:
    return LabelQueue(engine, LEASE_SECONDS)


def tasks(n: int, day: str = DAY) -> list[NewTask]:
    return [NewTask(Draw(f"e{i:03d}", "audit", 0.25), day, 0.5, "3") for i in range(n)]


def counts(**states: int) -> dict[str, int]:
    return dict.fromkeys(STATES, 0) | states


def answer_everything(url: str, reviewer: str, start: Barrier) -> None:
    """A reviewer in a process or thread of their own, until the queue is empty."""
    queue = open_label_queue(url, LEASE_SECONDS)
    start.wait(60)
    while held := queue.lease(reviewer, 3, NOW):
        for task in held:
            queue.submit(task.id, reviewer, "spam", NOW)


def hold_and_hang(url: str, connection: Connection) -> None:
    queue = open_label_queue(url, LEASE_SECONDS)
    connection.send([task.id for task in queue.lease("doomed", 2, NOW)])
    connection.recv()  # never comes


def answer_and_report(url: str, connection: Connection) -> None:
    queue = open_label_queue(url, LEASE_SECONDS)
    while held := queue.lease("doomed", 5, NOW):
        for task in held:
            queue.submit(task.id, "doomed", "ham", NOW)
            connection.send(task.event_id)


def check_one_label_an_event(labels: list[Label], n: int) -> None:
    assert Counter(label.event_id for label in labels) == {f"e{i:03d}": 1 for i in range(n)}


def test_a_label_keeps_where_it_came_from(queue: LabelQueue) -> None:
    queue.enqueue([NewTask(Draw("e1", "audit", 0.25), DAY, 0.5, "3")], NOW)
    (task,) = queue.lease("ana", 5, NOW)
    assert (task.event_id, task.score, task.model_version) == ("e1", 0.5, "3")
    assert task.lease_expires_at == NOW + LEASE
    queue.submit(task.id, "ana", "spam", NOW + timedelta(seconds=40))
    observed_at = NOW + timedelta(seconds=40)
    assert queue.labels(DAY) == [
        Label("e1", "spam", "reviewer", "ana", "audit", 0.25, observed_at, f"{DAY}/ana")
    ]


def test_enqueuing_again_adds_nothing_and_touches_nothing(queue: LabelQueue) -> None:
    assert queue.enqueue(tasks(3), NOW) == 3
    (task,) = queue.lease("ana", 1, NOW)
    queue.submit(task.id, "ana", "ham", NOW)
    assert queue.enqueue(tasks(4), NOW) == 1
    assert queue.progress() == {DAY: counts(open=3, labelled=1)}
    assert queue.sampled(DAY) == {"audit": 4}


def test_an_event_may_have_a_task_on_each_of_two_days(queue: LabelQueue) -> None:
    assert queue.enqueue(tasks(1, "2026-01-06") + tasks(1, "2026-01-05"), NOW) == 2
    assert list(queue.progress()) == ["2026-01-05", "2026-01-06"]
    assert [task.day for task in queue.lease("ana", 2, NOW)] == ["2026-01-05", "2026-01-06"]


def test_tasks_are_leased_in_the_order_of_their_selection(queue: LabelQueue) -> None:
    chosen = [NewTask(Draw(name, "margin"), DAY) for name in ("z", "a", "m")]
    queue.enqueue(chosen, NOW)
    assert [task.event_id for task in queue.lease("ana", 2, NOW)] == ["z", "a"]
    assert [task.event_id for task in queue.lease("ben", 2, NOW)] == ["m"]
    assert queue.lease("ana", 1, NOW) == []


def test_a_second_submission_is_refused_whoever_makes_it(queue: LabelQueue) -> None:
    queue.enqueue(tasks(1), NOW)
    (task,) = queue.lease("ana", 1, NOW)
    queue.submit(task.id, "ana", "spam", NOW)
    for reviewer in ("ana", "ben"):
        with pytest.raises(LabelRefused, match="has its label already"):
            queue.submit(task.id, reviewer, "ham", NOW)
    assert [label.label for label in queue.labels(DAY)] == ["spam"]


def test_only_the_holder_can_submit_or_release(queue: LabelQueue) -> None:
    queue.enqueue(tasks(1), NOW)
    (task,) = queue.lease("ana", 1, NOW)
    with pytest.raises(LabelRefused, match="another reviewer than ben"):
        queue.submit(task.id, "ben", "spam", NOW)
    with pytest.raises(LabelRefused, match="another reviewer than ben"):
        queue.release(task.id, "ben")
    queue.release(task.id, "ana")
    with pytest.raises(LabelRefused, match="not leased by ana"):
        queue.submit(task.id, "ana", "spam", NOW)
    with pytest.raises(LabelRefused, match="task 999 is not in the queue"):
        queue.submit(999, "ana", "spam", NOW)
    assert queue.labels(DAY) == []


def test_a_lease_runs_out_at_its_time_and_the_task_comes_back(queue: LabelQueue) -> None:
    queue.enqueue(tasks(1), NOW)
    (task,) = queue.lease("ana", 1, NOW)
    assert queue.expire(NOW + LEASE - timedelta(microseconds=1)) == 0
    assert queue.lease("ben", 1, NOW + LEASE - timedelta(microseconds=1)) == []
    assert [again.id for again in queue.lease("ben", 1, NOW + LEASE)] == [task.id]
    with pytest.raises(LabelRefused, match="another reviewer than ana"):
        queue.submit(task.id, "ana", "spam", NOW + LEASE)
    queue.submit(task.id, "ben", "ham", NOW + LEASE)
    assert [label.reviewer for label in queue.labels(DAY)] == ["ben"]


def test_a_late_label_counts_while_nobody_else_was_given_the_task(queue: LabelQueue) -> None:
    queue.enqueue(tasks(1), NOW)
    (task,) = queue.lease("ana", 1, NOW)
    queue.submit(task.id, "ana", "spam", NOW + 2 * LEASE)
    assert queue.expire(NOW + 3 * LEASE) == 0
    assert len(queue.labels(DAY)) == 1


def test_a_clock_that_goes_back_neither_loses_nor_doubles_a_label(queue: LabelQueue) -> None:
    queue.enqueue(tasks(2), NOW)
    early = NOW - timedelta(hours=3)
    (first,) = queue.lease("ana", 1, NOW)
    assert [task.id for task in queue.lease("ben", 2, early)] != [first.id]
    queue.submit(first.id, "ana", "spam", early)
    with pytest.raises(LabelRefused):
        queue.submit(first.id, "ana", "spam", NOW)
    (second,) = queue.lease("cid", 1, early + LEASE)  # ben's, who leased it by the early clock
    queue.submit(second.id, "cid", "ham", NOW)
    check_one_label_an_event(queue.labels(DAY), 2)


def test_a_clock_that_jumps_ahead_ends_leases_but_one_label_counts(queue: LabelQueue) -> None:
    queue.enqueue(tasks(1), NOW)
    (task,) = queue.lease("ana", 1, NOW)
    queue.lease("ben", 1, NOW + timedelta(days=400))
    with pytest.raises(LabelRefused):
        queue.submit(task.id, "ana", "spam", NOW)
    queue.submit(task.id, "ben", "ham", NOW)
    check_one_label_an_event(queue.labels(DAY), 1)


def test_wrong_arguments_are_refused_with_the_remedy(queue: LabelQueue, engine: Engine) -> None:
    queue.enqueue(tasks(1), NOW)
    (task,) = queue.lease("ana", 1, NOW)
    with pytest.raises(ContractViolation, match="write spam or ham"):
        queue.submit(task.id, "ana", "maybe", NOW)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="reviewer is empty"):
        queue.lease("", 1, NOW)
    with pytest.raises(ValueError, match="n 0 is outside"):
        queue.lease("ana", 0, NOW)
    with pytest.raises(ValueError, match="lease_seconds 0 must be above 0"):
        LabelQueue(engine, 0)


def test_the_database_itself_refuses_an_unknown_state(engine: Engine) -> None:
    row = {"event_id": "e", "day": DAY, "rank": 0, "strategy": "audit", "sampled_at": NOW}
    with pytest.raises(IntegrityError), engine.begin() as connection:
        connection.execute(insert(TASKS).values(**row, state="lost"))


def test_every_state_can_be_reached_and_left_by_the_table() -> None:
    assert {before for before, _ in TRANSITIONS} == set(STATES)
    assert set(TRANSITIONS.values()) == set(STATES)


def test_concurrent_reviewers_in_threads_never_share_a_task(
    state_url: str, queue: LabelQueue
) -> None:
    queue.enqueue(tasks(60), NOW)
    start = threading.Barrier(4)
    reviewers = [
        threading.Thread(target=answer_everything, args=(state_url, f"r{i}", start))
        for i in range(4)
    ]
    for reviewer in reviewers:
        reviewer.start()
    for reviewer in reviewers:
        reviewer.join(60)
    check_one_label_an_event(queue.labels(DAY), 60)
    assert queue.progress()[DAY] == counts(labelled=60)


def test_concurrent_reviewers_in_processes_lose_no_label(state_url: str, queue: LabelQueue) -> None:
    queue.enqueue(tasks(90), NOW)
    start = FRESH.Barrier(2)
    reviewers = [
        FRESH.Process(target=answer_everything, args=(state_url, f"r{i}", start)) for i in range(2)
    ]
    for reviewer in reviewers:
        reviewer.start()
    for reviewer in reviewers:
        reviewer.join(60)
    assert [reviewer.exitcode for reviewer in reviewers] == [0, 0]
    check_one_label_an_event(queue.labels(DAY), 90)


def test_concurrent_enqueuing_of_the_same_day_makes_one_task_an_event(
    state_url: str, queue: LabelQueue
) -> None:
    added: list[int] = []
    samplers = [
        threading.Thread(target=lambda: added.append(queue.enqueue(tasks(50), NOW)))
        for _ in range(3)
    ]
    for sampler in samplers:
        sampler.start()
    for sampler in samplers:
        sampler.join(60)
    assert sum(added) == 50
    assert queue.sampled(DAY) == {"audit": 50}


def test_tasks_of_a_reviewer_killed_in_mid_lease_come_back(
    state_url: str, queue: LabelQueue
) -> None:
    queue.enqueue(tasks(2), NOW)
    ours, theirs = FRESH.Pipe()
    doomed = FRESH.Process(target=hold_and_hang, args=(state_url, theirs))
    doomed.start()
    held = ours.recv()
    os.kill(doomed.pid or 0, signal.SIGKILL)
    doomed.join(30)
    assert len(held) == 2
    assert queue.lease("ana", 2, NOW + LEASE / 2) == []
    assert [task.id for task in queue.lease("ana", 2, NOW + LEASE)] == held


def test_labels_that_a_killed_reviewer_had_confirmed_are_all_there_once(
    state_url: str, queue: LabelQueue
) -> None:
    queue.enqueue(tasks(80), NOW)
    ours, theirs = FRESH.Pipe()
    doomed = FRESH.Process(target=answer_and_report, args=(state_url, theirs))
    doomed.start()
    confirmed = [ours.recv() for _ in range(20)]
    os.kill(doomed.pid or 0, signal.SIGKILL)
    doomed.join(30)
    theirs.close()
    while ours.poll():
        try:
            confirmed.append(ours.recv())
        except EOFError:
            break
    stored = [label.event_id for label in queue.labels(DAY)]
    assert set(confirmed) <= set(stored)
    assert len(stored) == len(set(stored))
    while held := queue.lease("ana", 10, NOW + LEASE):
        for task in held:
            queue.submit(task.id, "ana", "ham", NOW + LEASE)
    check_one_label_an_event(queue.labels(DAY), 80)


def test_any_sequence_of_steps_ends_with_one_label_an_event(queue: LabelQueue) -> None:
    """A seeded walk: reviewers lease, answer, give back, vanish; the clock jumps both ways."""
    walk, now = random.Random(5), NOW
    queue.enqueue(tasks(12), NOW)
    accepted: list[str] = []
    held: list[tuple[str, int, str]] = []
    for _ in range(150):
        now += timedelta(seconds=walk.choice([-2000, -10, 10, 300, 2000]))
        reviewer = walk.choice(["ana", "ben", "cid"])
        step = walk.choice(["lease", "submit", "submit", "release", "expire", "enqueue"])
        if step == "lease":
            leased = queue.lease(reviewer, walk.randint(1, 3), now)
            held += [(reviewer, task.id, task.event_id) for task in leased]
        elif step in ("submit", "release") and held:
            who, task_id, event_id = walk.choice(held)
            try:
                if step == "submit":
                    queue.submit(task_id, who, "spam", now)
                    accepted.append(event_id)
                else:
                    queue.release(task_id, who)
            except LabelRefused:
                pass
        elif step == "expire":
            queue.expire(now)
        elif step == "enqueue":
            assert queue.enqueue(tasks(12), now) == 0
        stored = [label.event_id for label in queue.labels(DAY)]
        assert sorted(accepted) == stored
        assert sum(queue.progress()[DAY].values()) == 12
    assert len(accepted) > 6
