"""The label queue on SQLite and on a real PostgreSQL: no label is lost, none counts twice."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from multiprocessing.connection import Connection
from threading import Barrier

import pytest
from sqlalchemy import Engine, insert
from sqlalchemy.exc import IntegrityError

from data_contracts.errors import BadInput, ContractViolation, LabelRefused
from data_contracts.labels import Label, LabelName
from pipelines.labelling.label_batches import set_state
from pipelines.labelling.queue import ExposureLimit, LabelQueue, NewTask, Task, open_label_queue
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


def doubled(n: int = 1) -> list[NewTask]:
    return [replace(task, answers_wanted=2) for task in tasks(n)]


def answer_each(queue: LabelQueue, **labels: LabelName) -> int:
    """Each reviewer leases one task and answers it; the id of the last one's task."""
    task_id = 0
    for reviewer, label in labels.items():
        (task,) = queue.lease(reviewer, 1, NOW)
        queue.submit(task.id, reviewer, label, NOW)
        task_id = task.id
    return task_id


def given_labels(queue: LabelQueue) -> dict[str, str]:
    return {label.reviewer: label.label for label in queue.labels(DAY)}


def test_reasons_and_the_blur_flag_reach_the_reviewer_and_the_known_answer_does_not(
    queue: LabelQueue,
) -> None:
    new = NewTask(Draw("e1", "audit"), DAY, reasons=("link", "caps"), gold="spam", sensitive=True)
    queue.enqueue([new], NOW)
    (task,) = queue.lease("ana", 1, NOW)
    assert (task.reasons, task.sensitive) == (("link", "caps"), True)
    assert "gold" not in Task.__dataclass_fields__


def test_a_gold_answer_is_provenance_and_never_a_label(queue: LabelQueue) -> None:
    queue.enqueue([replace(tasks(1)[0], gold="spam"), *tasks(2)[1:]], NOW)
    for task in queue.lease("ana", 2, NOW):
        queue.submit(task.id, "ana", "ham", NOW)
    assert [label.event_id for label in queue.labels(DAY)] == ["e001"]
    assert [(answer.event_id, answer.gold) for answer in queue.answers(DAY)] == [
        ("e000", "spam"),
        ("e001", None),
    ]
    assert queue.sampled(DAY) == {"audit": 1}


def test_two_answers_that_agree_make_a_label_of_each(queue: LabelQueue) -> None:
    queue.enqueue(doubled(), NOW)
    answer_each(queue, ana="spam")
    assert queue.progress()[DAY] == counts(open=1)
    assert queue.labels(DAY) == []
    assert queue.lease("ana", 1, NOW) == []
    answer_each(queue, ben="spam")
    assert queue.progress()[DAY] == counts(labelled=1)
    assert given_labels(queue) == {"ana": "spam", "ben": "spam"}


def test_two_answers_that_differ_are_settled_by_somebody_else_and_that_label_is_the_latest(
    queue: LabelQueue,
) -> None:
    queue.enqueue(doubled(), NOW)
    task_id = answer_each(queue, ana="spam", ben="ham")
    assert queue.progress()[DAY] == counts(contested=1)
    assert queue.lease("cid", 1, NOW) == []
    assert queue.lease_contested("ana", 1, NOW) == []
    before = NOW - timedelta(hours=5)
    (task,) = queue.lease_contested("cid", 1, before)
    assert task.id == task_id
    assert queue.lease_contested("dee", 1, before) == []
    with pytest.raises(LabelRefused, match="is contested; adjudicate it"):
        queue.submit(task_id, "cid", "ham", before)
    queue.adjudicate(task_id, "cid", "ham", before)
    latest = max(queue.labels(DAY), key=lambda label: label.observed_at)
    assert (latest.reviewer, latest.label, latest.source) == ("cid", "ham", "adjudication")
    assert len(queue.labels(DAY)) == 3
    with pytest.raises(LabelRefused, match="has its label already"):
        queue.adjudicate(task_id, "cid", "ham", NOW)


def test_an_adjudicator_may_give_a_task_back_or_let_it_run_out(queue: LabelQueue) -> None:
    queue.enqueue(doubled(), NOW)
    task_id = answer_each(queue, ana="spam", ben="ham")
    queue.lease_contested("cid", 1, NOW)
    queue.release(task_id, "cid")
    assert queue.progress()[DAY] == counts(contested=1)
    queue.lease_contested("cid", 1, NOW)
    assert [task.id for task in queue.lease_contested("dee", 1, NOW + LEASE)] == [task_id]
    with pytest.raises(LabelRefused, match="leased by another reviewer than cid"):
        queue.adjudicate(task_id, "cid", "ham", NOW + LEASE)


