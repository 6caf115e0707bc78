"""Whether an account says the same again: its latest texts and media, as identities."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from data_contracts.events import Event
from pipelines.features.behaviour.packing import Ring, latest
from pipelines.features.behaviour.signals import identity
from pipelines.features.text.normalisation import readable

KEPT = 16
NAMES = ("same_text_share", "repeated_text_share", "same_media_share", "repeated_media_share")
_LETTERS = re.compile(r"[^\W\d_]+")


class Repetition(NamedTuple):
    """Identities of the latest normalised texts and media files."""

    texts: Ring = ()
    media: Ring = ()

    def posted(self, event: Event) -> Repetition:
        texts, media = self
        for text in text_identities(event):
            texts = latest(texts, text, KEPT)
        for file in media_identities(event):
            media = latest(media, file, KEPT)
        return Repetition(texts, media)


def repetition_features(repetition: Repetition, event: Event) -> dict[str, float | None]:
    return {
        "same_text_share": _same(repetition.texts, text_identities, event),
        "repeated_text_share": _repeated(repetition.texts),
        "same_media_share": _same(repetition.media, media_identities, event),
        "repeated_media_share": _repeated(repetition.media),
    }


def text_identities(event: Event) -> Ring:
    """One, of the words without digits, signs and case; none of a text without letters.

    >>> a, b = Event(event_id="a", text="Win £500!"), Event(event_id="b", text="win 900")
    >>> text_identities(a) == text_identities(b)
    True
    """
    words = _LETTERS.findall(readable(event.text).casefold())
    return (identity(" ".join(words)),) if words else ()


def media_identities(event: Event) -> Ring:
    return tuple(identity(reference.sha256) for reference in event.media)


def _same(known: Ring, identities: Callable[[Event], Ring], event: Event) -> float | None:
    """The share of the known that is among the event's."""
    new = identities(event) if known else ()
    return sum(one in new for one in known) / len(known) if new else None


def _repeated(known: Ring) -> float | None:
    """The share of the known that stood there before.

    >>> _repeated((1, 1, 1, 2))
    0.5
    """
    return 1 - len(set(known)) / len(known) if known else None
