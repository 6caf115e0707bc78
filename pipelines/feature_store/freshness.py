"""How far behind the online store is: the age of the newest event that it was told of."""

from __future__ import annotations

import struct
from datetime import datetime

from pipelines.feature_store.base import EPOCH, MICROSECOND
from pipelines.feature_store.states import StateStore

NEWEST = "newest"
_PACKED = struct.Struct("<q")  # microseconds since 1970


def newest_event(states: StateStore) -> datetime | None:
    """The time of the newest event or action in the store; None where it is empty."""
    packed = states.get(NEWEST)
    return None if packed is None else EPOCH + _PACKED.unpack(packed)[0] * MICROSECOND


def note_newest(states: StateStore, at: datetime) -> None:
    """Tell the store of an event; an older one than it knows changes nothing."""
    known = newest_event(states)
    if known is None or at > known:
        states.put(NEWEST, _PACKED.pack((at - EPOCH) // MICROSECOND))


def freshness_seconds(states: StateStore, now: datetime) -> float | None:
    """The age of the newest event at `now`, not below 0; None where the store is empty.

    Errors of the store pass through.
    """
    newest = newest_event(states)
    return None if newest is None else max((now - newest).total_seconds(), 0.0)
