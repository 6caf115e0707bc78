"""What an event says and shows, in the forms in which posts are compared; read once an event."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple, TypeVar

from data_contracts.events import Event
from pipelines.features.media.hashes import ImageHashes
from pipelines.features.surroundings.fingerprints import (
    Fingerprint,
    domains,
    image_fingerprint,
    plain_text,
    text_digest,
    text_fingerprint,
)

MAX_WORDS = 24
Known = TypeVar("Known")
_WORD = re.compile(r"\w{3,32}")


class Content(NamedTuple):
    """`text` is a digest of the whole text; each field is empty where there is nothing."""

    text: tuple[str, ...]
    near_text: tuple[Fingerprint, ...]
    file: tuple[str, ...]
    near_image: tuple[Fingerprint, ...]
    domain: tuple[str, ...]
    words: tuple[str, ...]
    target: tuple[str, ...]


def content_of(event: Event, hashes: Sequence[ImageHashes]) -> Content:
    """`hashes` are those of the event's images."""
    plain = plain_text(event.text)
    target = event.context.get("target")
    return Content(
        text=_present(text_digest(plain)),
        near_text=_present(text_fingerprint(plain)),
        file=tuple(dict.fromkeys(reference.sha256 for reference in event.media)),
        near_image=_present(*map(image_fingerprint, hashes)),
        domain=domains(event.text),
        words=_words(plain),
        target=_present(target if isinstance(target, str) and target else None),
    )


def _present(*found: Known | None) -> tuple[Known, ...]:
    return tuple(one for one in found if one is not None)


def _words(plain: str) -> tuple[str, ...]:
    """The first distinct words, without numbers."""
    found = dict.fromkeys(_WORD.findall(plain))
    return tuple(word for word in found if not word.isdigit())[:MAX_WORDS]
