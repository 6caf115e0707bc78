"""The interface of an attack on events, and what keeps its result an event."""

from __future__ import annotations

from typing import Literal, Protocol

import numpy as np

from data_contracts.events import MAX_EVENT_BYTES, MAX_TEXT_CHARACTERS, Event

Family = Literal["characters", "words", "layout", "images", "video", "behaviour"]


class Attack(Protocol):
    """Changes an event so that a person still gets the message and a filter may not.

    `strength` in (0, 1] says how much is changed: the share of the letters or words in reach, the
    share of the greatest noise, crop or blur that leaves a picture readable. The same event,
    strength and state of `rng` give the same answer.
    """

    name: str
    family: Family

    def applies_to(self, event: Event) -> bool:
        """Whether there is anything to change, cheaply: text of its script, a picture, a past."""
        ...

    def disguise(self, event: Event, strength: float, rng: np.random.Generator) -> Event:
        """The changed event; the event itself where nothing could be changed."""
        ...


def with_text(event: Event, text: str) -> Event:
    """The event with this text; the event itself where the text is its own or breaks a bound."""
    if text == event.text or len(text) > MAX_TEXT_CHARACTERS:
        return event
    return fitting(event, event.model_copy(update={"text": text}))


def fitting(before: Event, after: Event) -> Event:
    """`after`, or `before` where `after` is larger than an event may be."""
    return after if len(after.model_dump_json().encode()) <= MAX_EVENT_BYTES else before
