"""Enrichment: the past is read before it is told of an event, and never fails a verdict."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from data_contracts.actions import Action
from data_contracts.errors import ServiceUnavailable
from data_contracts.events import MAX_CONTEXT_ENTRIES, Event
from pipelines.enrichment import Enrichment, bare, in_order_of_time
from pipelines.feature_store.states import MemoryStates
from pipelines.features.behaviour.state import BehaviourState
from pipelines.features.media.base import MediaReader

NOON = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
NO_MEDIA: MediaReader = None  # type: ignore[assignment]


class Counted:
    """A stand-in for surroundings: how many events it was told of."""

    def __init__(self) -> None:
        self.seen = 0

    def features(self, event: Event, media: MediaReader) -> Mapping[str, float]:
        return {"seen": float(self.seen)}

    def observe(self, event: Event, media: MediaReader) -> None:
        self.seen += 1


class Down:
    """A stand-in for a store that does not answer."""

    def get(self, key: str) -> bytes | None:
        raise ServiceUnavailable("the store is down")

    def put(self, key: str, state: bytes) -> None:
        raise ServiceUnavailable("the store is down")


def enrichment() -> Enrichment:
    return Enrichment(BehaviourState(MemoryStates()), Counted(), NO_MEDIA)


def post(number: int, minutes: int | None = 0) -> Event:
    at = None if minutes is None else NOON + minutes * MINUTE
    return Event(event_id=f"e{number}", account="ann", text="hi", occurred_at=at)


def test_each_source_writes_under_its_own_name() -> None:
    context = enrichment().enriched(post(1)).context
    assert context["surroundings.seen"] == 0
    assert context["behaviour.posts_seen_log"] == 0


def test_an_event_that_was_enriched_stays_as_it_was() -> None:
    told = enrichment()
    before = told.enriched(post(1))
    told.observe(before)
    assert told.enriched(before) == before
    assert told.enriched(bare(before)) != before


def test_events_are_enriched_as_they_happened_and_come_back_in_the_order_given() -> None:
    given = [post(1, 2), post(2, None), post(3, 1), post(4, 0)]
    enriched = enrichment().enrich_in_order(given, [])
    assert [event.event_id for event in enriched] == ["e1", "e2", "e3", "e4"]
    assert [event.context.get("surroundings.seen") for event in enriched] == [2, None, 1, 0]


def test_an_action_is_seen_by_later_events_only() -> None:
    spam = Action("platform", "confirmed_spam", "ann", NOON + MINUTE)
    enriched = enrichment().enrich_in_order([post(1, 0), post(2, 1), post(3, 2)], [spam])
    assert [event.context["behaviour.confirmed_spam"] for event in enriched] == [0, 0, 1]


def test_logs_are_merged_by_time_with_events_first() -> None:
    action = Action("bob", "like", "ann", NOON)
    assert list(in_order_of_time([post(1), post(2, 1)], [action])) == [post(1), action, post(2, 1)]


def test_a_source_that_is_down_is_left_out_and_counted() -> None:
    told = Enrichment(BehaviourState(Down()), Counted(), NO_MEDIA)
    assert told.enriched(post(1)).context == {"surroundings.seen": 0}
    told.observe(post(1))
    told.observe_action(Action("bob", "like", "ann", NOON))
    assert told.failures == {"behaviour: ServiceUnavailable": 3}
    assert told.enriched(post(2)).context == {"surroundings.seen": 1}


def test_a_full_context_keeps_its_own_entries_and_takes_what_fits() -> None:
    own = {f"own{number}": 1 for number in range(MAX_CONTEXT_ENTRIES - 2)}
    told = enrichment()
    context = told.enriched(post(1).model_copy(update={"context": own})).context
    assert len(context) == MAX_CONTEXT_ENTRIES
    assert set(own) < set(context)
    assert told.failures == {"behaviour: context full": 1, "surroundings: context full": 1}
    Event.model_validate(post(1).model_dump() | {"context": context})
