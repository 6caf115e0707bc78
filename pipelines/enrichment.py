"""Enrichment: writes into an event what the past says about it, as of its time.

Each source is read before it is told of the event, online and in a replay alike, so that no
event sees itself or what came later.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import NamedTuple, Protocol

from data_contracts.actions import Action
from data_contracts.events import ENRICHED_PREFIXES, MAX_CONTEXT_ENTRIES, ContextValue, Event
from pipelines.features.media.base import MediaReader

SOURCES = tuple(prefix.removesuffix(".") for prefix in ENRICHED_PREFIXES)

Found = Mapping[str, float]


class Behaviour(Protocol):
    """`pipelines.features.behaviour.state.BehaviourState`."""

    def features(self, event: Event) -> Found: ...

    def observe_event(self, event: Event) -> None: ...

    def observe_action(self, action: Action) -> None: ...


class Surroundings(Protocol):
    """`pipelines.features.surroundings.state.SurroundingsState`."""

    def features(self, event: Event, media: MediaReader) -> Found: ...

    def observe(self, event: Event, media: MediaReader) -> None: ...


class Source(NamedTuple):
    """One view of the past: what it says about an event, and how it is told of one."""

    features: Callable[[Event], Found]
    observe: Callable[[Event], None]
    keys: Keys


class Keys(dict[str, str]):
    """The key in an event's context of each feature of one source, made once."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.prefix = f"{source}."

    def __missing__(self, feature: str) -> str:
        return self.setdefault(feature, self.prefix + feature)


class Past(NamedTuple):
    """An event with what the past says about it, and the sources that failed."""

    event: Event
    failed: tuple[str, ...] = ()


class Enrichment:
    """The sources of the past by name; an event's keys are `{source}.{feature}`.

    A source that fails leaves its keys out and counts in `failures`, by source and error: an
    event is judged without it. So does a context that is full (MAX_CONTEXT_ENTRIES): its own
    entries stay, features are added in the order of the sources while there is room.

    Only the sources in `asked` are asked about an event; all are told of it.
    """

    def __init__(
        self,
        behaviour: Behaviour,
        surroundings: Surroundings,
        media: MediaReader,
        asked: Collection[str] = SOURCES,
    ) -> None:
        self.failures: Counter[str] = Counter()
        self._behaviour = behaviour
        self._sources = {
            "behaviour": Source(behaviour.features, behaviour.observe_event, Keys("behaviour")),
            "surroundings": Source(
                lambda event: surroundings.features(event, media),
                lambda event: surroundings.observe(event, media),
                Keys("surroundings"),
            ),
        }
        self._asked = {name: one for name, one in self._sources.items() if name in asked}

    def enriched(self, event: Event) -> Event:
        """The event with what the past says."""
        return self.past(event).event

    def past(self, event: Event) -> Past:
        """The event with what the past says, and what could not be asked.

        A source whose keys it has already is not asked again: what was absent stays absent. An
        event without a time has no past, and comes back as it is.
        """
        if event.occurred_at is None:
            return Past(event)
        known = [key for key in event.context if key.startswith(ENRICHED_PREFIXES)]
        context, failed = dict(event.context), []
        for name, source in self._asked.items():
            if known and any(key.startswith(source.keys.prefix) for key in known):
                continue
            try:
                found = source.features(event)
            except Exception as error:  # an event is judged without it
                self._failed(name, error)
                failed.append(name)
            else:
                self._add(context, name, found)
        if len(context) > len(event.context):
            event = event.model_copy(update={"context": context})
        return Past(event, tuple(failed))

    def observe(self, event: Event) -> None:
        """Tell every source of an event that has happened, after it was enriched."""
        for name, source in self._sources.items():
            try:
                source.observe(event)
            except Exception as error:  # a source that is down must not stop the stream
                self._failed(name, error)

    def observe_action(self, action: Action) -> None:
        """Tell behaviour of an action."""
        try:
            self._behaviour.observe_action(action)
        except Exception as error:
            self._failed("behaviour", error)

    def replay(self, events: Iterable[Event], actions: Iterable[Action]) -> Iterator[Event]:
        """The events enriched, from two logs that are each in order of time, with a time each."""
        for happened in in_order_of_time(events, actions):
            if isinstance(happened, Action):
                self.observe_action(happened)
            else:
                enriched = self.enriched(happened)
                self.observe(happened)
                yield enriched

    def enrich_in_order(self, events: Sequence[Event], actions: Iterable[Action]) -> list[Event]:
        """The events enriched as they happened, returned in the order given.

        No other event sees one without a time.
        """
        rows = sorted((row for row in enumerate(events) if row[1].occurred_at), key=_row_time)
        ordered = sorted(actions, key=lambda action: action.at)
        enriched = list(events)
        replayed = self.replay((event for _, event in rows), ordered)
        for (row, _), event in zip(rows, replayed, strict=True):
            enriched[row] = event
        return enriched

    def _add(self, context: dict[str, ContextValue], name: str, found: Found) -> None:
        room = MAX_CONTEXT_ENTRIES - len(context)
        if len(found) > room:
            self.failures[f"{name}: context full"] += 1
            found = dict(islice(found.items(), max(room, 0)))
        context.update(
            zip(map(self._sources[name].keys.__getitem__, found), found.values(), strict=True)
        )

    def _failed(self, name: str, error: Exception) -> None:
        self.failures[f"{name}: {type(error).__name__}"] += 1


def in_order_of_time(
    events: Iterable[Event], actions: Iterable[Action]
) -> Iterator[Event | Action]:
    """Both logs merged. At the same time events come first: they see what was before them."""
    return heapq.merge(events, actions, key=_time)


def bare(event: Event) -> Event:
    """The event as it arrived, without what enrichment wrote."""
    context = {
        key: entry for key, entry in event.context.items() if not key.startswith(ENRICHED_PREFIXES)
    }
    return event.model_copy(update={"context": context})


def _time(happened: Event | Action) -> datetime:
    at = happened.at if isinstance(happened, Action) else happened.occurred_at
    if at is None:
        raise ValueError("an event without a time cannot be put in order; leave it out")
    return at


def _row_time(row: tuple[int, Event]) -> tuple[datetime, str]:
    return _time(row[1]), row[1].event_id
