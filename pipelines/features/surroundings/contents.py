"""What an event says and shows, in the forms in which posts are compared; read once an event."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from data_contracts.events import Event
from pipelines.features.media.hashes import ImageHashes
from pipelines.features.surroundings.fingerprints import (
    Fingerprint,
    domains,
    image_fingerprint,
    text_digest,
    text_fingerprint,
)
from pipelines.features.text.normalisation import readable
from pipelines.near_duplicates import normalised

MAX_WORDS = 24
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
    shown = readable(event.text)
    plain = normalised(shown)
    target = event.context.get("target")
    digest, near = text_digest(plain), text_fingerprint(plain)
    images = [one for one in map(image_fingerprint, hashes) if one is not None]
    return Content(
        text=() if digest is None else (digest,),
        near_text=() if near is None else (near,),
        file=tuple(dict.fromkeys([reference.sha256 for reference in event.media])),
        near_image=tuple(images),
        domain=domains(shown),
        words=_words(plain),
        target=(target,) if isinstance(target, str) and target else (),
    )


def _words(plain: str) -> tuple[str, ...]:
    """The first distinct words, without numbers."""
    found = dict.fromkeys(_WORD.findall(plain))
    return tuple([word for word in found if not word.isdigit()][:MAX_WORDS])
