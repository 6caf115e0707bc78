"""The past in serving: read where the ensemble asks for it, and missed with a reason."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from math import inf
from pathlib import Path
from typing import cast

import orjson
import pytest

from data_contracts.actions import Action
from data_contracts.config import load_settings
from data_contracts.errors import ServiceUnavailable
from data_contracts.events import Event, MediaReference
from data_contracts.verdicts import Assessment, Stage
from pipelines.feature_store.freshness import note_newest
from pipelines.feature_store.opening import enrichment_over, feature_reader
from pipelines.feature_store.reading import FEATURES_UNAVAILABLE, FeatureReader
from pipelines.feature_store.states import BatchedStates, MemoryStates
from pipelines.features.media.base import DecodedImage, MediaReader, Unreadable
from serving import metrics
from serving.bulkhead import OwnThreads
from serving.cascade import Cascade, Decision, StageCosts
from serving.circuit_breaker import CircuitBreaker
from serving.decision_log import DecisionLog
from serving.decision_records import lines_of
from serving.enrichment import GuardedMedia, NoPast, Past, StoredPast, past_of
from serving.meter import Meter
from serving.replay import Versions, replay_all
from serving.stage_bounds import (
    StageBounds,
    VersionedAssessor,
    WithholdingAssessor,
    current_bounds,
    within,
)
from serving.stage_guard import StageGuard, StageTime
from serving.verdict_service import Origin, Urgency, VerdictService
from tests.stand_ins.capital_letters import CapitalLetters
from tests.stand_ins.modalities import NoMedia
from tests.stand_ins.remembering import KNOWN, Remembering

NOON = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
GUARDS = load_settings({}).serving.stage_guards
SPAMMER = Event(event_id="e1", text="see you at lunch", account="bob", occurred_at=NOON)
TIMELESS = Event(event_id="e2", text="see you at lunch", account="bob")


class Store(MemoryStates):
    """Counts its round trips, and can be dead."""

    is_dead = False
    round_trips = 0

    def get(self, key: str) -> bytes | None:
        self._ask()
        return super().get(key)

    def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        self._ask()
        return [self._states.get(key) for key in keys]

    def _ask(self) -> None:
        self.round_trips += 1
        if self.is_dead:
            raise ServiceUnavailable("the store is down; start it")


class Seen(Meter):
    """Remembers reads and what was missed."""

    def __init__(self) -> None:
        super().__init__()
        self.reads: list[tuple[str, float | None]] = []
        self.missed: list[str] = []

    def read(self, outcome: str, age_seconds: float | None = None) -> None:
        self.reads.append((outcome, age_seconds))

    def degraded(self, reason: str) -> None:
        self.missed.append(reason)


def filled(account: str) -> Store:
    """A store that knows this account: it posted an hour ago, and was found to spam."""
    states = Store()
    enrichment = enrichment_over(states, NoMedia())
    before = SPAMMER.model_copy(update={"account": account, "occurred_at": NOON - HOUR})
    enrichment.observe(before)
    enrichment.observe_action(Action("platform", "confirmed_spam", account, NOON - HOUR))
    assert not enrichment.failures
    note_newest(states, NOON - HOUR)
    states.round_trips = 0
    return states


def reader(states: BatchedStates) -> FeatureReader:
    return feature_reader(states, NoMedia(), CircuitBreaker(GUARDS), ("behaviour",))


@contextmanager
def started(
    open_: AbstractContextManager[BatchedStates], meter: Meter | None = None
) -> Iterator[StoredPast]:
    past = StoredPast(lambda: open_, reader, meter or Seen(), 3600, lambda: NOON)
    past.start()
    try:
        yield past
    finally:
        past.close()


def decide(
    folder: Path, past: Past, events: Sequence[Event], meter: Meter | None = None
) -> Decision:
    """By a service that hashes accounts by turning them around."""
    log = DecisionLog(folder, "a")
    log.start()
    model = Remembering()
    service = VerdictService(
        Cascade(model, "7", model.threshold_version), log, load_settings({}).serving,
        hash_account=lambda account: account[::-1], past=past, meter=meter,
    )  # fmt: skip
    decision = asyncio.run(service.decide(events, Origin("stable"), 10))
    service.close()
    log.close()
    return decision


def test_an_account_is_hashed_once_and_its_past_decides(tmp_path: Path) -> None:
    """The stand-in would settle the text at once: an event that has a past waits for it."""
    meter = Seen()
    with started(nullcontext(filled("bob"[::-1])), meter) as past:
        decision = decide(tmp_path, past, [SPAMMER, TIMELESS], meter)
    assert [one.reasons for one in decision.verdicts] == [(KNOWN,), ()]
    ((outcome, age),) = meter.reads
    assert outcome == "hit"
    assert age == pytest.approx(3600)
    assert meter.missed == []


def test_replay_gives_the_same_bytes_with_a_past_and_without(tmp_path: Path) -> None:
    states, meter = filled("bob"[::-1]), Seen()
    with started(nullcontext(states), meter) as past:
        with_past = decide(tmp_path / "a", past, [SPAMMER], meter)
        states.is_dead = True
        without = decide(tmp_path / "b", past, [SPAMMER, TIMELESS], meter)
    assert with_past.verdicts[0].reasons == (KNOWN,)
    assert [one.reasons for one in without.verdicts] == [(FEATURES_UNAVAILABLE,), ()]
    assert without.budgets[0].withheld == (("features", FEATURES_UNAVAILABLE),)
    assert meter.missed == [FEATURES_UNAVAILABLE]
    lines = [line for path in sorted(tmp_path.glob("*/*.jsonl")) for line in lines_of(path)]
    model = Remembering()
    versions = Versions(model.version, "7", model.threshold_version)
    tally = replay_all(lines, WithholdingAssessor(cast(VersionedAssessor, model)), versions)
    assert (tally.replayed, tally.equal, tally.unreadable) == (3, 3, 0)
    recorded = [orjson.loads(line.verdict)["reasons"] for line in lines]  # type: ignore[union-attr]
    assert recorded == [[KNOWN], [FEATURES_UNAVAILABLE], []]


def test_a_store_that_dies_is_left_alone_while_its_breaker_is_open() -> None:
    states, meter = filled("bob"), Seen()
    with started(nullcontext(states), meter) as past:
        states.is_dead, states.round_trips = True, 0
        readings = [past.enriched(SPAMMER, inf) for _ in range(GUARDS.failures + 100)]
    assert {one.reasons for one in readings} == {(FEATURES_UNAVAILABLE,)}
    assert all(one.event == SPAMMER for one in readings)
    assert states.round_trips == GUARDS.failures
    assert meter.reads == [("error", None)] * len(readings)


def test_a_store_that_does_not_open_is_said_once_and_tried_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    trials: list[int] = []

    @contextmanager
    def opening() -> Iterator[BatchedStates]:
        trials.append(1)
        if len(trials) < 3:
            raise ServiceUnavailable("the disk is gone; mount it")
        yield filled("bob")

    caplog.set_level(logging.INFO, "weir")
    past = StoredPast(opening, reader, Seen(), 3600, lambda: NOON)
    past.start()
    assert past.enriched(SPAMMER, inf) == (SPAMMER, (FEATURES_UNAVAILABLE,))
    assert past.enriched(TIMELESS, inf) == (TIMELESS, ())
    past._look()
    assert [one.levelname for one in caplog.records] == ["WARNING"]
    past._look()
    assert past.enriched(SPAMMER, inf).reasons == ()
    assert len(trials) == 3
    past.close()
    assert "answers" in caplog.records[-1].msg


def test_an_empty_store_costs_nothing_and_adds_nothing_until_a_day_is_materialized() -> None:
    states, meter = Store(), Seen()
    with started(nullcontext(states), meter) as past:
        looked = states.round_trips
        assert not past.is_called_for(SPAMMER)
        assert past.enriched(SPAMMER, inf) == (SPAMMER, ())
        assert (states.round_trips, meter.reads) == (looked, [])
        note_newest(states, NOON)
        past._look()
        assert past.is_called_for(SPAMMER)
        assert past.enriched(SPAMMER, inf).event.context["behaviour.posts_seen_log"] == 0
    assert meter.reads == [("miss", None)]


def test_a_store_that_holds_nonsense_stops_no_server(caplog: pytest.LogCaptureFixture) -> None:
    states = filled("bob")
    states.put("newest", b"odd")
    with started(nullcontext(states)) as past:
        assert past.enriched(SPAMMER, inf).event.context["behaviour.confirmed_spam"] == 1
    assert "does not answer" in caplog.records[-1].msg


def test_how_fresh_the_store_is_can_be_watched() -> None:
    meter = Meter()
    with started(nullcontext(filled("bob")), meter):
        meter.fold()
    assert metrics.FEATURE_FRESHNESS.labels("past")._value.get() == 3600.0


def test_without_a_store_or_a_stage_that_reads_the_past_nothing_is_opened(tmp_path: Path) -> None:
    def chosen(model: CapitalLetters, engine: str) -> NoPast | StoredPast:
        settings = load_settings(
            {"WEIR_HOME": str(tmp_path), "WEIR__FEATURE_STORE__ENGINE": engine}
        )
        return past_of(settings, Cascade(model, "7", "t"), Meter())

    assert isinstance(chosen(CapitalLetters(), "lmdb"), NoPast)
    assert isinstance(chosen(Remembering(), "none"), NoPast)
    past = chosen(Remembering(), "lmdb")
    assert isinstance(past, StoredPast)
    assert list(tmp_path.iterdir()) == []
    past.start()
    assert past.enriched(SPAMMER, inf) == (SPAMMER, ())
    past.close()


def test_an_engine_without_its_secret_serves_without_the_past(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WEIR_REDIS_URL", raising=False)
    settings = load_settings({"WEIR_HOME": str(tmp_path), "WEIR__FEATURE_STORE__ENGINE": "redis"})
    past = past_of(settings, Cascade(Remembering(), "7", "t"), Meter())
    past.start()
    assert past.enriched(SPAMMER, inf).reasons == (FEATURES_UNAVAILABLE,)
    past.close()


class Deferring(Remembering):
    """A stage `ocr` runs where it is not withheld."""

    def assess(self, events: Sequence[Event], **_budget: object) -> list[Assessment]:
        why = current_bounds().withheld.get("ocr")
        stage = Stage("ocr", why is None, 0.9 if why is None else None, why)
        return [replace(self._remembered(event), stages=(stage,)) for event in events]


def test_a_later_revision_has_the_reason_too(tmp_path: Path) -> None:
    states = filled("bob")
    log = DecisionLog(tmp_path, "a")
    log.start()
    cascade = Cascade(Deferring(), "7", "t", StageCosts({"ocr": 110.0}, longest_share=0.4))
    media = (MediaReference(kind="image", sha256="0" * 64, path="a.png"),)
    with started(nullcontext(states)) as past:
        states.is_dead = True
        service = VerdictService(
            cascade, log, load_settings({}).serving, hash_account=str, past=past
        )
        event = SPAMMER.model_copy(update={"media": media})
        asyncio.run(
            service.decide([event], Origin("stable"), 10, Urgency("interactive", 0.08, inf))
        )
        service.close()
    log.close()
    lines = [orjson.loads(line) for path in tmp_path.iterdir() for line in path.open("rb")]
    assert [one["verdict"]["revision"] for one in lines] == [0, 1]
    assert [one["verdict"]["reasons"] for one in lines] == [[FEATURES_UNAVAILABLE]] * 2
    assert [one["budget"]["withheld"].get("features") for one in lines] == [
        FEATURES_UNAVAILABLE
    ] * 2


class Slow(NoMedia):
    """An image that is decoded when the test says so."""

    def __init__(self) -> None:
        self.go_on = threading.Event()

    def image(self, reference: object) -> DecodedImage | Unreadable:
        self.go_on.wait(20)
        return Unreadable("image_truncated")


def guarded(media: MediaReader, patience_seconds: float) -> GuardedMedia:
    allowed = StageTime(0.001, inf, patience_seconds)
    guard = StageGuard("past_image", CircuitBreaker(GUARDS), OwnThreads("past_image", 1), allowed)
    return GuardedMedia(media, guard)


def test_an_image_that_is_slow_to_decode_costs_its_surroundings_and_no_more() -> None:
    slow, states = Slow(), filled("bob")
    media = (MediaReference(kind="image", sha256="0" * 64, path="a.png"),)
    event = SPAMMER.model_copy(update={"media": media})
    asked = feature_reader(states, guarded(slow, 0.01), CircuitBreaker(GUARDS))
    reading = asked.enriched(event)
    assert reading.reasons == (FEATURES_UNAVAILABLE,)
    assert reading.event.context["behaviour.confirmed_spam"] == 1
    slow.go_on.set()
    patient = feature_reader(states, guarded(slow, 20), CircuitBreaker(GUARDS))
    assert patient.enriched(event).reasons == ()


def test_an_image_is_not_waited_for_beyond_the_deadline() -> None:
    reference = MediaReference(kind="image", sha256="0" * 64, path="a.png")
    with within(StageBounds(deadline=-inf)), pytest.raises(ServiceUnavailable, match="in time"):
        guarded(NoMedia(), 20).image(reference)
    assert guarded(NoMedia(), 20).image(reference) == Unreadable("media_missing")


def test_many_threads_share_one_reader() -> None:
    states = filled("bob")
    with started(nullcontext(states)) as past:
        expected = past.enriched(SPAMMER, inf)
        found: list[object] = []

        def ask() -> None:
            found.extend(past.enriched(SPAMMER, inf) for _ in range(200))

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert len(found) == 800
    assert all(one == expected for one in found)
