"""What every online feature store promises: a new one is one line in STORES."""

from __future__ import annotations

import math
import multiprocessing
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from pipelines.feature_store.base import MAXIMUM_SKEW, FeatureRow, FeatureView, OnlineStore
from pipelines.feature_store.lmdb import LmdbStore

VIEW = FeatureView("account", 1, ("messages_1h", "reports_1d"), timedelta(hours=1))
NOON = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
FRESH = multiprocessing.get_context("forkserver")

Open = Callable[[Path, FeatureView, Callable[[], datetime]], AbstractContextManager[OnlineStore]]
STORES: dict[str, Open] = {"lmdb": LmdbStore}


class Clock:
    """A clock that the test sets."""

    now = NOON

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=STORES.values(), ids=STORES)
def open_store(request: pytest.FixtureRequest) -> Open:
    opened: Open = request.param
    return opened


@pytest.fixture
def store(open_store: Open, tmp_path: Path, clock: Clock) -> Iterator[OnlineStore]:
    with open_store(tmp_path / "store", VIEW, clock) as store:
        yield store


def put_many(folder: Path, name: str, seed: int) -> None:
    """In a process of its own: the same thousand rows in another order."""
    moments = list(range(200))
    random.Random(seed).shuffle(moments)
    with STORES[name](folder, VIEW, lambda: NOON) as store:
        for second in moments:
            store.put("a", [second, -second], NOON - timedelta(seconds=second))


def test_a_row_comes_back_with_its_values_and_event_time(store: OnlineStore) -> None:
    at = datetime(2026, 1, 5, 14, 59, 59, 123_456, tzinfo=timezone(timedelta(hours=3)))
    assert store.put("a", [3.0, 0.1], at)
    row = store.get("a")
    assert row == FeatureRow((3.0, 0.1), at)
    assert row.event_time.utcoffset() == timedelta(0)


def test_an_unknown_entity_is_none(store: OnlineStore) -> None:
    assert store.get("nobody") is None


def test_a_missing_value_stays_missing(store: OnlineStore) -> None:
    store.put("a", [math.nan, 1.0], NOON)
    row = store.get("a")
    assert row is not None
    assert math.isnan(row.values[0])


def test_an_older_event_never_overwrites_a_newer_one(store: OnlineStore) -> None:
    assert store.put("a", [1.0, 1.0], NOON)
    assert not store.put("a", [9.0, 9.0], NOON - MINUTE)
    assert store.get("a") == FeatureRow((1.0, 1.0), NOON)
    assert store.put("a", [2.0, 2.0], NOON + MINUTE)
    assert store.get("a") == FeatureRow((2.0, 2.0), NOON + MINUTE)


def test_the_order_of_puts_does_not_matter(store: OnlineStore) -> None:
    moments = list(range(50))
    random.Random(1).shuffle(moments)
    for second in moments:
        store.put("a", [second, 0.0], NOON - timedelta(seconds=second))
    assert store.get("a") == FeatureRow((0.0, 0.0), NOON)


def test_putting_the_same_event_time_again_corrects_the_row(store: OnlineStore) -> None:
    store.put("a", [1.0, 1.0], NOON)
    assert store.put("a", [2.0, 2.0], NOON)
    assert store.get("a") == FeatureRow((2.0, 2.0), NOON)


def test_a_row_lives_as_long_as_its_view_says_counted_from_the_event(
    store: OnlineStore, clock: Clock
) -> None:
    store.put("a", [1.0, 1.0], NOON - 30 * MINUTE)
    clock.now = NOON + 30 * MINUTE
    assert store.get("a") is not None
    clock.now += timedelta(microseconds=1)
    assert store.get("a") is None


def test_rows_survive_closing_and_views_do_not_mix(
    open_store: Open, tmp_path: Path, clock: Clock
) -> None:
    other = FeatureView("account", 2, ("messages_1h",), timedelta(hours=1))
    with open_store(tmp_path / "store", VIEW, clock) as store:
        store.put("a", [1.0, 2.0], NOON)
    with open_store(tmp_path / "store", other, clock) as store:
        assert store.get("a") is None
        store.put("a", [7.0], NOON)
    with open_store(tmp_path / "store", VIEW, clock) as store:
        assert store.get("a") == FeatureRow((1.0, 2.0), NOON)


@pytest.mark.parametrize("entity", ["ü" * 200, "with space", "a\0b", "\N{SNOWMAN}"])
def test_any_name_is_an_entity(store: OnlineStore, entity: str) -> None:
    store.put(entity, [1.0, 2.0], NOON)
    assert store.get(entity) == FeatureRow((1.0, 2.0), NOON)
    assert store.get(entity + "x") is None


def test_wrong_rows_are_refused_with_the_remedy(store: OnlineStore) -> None:
    with pytest.raises(ValueError, match="1 values for the 2 features"):
        store.put("a", [1.0], NOON)
    with pytest.raises(ValueError, match="has no zone"):
        store.put("a", [1.0, 1.0], datetime(2026, 1, 5))  # noqa: DTZ001
    with pytest.raises(ValueError, match="entity of 0 characters"):
        store.put("", [1.0, 1.0], NOON)
    with pytest.raises(ValueError, match="use a hash"):
        store.get("a" * 600)


def test_a_time_ahead_of_the_clock_is_refused_and_keeps_nothing_out(store: OnlineStore) -> None:
    with pytest.raises(ValueError, match="mend the producer's clock"):
        store.put("a", [1.0, 1.0], NOON + MAXIMUM_SKEW + MINUTE)
    assert store.put("a", [2.0, 2.0], NOON)


def test_writers_in_threads_and_processes_leave_the_newest_row(
    open_store: Open, tmp_path: Path, clock: Clock
) -> None:
    name = next(name for name, opened in STORES.items() if opened is open_store)
    writer = FRESH.Process(target=put_many, args=(tmp_path / "store", name, 1))
    writer.start()
    with open_store(tmp_path / "store", VIEW, clock) as store:
        threads = [
            threading.Thread(
                target=lambda s=second: store.put("a", [s, -s], NOON - timedelta(seconds=s))
            )
            for second in range(20)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        writer.join(30)
        assert writer.exitcode == 0
        assert store.get("a") == FeatureRow((0.0, 0.0), NOON)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"name": ""}, "give a name"),
        ({"version": 0}, "give a name and 1, 2"),
        ({"features": ("x", "x")}, "each once"),
        ({"features": ()}, "must be named"),
        ({"time_to_live": timedelta(0)}, "must be above 0"),
    ],
)
def test_a_view_that_cannot_work_fails_when_it_is_made(
    change: dict[str, object], complaint: str
) -> None:
    good = {"name": "v", "version": 1, "features": ("x",), "time_to_live": MINUTE}
    with pytest.raises(ValueError, match=complaint):
        FeatureView(**(good | change))  # type: ignore[arg-type]