def test_a_holder_submits_on_behalf_of_reviewers_who_each_answer_once(queue: LabelQueue) -> None:
    queue.enqueue(doubled(), NOW)
    (task,) = queue.lease("label-studio", 1, NOW, lease_seconds=5)
    assert task.lease_expires_at == NOW + timedelta(seconds=5)
    queue.submit(task.id, "label-studio", "spam", NOW, reviewer="ana", batch="import-1")
    (task,) = queue.lease("label-studio", 1, NOW)
    with pytest.raises(LabelRefused, match="was answered by ana"):
        queue.submit(task.id, "label-studio", "ham", NOW, reviewer="ana")
    queue.submit(task.id, "label-studio", "spam", NOW, reviewer="ben")
    assert [(answer.reviewer, answer.batch) for answer in queue.answers()] == [
        ("ana", "import-1"),
        ("ben", f"{DAY}/ben"),
    ]
    with pytest.raises(ValueError, match="kept for adjudicate"):
        queue.submit(task.id, "label-studio", "spam", NOW, source="adjudication")


def test_quarantine_hides_labels_and_acceptance_brings_them_back(queue: LabelQueue) -> None:
    queue.enqueue(tasks(2), NOW)
    answer_each(queue, ana="spam", ben="ham")
    batch = f"{DAY}/ana"
    assert queue.set_batch_state(batch, "quarantined", "gold missed", "eve", NOW) == 1
    assert given_labels(queue) == {"ben": "ham"}
    assert queue.progress()[DAY] == counts(labelled=2)
    assert queue.set_batch_state(batch, "quarantined", "again", "eve", NOW) == 0
    assert queue.set_batch_state(batch, "accepted", "looked at", "eve", NOW) == 1
    assert given_labels(queue) == {"ana": "spam", "ben": "ham"}
    assert [(one.batch, one.state, one.reason, one.answers) for one in queue.batches()] == [
        (batch, "accepted", "looked at", 1),
        (f"{DAY}/ben", "accepted", "", 1),
    ]


def test_removal_asks_again_of_others_and_keeps_the_old_answer_as_provenance(
    queue: LabelQueue,
) -> None:
    queue.enqueue(tasks(1), NOW)
    answer_each(queue, ana="spam")
    assert queue.set_batch_state(f"{DAY}/ana", "removed", "poisoned", "eve", NOW) == 1
    assert (queue.progress()[DAY], queue.labels(DAY)) == (counts(open=1), [])
    assert queue.lease("ana", 1, NOW) == []
    answer_each(queue, ben="ham")
    assert given_labels(queue) == {"ben": "ham"}
    assert [answer.reviewer for answer in queue.answers(DAY)] == ["ana", "ben"]
    with pytest.raises(BadInput, match="is removed and cannot become accepted"):
        queue.set_batch_state(f"{DAY}/ana", "accepted", "", "eve", NOW)
    with pytest.raises(BadInput, match="'none' is not in the label queue"):
        queue.set_batch_state("none", "removed", "", "eve", NOW)


def test_a_removed_batch_takes_no_further_answers(queue: LabelQueue) -> None:
    queue.enqueue(tasks(2), NOW)
    first, second = queue.lease("ana", 2, NOW)
    queue.submit(first.id, "ana", "spam", NOW)
    queue.set_batch_state(f"{DAY}/ana", "removed", "poisoned", "eve", NOW)
    with pytest.raises(LabelRefused, match="was removed; its answers do not count"):
        queue.submit(second.id, "ana", "spam", NOW)
    queue.submit(second.id, "ana", "spam", NOW, batch="trained-since")
    assert [label.event_id for label in queue.labels(DAY)] == ["e001"]


def test_removing_what_settled_a_task_makes_it_contested_again(queue: LabelQueue) -> None:
    queue.enqueue(doubled(), NOW)
    task_id = answer_each(queue, ana="spam", ben="ham")
    queue.lease_contested("cid", 1, NOW)
    queue.adjudicate(task_id, "cid", "ham", NOW)
    queue.set_batch_state(f"{DAY}/cid", "quarantined", "", "eve", NOW)
    assert queue.labels(DAY) == []  # two reviewers, two minds, and nobody's word between them
    queue.set_batch_state(f"{DAY}/cid", "removed", "", "eve", NOW)
    assert queue.progress()[DAY] == counts(contested=1)
    assert queue.lease_contested("cid", 1, NOW) == []
    queue.lease_contested("dee", 1, NOW)
    queue.set_batch_state(f"{DAY}/ana", "removed", "", "eve", NOW)
    assert queue.progress()[DAY] == counts(open=1)
    with pytest.raises(LabelRefused, match="is not leased by dee"):
        queue.adjudicate(task_id, "dee", "ham", NOW)


def test_known_answers_are_adjudicated_or_doubly_agreed_ones_of_earlier_days(
    queue: LabelQueue,
) -> None:
    alike, apart, single = [replace(task, answers_wanted=2) for task in tasks(2)] + tasks(3)[2:]
    queue.enqueue([alike], NOW)
    answer_each(queue, ana="spam", ben="spam")
    queue.enqueue([apart], NOW)
    task_id = answer_each(queue, ana="spam", ben="ham")
    queue.lease_contested("cid", 1, NOW)
    queue.adjudicate(task_id, "cid", "ham", NOW)
    queue.enqueue([single], NOW)
    answer_each(queue, ana="spam")
    known = [(answer.event_id, answer.label) for answer in queue.known_answers("2026-01-06")]
    assert known == [("e000", "spam"), ("e001", "ham")]
    assert queue.known_answers(DAY) == []
    queue.set_batch_state(f"{DAY}/ana", "quarantined", "", "eve", NOW)
    assert [answer.event_id for answer in queue.known_answers("2026-01-06")] == ["e001"]


