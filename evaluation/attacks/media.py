"""Reading the media of an event that is attacked, and putting others in their place."""

from __future__ import annotations

import atexit
import base64
import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path

from data_contracts.events import MAX_EVENT_BYTES, Event, MediaKind, MediaReference
from evaluation.attacks.base import fitting
from pipelines.features.media.base import MediaReader
from pipelines.features.media.reader import BoundedMediaReader

OpenMedia = Callable[[], MediaReader]
Rewrite = Callable[[MediaReference, int], bytes | None]
BASE64_SHARE = 0.75  # bytes a character
FIELDS_BYTES = 1_024  # of a reference without its bytes, with room to spare


@cache
def media_under(root: Path | None = None) -> MediaReader:
    """Reads media by path under `root`, without one only bytes that stand in the event.

    One reader a root for this process, closed at its end.
    """
    reader = BoundedMediaReader(root)
    atexit.register(reader.close)
    return reader


def reference(kind: MediaKind, content: bytes) -> MediaReference:
    """A file as event media, with its bytes."""
    digest = hashlib.sha256(content).hexdigest()
    return MediaReference(kind=kind, sha256=digest, bytes=base64.b64encode(content).decode())


def rewritten(event: Event, kind: MediaKind, rewrite: Rewrite) -> Event:
    """The event with every medium of `kind` rewritten.

    `rewrite(medium, room)` gives a file of at most `room` bytes, or None where it cannot; that
    medium stays. The results lie in the event, since an attack has no media root to write to.
    """
    count = sum(one.kind == kind for one in event.media)
    if not count:
        return event
    room = _room(event, kind, count)
    media = []
    for one in event.media:
        content = rewrite(one, room) if one.kind == kind else None
        media.append(one if content is None else reference(kind, content))
    return fitting(event, event.model_copy(update={"media": tuple(media)}))


def _room(event: Event, kind: MediaKind, count: int) -> int:
    """Bytes that each of `count` media may have, so that the event stays within its bound."""
    kept = tuple(one for one in event.media if one.kind != kind)
    rest = len(event.model_copy(update={"media": kept}).model_dump_json().encode())
    return int((MAX_EVENT_BYTES - rest - count * FIELDS_BYTES) * BASE64_SHARE / count)
