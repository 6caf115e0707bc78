"""What the past says about an event, asked of the online feature store before the event is judged.

A store that is not there never stops a server or a verdict: the event is judged without its past,
and `features_unavailable` stands in the verdict's reasons, in its budget (so that replay gives the
same reasons) and in `weir_degraded_verdicts_total`. A store that is empty says nothing: no day was
materialized yet, and events stay as they are.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from math import expm1, inf
from typing import Protocol

from data_contracts.config import Settings
from data_contracts.errors import ServiceUnavailable, WeirError
from data_contracts.events import Event, MediaReference
from data_contracts.verdicts import Budget
from pipelines.enrichment import SOURCES
from pipelines.feature_store.freshness import newest_event
from pipelines.feature_store.opening import feature_reader, open_states
from pipelines.feature_store.reading import FEATURES_UNAVAILABLE, FeatureReader, Reading
from pipelines.feature_store.states import BatchedStates
from pipelines.features.media.base import DecodedImage, DecodedVideo, MediaReader, Unreadable
from serving.bulkhead import OwnThreads
from serving.cascade import Cascade, Decided
from serving.circuit_breaker import CircuitBreaker
from serving.logs import say
from serving.meter import Meter
from serving.metrics import FEATURE_FRESHNESS
from serving.stage_bounds import StageBounds, within
from serving.stage_guard import StageGuard, StageTime
from training.stage_sources import LeftOut

FEATURES = "features"  # what is withheld, in a budget
LOOK_SECONDS = 5.0  # between two looks at how fresh the store is, and two trials to open it
IMAGE = StageTime(0.005, inf, 0.5)  # decoding one: a slow file is not the decoder's fault
_KNOWN = (
    "behaviour.first_seen_days", "surroundings.countries", "surroundings.text_first_hours_log",
    "surroundings.near_text_first_hours_log",
)  # fmt: skip
_LAST_POST = "behaviour.since_last_log"

OpenStates = Callable[[], AbstractContextManager[BatchedStates]]


class Past(Protocol):
    """What the past says about events. Safe for threads."""

    def is_called_for(self, event: Event) -> bool:
        """Whether `enriched` may change the event; quick to say."""
        ...

    def enriched(self, event: Event, deadline: float) -> Reading:
        """The event with its past, and the reasons why a part of it is missing.

        Raises nothing. Images are waited for until `deadline` (`time.monotonic`).
        """
        ...


class NoPast:
    """For an ensemble that asks nothing of the past, and where no store is configured."""

    def is_called_for(self, event: Event) -> bool:  # noqa: ARG002
        return False

    def enriched(self, event: Event, deadline: float) -> Reading:  # noqa: ARG002
        return Reading(event)

    def start(self) -> None: ...

    def close(self) -> None: ...


class StoredPast:
    """The past in an online store, from `start` to `close`.

    `reader_over` makes the reader of a store that was opened. A thread of its own looks at the
    store every `look_seconds`: a store that did not open is tried again.
    """

    def __init__(
        self,
        open_store: OpenStates,
        reader_over: Callable[[BatchedStates], FeatureReader],
        meter: Meter,
        look_seconds: float = LOOK_SECONDS,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._open_store = open_store
        self._reader_over = reader_over
        self._meter = meter
        self._look_seconds = look_seconds
        self._now = now
        self._opened = ExitStack()
        self._states: BatchedStates | None = None
        self._reader: FeatureReader | None = None
        self._newest: datetime | None = None
        self._is_empty = False
        self._has_failed = False
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="feature-store", daemon=True)

    def start(self) -> None:
        """Returns after the first look."""
        self._look()
        self._thread.start()

    def close(self) -> None:
        """When nothing asks any more."""
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join()
        self._opened.close()

    def is_called_for(self, event: Event) -> bool:
        return event.occurred_at is not None and not self._is_empty

    def enriched(self, event: Event, deadline: float) -> Reading:
        if not self.is_called_for(event):
            return Reading(event)
        reader = self._reader
        if reader is None:
            reading = Reading(event, (FEATURES_UNAVAILABLE,))
        elif event.media:
            with within(StageBounds(deadline=deadline)):
                reading = reader.enriched(event)
        else:
            reading = reader.enriched(event)
        self._count(reading)
        return reading

    def _count(self, reading: Reading) -> None:
        if reading.reasons:
            self._meter.read("error")
            return
        context = reading.event.context
        since = context.get(_LAST_POST)
        if isinstance(since, float):
            self._meter.read("hit", expm1(since))
        else:
            self._meter.read("hit" if any(key in context for key in _KNOWN) else "miss")

    def _watch(self) -> None:
        while not self._closing.wait(self._look_seconds):
            self._look()

    def _look(self) -> None:
        """Open the store where it is not, and see how fresh it is."""
        try:
            states = self._states or self._open()
            newest = newest_event(states)
        except Exception as error:  # whatever it is, it stops no server
            self._failed(error)
            return
        if self._has_failed:
            say("the feature store answers")
        elif newest is None and not self._is_empty:
            say("the feature store is empty: no event has a past until a day is materialized")
        self._has_failed, self._is_empty = False, newest is None
        if newest is not None and self._newest is None:
            self._meter.watch(FEATURE_FRESHNESS.labels("past"), self._freshness_seconds)
        self._newest = newest or self._newest

    def _failed(self, error: Exception) -> None:
        if not self._has_failed:
            why = str(error) if isinstance(error, WeirError) else type(error).__name__
            say("the feature store does not answer; verdicts go without the past: {why}",
                "warning", why=why)  # fmt: skip
        self._has_failed = True

    def _open(self) -> BatchedStates:
        states = self._opened.enter_context(self._open_store())
        self._reader, self._states = self._reader_over(states), states
        return states

    def _freshness_seconds(self) -> float:
        newest = self._newest or self._now()
        return max((self._now() - newest).total_seconds(), 0.0)


class GuardedMedia:
    """Images for the past, decoded in threads of their own, so that none holds up a verdict."""

    def __init__(self, media: MediaReader, guard: StageGuard) -> None:
        self._media = media
        self._guard = guard

    def image(self, reference: MediaReference) -> DecodedImage | Unreadable:
        """Raises ServiceUnavailable where it cannot be had in time."""
        found = self._guard.run(FEATURES, partial(self._media.image, reference))
        if isinstance(found, LeftOut):
            raise ServiceUnavailable("an image was not decoded in time; see the stage past_image")
        return found

    def video(self, reference: MediaReference) -> DecodedVideo | Unreadable:
        return self._media.video(reference)

    def content(self, reference: MediaReference) -> bytes | Unreadable:
        return self._media.content(reference)


def past_of(settings: Settings, cascade: Cascade, meter: Meter) -> NoPast | StoredPast:
    """By configuration, and by what the ensemble asks for; to be started and closed."""
    has_stage = getattr(cascade.assessor, "has_stage", lambda _name: False)
    asked = [name for name in SOURCES if has_stage(name)]
    if settings.feature_store.engine == "none" or not asked:
        return NoPast()
    return StoredPast(
        lambda: open_states(settings.feature_store, settings.home),
        partial(_reader, settings=settings, asked=asked, meter=meter),
        meter,
    )


def without_past(decided: Decided, reasons: Collection[str]) -> Decided:
    """The verdict with these reasons, and the budget that says so to replay."""
    if not reasons:
        return decided
    verdict, budget = decided
    withheld = (*budget.withheld, *((FEATURES, why) for why in reasons))
    return Decided(
        replace(verdict, reasons=(*verdict.reasons, *reasons)), replace(budget, withheld=withheld)
    )


def missing_past(budget: Budget) -> tuple[str, ...]:
    """Why an event was judged without its past, or a part of it."""
    return tuple(why for name, why in budget.withheld if name == FEATURES)


def _reader(
    states: BatchedStates, settings: Settings, asked: Collection[str], meter: Meter
) -> FeatureReader:
    from training.stage_sources import media_reader

    guards = settings.serving.stage_guards
    meter.breaker(FEATURES, "closed")
    breaker = CircuitBreaker(guards, partial(meter.breaker, FEATURES))
    media = GuardedMedia(media_reader(settings), _image_guard(settings, meter))
    return feature_reader(states, media, breaker, asked)


def _image_guard(settings: Settings, meter: Meter) -> StageGuard:
    guards, name = settings.serving.stage_guards, "past_image"
    meter.breaker(name, "closed")
    breaker = CircuitBreaker(guards, partial(meter.breaker, name))
    return StageGuard(name, breaker, OwnThreads(name, guards.threads), IMAGE, meter)
