"""What the feature store promises wherever it is kept: in memory, in LMDB, in a real Redis.

A new one is one line in ROWS and STATES. `test_online_store` and `test_state_store` have the
contracts of a single store on disk in more detail.
"""

from __future__ import annotations

import multiprocessing
import struct
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from data_contracts.config import load_settings
from data_contracts.errors import ConfigurationError, MissingPart, ServiceUnavailable
from data_contracts.events import Event
from pipelines.accounts import hash_account
from pipelines.enrichment import SOURCES, Enrichment
from pipelines.feature_store.base import FeatureRow, FeatureView, OnlineStore, pack, unpack
from pipelines.feature_store.freshness import freshness_seconds, newest_event, note_newest
from pipelines.feature_store.lmdb import LmdbStates, LmdbStore
from pipelines.feature_store.memory import MemoryStore
from pipelines.feature_store.opening import enrichment_over, feature_reader, open_states
from pipelines.feature_store.reading import FEATURES_UNAVAILABLE, FeatureReader
from pipelines.feature_store.redis import RedisStates, RedisStore
from pipelines.feature_store.states import BatchedStates, MemoryStates
from pipelines.features.media.base import MediaReader
from serving.circuit_breaker import CircuitBreaker
from tests.performance.bench_feature_parity import simulated
from tests.redis_server import RedisServer, redis_server
from tests.stand_ins.row_writer import put_shuffled

__all__ = ["redis_server"]  # a fixture

VIEW = FeatureView("account", 1, ("posts_hour", "reports_day", "age"), timedelta(hours=1))
NOON = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
MONTH = timedelta(days=30)
PATIENT = 10.0  # seconds: a busy machine is not a dead store
HASTY = 0.02
NO_MEDIA: MediaReader = None  # type: ignore[assignment]
FRESH = multiprocessing.get_context("forkserver")
GUARDS = load_settings({}).serving.stage_guards

Place = Path | str  # a folder, or the address of Redis
OpenRows = Callable[[Place, Callable[[], datetime]], AbstractContextManager[OnlineStore]]
OpenStates = Callable[[Place], AbstractContextManager[BatchedStates]]

ROWS: dict[str, OpenRows] = {
    "memory": lambda _, clock: nullcontext(MemoryStore(VIEW, clock)),
    "lmdb": lambda place, clock: LmdbStore(Path(place), VIEW, clock),
    "redis": lambda place, clock: RedisStore(str(place), VIEW, clock, PATIENT),
}
STATES: dict[str, OpenStates] = {
    "memory": lambda _: nullcontext(MemoryStates()),
    "lmdb": lambda place: LmdbStates(Path(place)),
    "redis": lambda place: RedisStates(str(place), MONTH, PATIENT),
}
SHARED = ("lmdb", "redis")  # by processes, and kept when they end


class Clock:
    """A clock that the test sets."""

    now = NOON

    def __call__(self) -> datetime:
        return self.now


