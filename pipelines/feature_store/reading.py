"""Reads the past of one event for a verdict: in few round trips, and without it if need be.

A store that fails is not asked again for that event, and one that keeps failing is not asked at
all while its breaker is open: the event is judged without its past, and says so.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from data_contracts.errors import ServiceUnavailable
from data_contracts.events import Event
from pipelines.enrichment import Enrichment
from pipelines.feature_store.states import BatchedStates

FEATURES_UNAVAILABLE = "features_unavailable"


class Breaker(Protocol):
    """`serving.circuit_breaker.CircuitBreaker`: leave for a call, and how the call ended."""

    def permit(self) -> Any | None: ...

    def record(self, permit: Any, *, failed: bool) -> None: ...


class Reading(NamedTuple):
    """The event with its past, and why a part of that is missing."""

    event: Event
    reasons: tuple[str, ...] = ()


@dataclass
class _OneEvent:
    """Whether the store failed for the event at hand."""

    failed: bool = False


class EventReads:
    """A `StateStore` over `states` that does not ask again for an event that it failed for.

    Outside of `one_event` every read goes to the store. Safe for threads, each with its own event.
    """

    def __init__(self, states: BatchedStates) -> None:
        self._states = states
        self._thread = threading.local()

    @contextmanager
    def one_event(self) -> Iterator[_OneEvent]:
        self._thread.event = event = _OneEvent()
        try:
            yield event
        finally:
            self._thread.event = None

    def get(self, key: str) -> bytes | None:
        return self.get_many([key])[0]

    def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        """The states of these keys, in their order, in one round trip."""
        event: _OneEvent | None = getattr(self._thread, "event", None)
        if event is None:
            return self._states.get_many(keys)
        if event.failed:
            raise ServiceUnavailable("the feature store failed for this event; see that it runs")
        try:
            return self._states.get_many(keys)
        except Exception:
            event.failed = True
            raise

    def put(self, key: str, state: bytes) -> None:
        self._states.put(key, state)


class FeatureReader:
    """Writes the past into events before they are judged. Safe for threads.

    `enrichment` stands on `reads`. The account of an event is its keyed hash already
    (`pipelines.accounts.hash_account`), as in the lake that the store was filled from.
    """

    def __init__(self, reads: EventReads, enrichment: Enrichment, breaker: Breaker) -> None:
        self._reads = reads
        self._enrichment = enrichment
        self._breaker = breaker

    def enriched(self, event: Event) -> Reading:
        """The event with what the past says; with the reason where that is not all of it.

        Raises nothing of the store. An event without a time has no past.
        """
        if event.occurred_at is None:
            return Reading(event)
        permit = self._breaker.permit()
        if permit is None:
            return Reading(event, (FEATURES_UNAVAILABLE,))
        failed = True
        try:
            with self._reads.one_event() as read:
                past = self._enrichment.past(event)
            failed = read.failed
        finally:
            self._breaker.record(permit, failed=failed)
        return Reading(past.event, (FEATURES_UNAVAILABLE,) if past.failed else ())
