"""Reads the past of one event for a verdict: in few round trips, and without it if need be.

A store that fails is not asked again for that event, and one that keeps failing is not asked at
all while its breaker is open: the event is judged without its past, and says so.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple, Protocol

from data_contracts.errors import ServiceUnavailable
from data_contracts.events import Event
from pipelines.enrichment import Enrichment
from pipelines.feature_store.freshness import freshness_seconds
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
    """What was read for the event at hand, and whether the store failed."""

    states: dict[str, bytes | None]
    failed: bool = False


class EventReads:
    """A `StateStore` over `states` that reads each key once an event, many in one round trip.

    After a failure the rest of the event's reads fail at once. Outside of `one_event` every read
    goes to the store. Safe for threads, each with its own event.
    """

    def __init__(self, states: BatchedStates) -> None:
        self._states = states
        self._thread = threading.local()

    @contextmanager
    def one_event(self) -> Iterator[_OneEvent]:
        self._thread.event = event = _OneEvent({})
        try:
            yield event
        finally:
            self._thread.event = None

    def expect(self, keys: Iterable[str]) -> None:
        """Read these keys now, those that are new for the event in one round trip."""
        event = self._event()
        if event is not None:
            missing = [key for key in dict.fromkeys(keys) if key not in event.states]
            if missing:
                found = self._read(event, lambda: self._states.get_many(missing))
                event.states.update(zip(missing, found, strict=True))

    def get(self, key: str) -> bytes | None:
        event = self._event()
        if event is None:
            return self._states.get(key)
        if key not in event.states:
            event.states[key] = self._read(event, lambda: [self._states.get(key)])[0]
        return event.states[key]

    def put(self, key: str, state: bytes) -> None:
        self._states.put(key, state)
        event = self._event()
        if event is not None:
            event.states[key] = state

    def _event(self) -> _OneEvent | None:
        return getattr(self._thread, "event", None)

    def _read(
        self, event: _OneEvent, read: Callable[[], Sequence[bytes | None]]
    ) -> Sequence[bytes | None]:
        if event.failed:
            raise ServiceUnavailable("the feature store failed for this event; see that it runs")
        try:
            return read()
        except Exception:
            event.failed = True
            raise


class FeatureReader:
    """Writes the past into events before they are judged.

    `enrichment` stands on `reads`. `pseudonym` makes of an account what the lake knows it by
    (`pipelines.accounts.hash_account`), for the store was filled from the lake.
    """

    def __init__(
        self,
        reads: EventReads,
        enrichment: Enrichment,
        breaker: Breaker,
        pseudonym: Callable[[str], str],
    ) -> None:
        self._reads = reads
        self._enrichment = enrichment
        self._breaker = breaker
        self._pseudonym = pseudonym

    def enriched(self, event: Event) -> Reading:
        """The event with what the past says; without it, and with the reason, where that fails.

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
                known = self._enrichment.enriched(self._as_in_the_lake(event))
            failed = read.failed
        finally:
            self._breaker.record(permit, failed=failed)
        found = event.model_copy(update={"context": known.context})
        return Reading(found, (FEATURES_UNAVAILABLE,) if failed else ())

    def freshness_seconds(self, now: datetime) -> float | None:
        """The age of the newest event in the store; None where it is empty or does not answer."""
        permit = self._breaker.permit()
        if permit is None:
            return None
        failed = True
        try:
            age = freshness_seconds(self._reads, now)
            failed = False
            return age
        except ServiceUnavailable:
            return None
        finally:
            self._breaker.record(permit, failed=failed)

    def _as_in_the_lake(self, event: Event) -> Event:
        if event.account is None:
            return event
        return event.model_copy(update={"account": self._pseudonym(event.account)})