class Seconds:
    """The clock of a breaker."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


class Counted:
    """A store that counts its round trips."""

    def __init__(self, states: BatchedStates) -> None:
        self.round_trips = 0
        self._states = states

    def get(self, key: str) -> bytes | None:
        self.round_trips += 1
        return self._states.get(key)

    def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        self.round_trips += 1
        return self._states.get_many(keys)

    def put(self, key: str, state: bytes) -> None:
        self._states.put(key, state)

    def put_many(self, states: dict[str, bytes]) -> None:
        self._states.put_many(states)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[str], Place]:
    """Where a store of that name has nothing yet."""

    def empty(name: str) -> Place:
        if name != "redis":
            return tmp_path / "store"
        server: RedisServer = request.getfixturevalue("redis_server")
        with RedisStates(server.url, MONTH, PATIENT) as states:
            states._opened().flushall()
        return server.url

    return empty


@pytest.fixture(params=ROWS)
def rows(
    request: pytest.FixtureRequest, place: Callable[[str], Place], clock: Clock
) -> Iterator[OnlineStore]:
    with ROWS[request.param](place(request.param), clock) as store:
        yield store


@pytest.fixture(params=STATES)
def states(
    request: pytest.FixtureRequest, place: Callable[[str], Place]
) -> Iterator[BatchedStates]:
    with STATES[request.param](place(request.param)) as store:
        yield store


def bits(row: FeatureRow | None) -> bytes:
    assert row is not None
    return pack(row)


# rows


def test_a_row_comes_back_bit_for_bit(rows: OnlineStore) -> None:
    odd_nan = struct.unpack("<d", bytes.fromhex("efbeadde0100f87f"))[0]
    row = FeatureRow((-0.0, 5e-324, odd_nan), NOON - timedelta(microseconds=123_457))
    rows.put("a", row.values, row.event_time)
    assert bits(rows.get("a")) == pack(row)
    assert bits(rows.get_many(["a"])[0]) == pack(row)
    assert unpack(pack(row)).event_time == row.event_time


def test_a_row_lives_as_long_as_its_view_says_by_the_stores_clock(
    rows: OnlineStore, clock: Clock
) -> None:
    rows.put("a", [1, 2, 3], NOON - 30 * MINUTE)
    clock.now = NOON + 30 * MINUTE
    assert rows.get("a") is not None
    clock.now += timedelta(microseconds=1)
    assert rows.get("a") is None
    assert rows.get_many(["a"]) == [None]


def test_many_entities_come_in_the_order_asked_for(rows: OnlineStore) -> None:
    for number in range(300):
        rows.put(f"account-{number}", [number, 0, 0], NOON)
    wanted = ["account-7", "nobody", "account-299", "account-7"]
    assert rows.get_many(wanted) == [rows.get(entity) for entity in wanted]
    assert [row and row.values[0] for row in rows.get_many(wanted)] == [7, None, 299, 7]
    assert rows.get_many([]) == []


def test_the_newest_event_wins_in_whatever_order_rows_are_put(rows: OnlineStore) -> None:
    assert rows.put("a", [1, 1, 1], NOON)
    assert not rows.put("a", [9, 9, 9], NOON - timedelta(microseconds=1))
    assert rows.get("a") == FeatureRow((1, 1, 1), NOON)
    assert rows.put("a", [2, 2, 2], NOON)  # the same time again is a correction
    assert rows.put("a", [3, 3, 3], NOON + timedelta(microseconds=1))
    assert rows.get("a") == FeatureRow((3, 3, 3), NOON + timedelta(microseconds=1))


def test_threads_that_write_one_entity_leave_the_newest_row(rows: OnlineStore) -> None:
    threads = [
        threading.Thread(
            target=lambda s=second: rows.put("a", [s, 0, 0], NOON - timedelta(seconds=s))
        )
        for second in range(24)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert rows.get("a") == FeatureRow((0, 0, 0), NOON)


@pytest.mark.parametrize("name", SHARED)
def test_processes_that_write_one_entity_leave_the_newest_row(
    name: str, place: Callable[[str], Place], clock: Clock
) -> None:
    where = place(name)
    writers = [
        FRESH.Process(target=put_shuffled, args=(where, VIEW, NOON, seed)) for seed in (1, 2)
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    assert [writer.exitcode for writer in writers] == [0, 0]
    with ROWS[name](where, clock) as store:
        assert store.get("a") == FeatureRow((0, 0, 0.5), NOON)


# states


def test_many_states_are_kept_and_come_at_once(states: BatchedStates) -> None:
    wanted = {f"account:{number:x}": bytes([number]) * number for number in range(200)}
    states.put_many(wanted)
    assert states.get_many([*wanted, "nobody"]) == [*wanted.values(), None]
    assert states.get("account:7") == bytes([7]) * 7
    assert states.get_many([]) == []


def test_states_that_do_not_all_fit_are_not_kept_at_all(tmp_path: Path) -> None:
    with LmdbStates(tmp_path, map_bytes=65_536) as states:
        with pytest.raises(ConfigurationError, match="raise map_bytes"):
            states.put_many({f"account:{number}": bytes(1000) for number in range(1000)})
        assert states.get("account:0") is None


@pytest.mark.parametrize("name", SHARED)
def test_nothing_is_lost_when_the_process_or_the_server_starts_again(
    name: str, place: Callable[[str], Place], clock: Clock, request: pytest.FixtureRequest
) -> None:
    where = place(name)
    with STATES[name](where) as store, ROWS[name](_beside(where), clock) as rows:
        store.put_many({"account:1": b"one", "account:2": b"two"})
        rows.put("a", [1, 2, 3], NOON)
    if name == "redis":
        server: RedisServer = request.getfixturevalue("redis_server")
        server.kill()
        server.start()
    with STATES[name](where) as store, ROWS[name](_beside(where), clock) as rows:
        assert store.get_many(["account:1", "account:2"]) == [b"one", b"two"]
        assert rows.get("a") == FeatureRow((1, 2, 3), NOON)


def test_redis_forgets_what_nobody_wrote_for_the_time_to_live(redis_server: RedisServer) -> None:
    with RedisStates(redis_server.url, MONTH, PATIENT) as states:
        states.put("account:1", b"state")
        states.put_many({"account:2": b"state"})
        left = [states._opened().pttl(f"weir:state:account:{number}") for number in (1, 2)]
    month = MONTH // timedelta(milliseconds=1)
    assert all(month - 60_000 < milliseconds <= month for milliseconds in left)


def test_freshness_is_the_age_of_the_newest_event(states: BatchedStates) -> None:
    assert newest_event(states) is None
    assert freshness_seconds(states, NOON) is None
    note_newest(states, NOON - MINUTE)
    note_newest(states, NOON - 2 * MINUTE)  # came late
    assert newest_event(states) == NOON - MINUTE
    assert freshness_seconds(states, NOON) == 60.0
    assert freshness_seconds(states, NOON - 5 * MINUTE) == 0.0


# the reader


def filled(states: BatchedStates, events: Sequence[Event]) -> Enrichment:
    enrichment = enrichment_over(states, NO_MEDIA)
    for event in events:
        enrichment.observe(event)
    assert not enrichment.failures
    return enrichment


def reader_over(
    states: BatchedStates,
    seconds: Callable[[], float] = Seconds(),  # noqa: B008 - never changed where it is shared
    asked: Collection[str] = SOURCES,
) -> FeatureReader:
    return feature_reader(states, NO_MEDIA, CircuitBreaker(GUARDS, clock=seconds), asked)


def test_the_reader_says_what_enrichment_says_in_a_handful_of_round_trips(
    states: BatchedStates,
) -> None:
    events = simulated(400, seed=3).events
    enrichment = filled(states, events[:350])
    counted = Counted(states)
    reader = reader_over(counted)
    for event in events[350:]:
        assert reader.enriched(event) == (enrichment.enriched(event), ())
    assert counted.round_trips <= 50 * 4


def test_an_account_is_looked_up_as_it_stands_for_it_is_hashed_before() -> None:
    states = MemoryStates()
    event = Event(event_id="e", text="hi", account=hash_account("ann", "key"), occurred_at=NOON)
    filled(states, [event])
    reading = reader_over(states).enriched(event)
    assert reading.event.account == event.account
    assert reading.event.context["behaviour.posts_seen_log"] > 0


@pytest.mark.parametrize("asked", [(), *((source,) for source in SOURCES)])
def test_only_the_sources_that_the_ensemble_knows_are_asked(asked: Collection[str]) -> None:
    counted = Counted(MemoryStates())
    event = simulated(1, seed=3).events[0]
    context = reader_over(counted, asked=asked).enriched(event).event.context
    found = {key.partition(".")[0] for key in context if key not in event.context}
    assert found == set(asked)
    assert bool(counted.round_trips) == bool(asked)


class Spoilt(MemoryStates):
    """Trails that cannot be read."""

    def get(self, key: str) -> bytes | None:
        return b"odd" if key.startswith("post:") else None


def test_a_source_that_fails_leaves_a_reason_though_the_store_answers() -> None:
    event = Event(event_id="e", text="see you at lunch", account="ann", occurred_at=NOON)
    reading = reader_over(Spoilt()).enriched(event)
    assert reading.reasons == (FEATURES_UNAVAILABLE,)
    assert "behaviour.posts_seen_log" in reading.event.context
    assert not any(key.startswith("surroundings.") for key in reading.event.context)


def test_an_event_without_a_time_or_that_was_enriched_is_left_as_it_is() -> None:
    timeless = Event(event_id="e", text="hi", account="ann")
    past = {"behaviour.posts_seen_log": 1.0, "surroundings.seen": 2.0}
    known = Event(event_id="e", text="hi", occurred_at=NOON, context=past)
    reader = reader_over(MemoryStates())
    assert reader.enriched(timeless) == (timeless, ())
    assert reader.enriched(known) == (known, ())


@pytest.mark.parametrize("way", ["killed", "hung"])
def test_a_dead_redis_gives_the_event_without_its_past_costs_nothing_and_comes_back(
    way: str, redis_server: RedisServer
) -> None:
    event = simulated(1, seed=3).events[0]
    seconds = Seconds()
    with RedisStates(redis_server.url, MONTH, HASTY) as states:
        counted = Counted(states)
        reader = reader_over(counted, seconds)
        redis_server.kill() if way == "killed" else redis_server.hang()
        readings = [reader.enriched(event) for _ in range(GUARDS.failures)]
        asked = counted.round_trips
        readings += [reader.enriched(event) for _ in range(1000)]
        redis_server.start() if way == "killed" else redis_server.go_on()
    assert {reading.reasons for reading in readings} == {(FEATURES_UNAVAILABLE,)}
    assert all(reading.event == event for reading in readings)
    assert asked == GUARDS.failures  # one round trip an event, however much it wanted to know
    assert counted.round_trips == asked  # the breaker is open: nobody waits for a timeout

    with RedisStates(redis_server.url, MONTH, PATIENT) as states:
        counted._states = states
        seconds.now += GUARDS.open_seconds
        assert reader.enriched(event).reasons == ()
        assert "behaviour.posts_seen_log" in reader.enriched(event).event.context


def test_a_redis_that_is_not_there_says_what_to_do_and_not_the_password() -> None:
    url = "redis://:opensesame@127.0.0.1:1/0"
    with (
        RedisStates(url, MONTH, HASTY) as states,
        pytest.raises(ServiceUnavailable, match="does not answer") as raised,
    ):
        states.get("a")
    assert "opensesame" not in str(raised.value)
    with (
        pytest.raises(ConfigurationError, match="write redis://") as refused,
        RedisStates("http://:opensesame@host", MONTH),
    ):
        pass
    assert "opensesame" not in str(refused.value)


@pytest.mark.parametrize("name", SHARED)
def test_the_configuration_opens_the_store_that_it_names(
    name: str, place: Callable[[str], Place], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WEIR_REDIS_URL", str(place(name)))
    settings = load_settings(
        {
            "WEIR__FEATURE_STORE__ENGINE": name,
            "WEIR__FEATURE_STORE__TIMEOUT_MILLISECONDS": "10000",
            "WEIR_HOME": str(tmp_path),
        }
    )
    event = Event(event_id="e", text="hi", account="ann", occurred_at=NOON)
    account = hash_account("ann", "a key for tests")
    with open_states(settings.feature_store, settings.home) as states:
        filled(states, [event.model_copy(update={"account": account})])
        breaker = CircuitBreaker(settings.serving.stage_guards)
        reading = feature_reader(states, NO_MEDIA, breaker).enriched(
            event.model_copy(update={"account": account})
        )
    assert reading.reasons == ()
    assert reading.event.context["behaviour.posts_seen_log"] > 0


def test_where_there_is_no_store_none_is_opened(tmp_path: Path) -> None:
    settings = load_settings({"WEIR__FEATURE_STORE__ENGINE": "none"})
    with pytest.raises(ConfigurationError, match="use lmdb or redis"):
        open_states(settings.feature_store, tmp_path)


def test_an_lmdb_whose_folder_cannot_be_made_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with (
        pytest.raises(ServiceUnavailable, match="does not open"),
        LmdbStates(tmp_path / "file" / "states"),
    ):
        pass


def test_a_redis_without_an_address_is_a_missing_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WEIR_REDIS_URL", raising=False)
    settings = load_settings({"WEIR__FEATURE_STORE__ENGINE": "redis"})
    with pytest.raises(MissingPart, match="export WEIR_REDIS_URL"):
        open_states(settings.feature_store, tmp_path)


def _beside(place: Place) -> Place:
    """Rows lie beside states: LMDB needs a folder each."""
    return place / "rows" if isinstance(place, Path) else place