def test_sensitive_tasks_beyond_the_cap_are_not_given_until_the_window_has_passed(
    engine: Engine,
) -> None:
    queue = LabelQueue(engine, LEASE_SECONDS, ExposureLimit(2, timedelta(hours=1)))
    queue.enqueue([replace(task, sensitive=i != 3) for i, task in enumerate(tasks(6))], NOW)
    held = queue.lease("ana", 6, NOW)
    assert [task.event_id for task in held] == ["e000", "e001", "e003"]
    queue.release(held[0].id, "ana")  # seen is seen
    assert queue.lease("ana", 6, NOW - timedelta(minutes=5)) == []
    assert len(queue.lease("ben", 1, NOW)) == 1
    later = queue.lease("ana", 6, NOW + timedelta(hours=1))
    assert [task.event_id for task in later] == ["e000", "e001", "e003"]
    assert len(queue.lease("machine", 6, NOW, capped=False)) == 3


def test_the_cap_counts_what_was_answered_on_behalf_of_a_reviewer(engine: Engine) -> None:
    queue = LabelQueue(engine, LEASE_SECONDS, ExposureLimit(2, timedelta(hours=1)))
    queue.enqueue([replace(task, sensitive=True) for task in tasks(4)], NOW)
    for task in queue.lease("label-studio", 2, NOW, capped=False):
        queue.submit(task.id, "label-studio", "ham", NOW, reviewer="ana")
    assert queue.lease("ana", 2, NOW) == []
    assert len(queue.lease("ben", 2, NOW)) == 2


def test_a_reviewer_at_several_screens_gets_no_more_sensitive_tasks_than_the_cap(
    engine: Engine,
) -> None:
    queue = LabelQueue(engine, LEASE_SECONDS, ExposureLimit(5, timedelta(hours=1)))
    queue.enqueue([replace(task, sensitive=True) for task in tasks(60)], NOW)
    start, given = threading.Barrier(4), list[int]()

    def sit_down() -> None:
        start.wait(60)
        for _ in range(5):
            given.extend(task.id for task in queue.lease("ana", 2, NOW))

    run_together([sit_down] * 4)
    assert len(given) == len(set(given)) == 5


def test_a_batch_removed_while_it_grows_leaves_no_label_of_it(queue: LabelQueue) -> None:
    queue.enqueue(tasks(40), NOW)
    held = queue.lease("ana", 40, NOW)
    queue.submit(held[0].id, "ana", "spam", NOW)
    start, refused = threading.Barrier(2), list[int]()

    def answer() -> None:
        start.wait(60)
        for task in held[1:]:
            try:
                queue.submit(task.id, "ana", "spam", NOW)
            except LabelRefused:
                refused.append(task.id)

    def remove() -> None:
        start.wait(60)
        queue.set_batch_state(f"{DAY}/ana", "removed", "poisoned", "eve", NOW)

    run_together([answer, remove])
    assert queue.labels(DAY) == []
    assert len(queue.answers(DAY)) + len(refused) == 40
    assert queue.progress()[DAY] == counts(open=40 - len(refused), leased=len(refused))


def test_an_answer_waits_for_the_removal_of_its_batch_and_is_then_refused(
    engine: Engine, queue: LabelQueue
) -> None:
    queue.enqueue(tasks(2), NOW)
    first, second = queue.lease("ana", 2, NOW)
    queue.submit(first.id, "ana", "spam", NOW)
    refused: list[str] = []

    def answer() -> None:
        try:
            queue.submit(second.id, "ana", "spam", NOW)
        except LabelRefused as error:
            refused.append(str(error))

    late = threading.Thread(target=answer)
    with engine.begin() as connection:
        set_state(connection, f"{DAY}/ana", "removed", "poisoned", "eve", NOW)
        late.start()
        late.join(0.5)
        assert late.is_alive()
    late.join(60)
    assert [error.split(";")[0] for error in refused] == [f"batch {DAY}/ana was removed"]
    assert (len(queue.answers()), queue.labels(DAY)) == (1, [])


def test_two_who_answer_the_same_events_at_once_never_get_in_each_others_way(
    queue: LabelQueue,
) -> None:
    """Every task wants both of them; locks are taken in one order, so nobody waits for ever."""
    queue.enqueue(doubled(30), NOW)
    start = threading.Barrier(2)

    def answer(reviewer: str) -> None:
        start.wait(60)
        for _ in range(200):
            for task in queue.lease(reviewer, 2, NOW):
                queue.submit(task.id, reviewer, "spam", NOW)
            if queue.progress()[DAY]["labelled"] == 30:
                return

    run_together([partial(answer, "ana"), partial(answer, "ben")])
    assert queue.progress()[DAY] == counts(labelled=30)
    assert len(queue.labels(DAY)) == 60


def run_together(calls: Sequence[Callable[[], None]]) -> None:
    threads = [threading.Thread(target=call) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
        assert not thread.is_alive()
