"""The incident store and the alert inbox on a real SQLite file and on PostgreSQL."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest
from sqlalchemy import Connection

from data_contracts.errors import BadInput, WeirError
from pipelines import alert_inbox, audit_trail
from pipelines.state import open_state
from serving.incidents.store import Grouping, IncidentStore
from serving.rollout.leadership import Leadership, LostLeadershipError
from tests.stand_ins.incident_world import START, alert

GROUPING = Grouping(same_cause_seconds=600, reopen_seconds=3600)


def no_fence(_connection: Connection) -> None: ...


class Clock:
    now: datetime = START

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(state_url: str, clock: Clock) -> Iterator[IncidentStore]:
    engine = open_state(state_url)
    made = IncidentStore(engine, clock)
    made.prepare()
    yield made
    engine.dispose()


def test_an_alert_waits_in_the_inbox_until_its_incident_has_it(store: IncidentStore) -> None:
    alert_inbox.put(store.engine, [alert("A"), alert("B")], START)
    assert store.take_alerts(GROUPING, no_fence) == [1, 2]
    assert store.take_alerts(GROUPING, no_fence) == []
    assert [entry.alert for entry in store.alerts(1)] == [alert("A")]


def test_more_alerts_than_one_transaction_takes_are_all_taken(store: IncidentStore) -> None:
    many = alert_inbox.MOST_AT_ONCE + 20
    alert_inbox.put(store.engine, [alert("A")] * many, START)
    assert store.take_alerts(GROUPING, no_fence) == [1]
    assert len(store.alerts(1)) == many


def test_clearing_what_nobody_raised_changes_nothing(store: IncidentStore) -> None:
    alert_inbox.clear(store.engine, ["unknown"], START)
    assert store.take_alerts(GROUPING, no_fence) == []
    assert store.incidents(over_too=True) == []


def test_one_cause_after_the_window_is_another_incident(store: IncidentStore, clock: Clock) -> None:
    alert_inbox.put(store.engine, [alert("A", cause="x")], START)
    store.take_alerts(GROUPING, no_fence)
    clock.now = START + timedelta(seconds=601)
    alert_inbox.put(store.engine, [alert("B", cause="x")], clock.now)
    assert store.take_alerts(GROUPING, no_fence) == [2]


def test_an_alert_long_after_the_resolution_is_a_new_incident(
    store: IncidentStore, clock: Clock
) -> None:
    alert_inbox.put(store.engine, [alert("A")], START)
    store.take_alerts(GROUPING, no_fence)
    store.resolve(1, "ada", "over")
    clock.now = START + timedelta(seconds=3601)
    alert_inbox.put(store.engine, [alert("A")], clock.now)
    assert store.take_alerts(GROUPING, no_fence) == [2]


def test_what_was_seen_before_the_resolution_does_not_reopen(
    store: IncidentStore, clock: Clock
) -> None:
    alert_inbox.put(store.engine, [alert("A")], START)
    store.take_alerts(GROUPING, no_fence)
    alert_inbox.put(store.engine, [alert("A")], START + timedelta(seconds=1))
    clock.now = START + timedelta(seconds=2)
    store.resolve(1, "ada", "over")
    store.take_alerts(GROUPING, no_fence)
    assert store.get(1).state == "resolved"


def test_two_who_acknowledge_at_once_leave_one_name(store: IncidentStore) -> None:
    alert_inbox.put(store.engine, [alert("A")], START)
    store.take_alerts(GROUPING, no_fence)
    threads = [threading.Thread(target=store.acknowledge, args=(1, name)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    said = [line for line in store.time_line(1) if "acknowledged by" in line.what]
    assert len(said) == 1
    assert store.get(1).acknowledged_by == said[0].who


def test_a_writer_that_saw_an_earlier_state_is_refused(store: IncidentStore) -> None:
    alert_inbox.put(store.engine, [alert("A")], START)
    store.take_alerts(GROUPING, no_fence)
    seen = store.get(1)
    store.resolve(1, "ada", "over")
    with pytest.raises(WeirError, match="left open meanwhile"):
        store.move(seen, "quiet", "late", no_fence)


def test_who_leads_no_more_takes_no_alert(store: IncidentStore, clock: Clock) -> None:
    slow, quick = (Leadership(store.engine, clock, seat="incidents") for _ in range(2))
    slow.prepare()
    assert slow.claim()
    rollouts = Leadership(store.engine, clock)
    assert rollouts.claim(), "the rollout controller has a seat of its own"
    clock.now += timedelta(minutes=5)
    assert quick.claim()
    alert_inbox.put(store.engine, [alert("A")], START)
    with pytest.raises(LostLeadershipError):
        store.take_alerts(GROUPING, slow.fence)
    assert store.take_alerts(GROUPING, quick.fence) == [1]


def test_everything_that_was_decided_stands_in_the_audit_trail(store: IncidentStore) -> None:
    alert_inbox.put(store.engine, [alert("A")], START)
    store.take_alerts(GROUPING, no_fence)
    store.acknowledge(1, "ada")
    store.resolve(1, "ada", "over")
    said = [(row.who, row.what) for row in audit_trail.entries(store.engine, "incident:1")]
    assert said == [
        ("weir", "opened, major: A"),
        ("ada", "open → acknowledged: acknowledged by ada"),
        ("ada", "acknowledged → resolved: over"),
    ]
    with pytest.raises(BadInput, match="incident 1 is resolved: no resolve there"):
        store.resolve(1, "ada", "again")
