"""What an online store holds and promises, and how it packs a row.

One row an entity and view: the values of the latest event time. Terms as in Feast: an *entity*
has features, a *feature view* names them, the *online store* serves the newest row.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
MAXIMUM_SKEW = timedelta(minutes=5)
MAXIMUM_KEY_BYTES = 511  # LMDB's bound; account names are hashed long before it


@dataclass(frozen=True)
class FeatureView:
    """Named features that are written together. Another list of features is another version."""

    name: str
    version: int
    features: tuple[str, ...]
    time_to_live: timedelta

    def __post_init__(self) -> None:
        if not self.name or "\0" in self.name or self.version < 1:
            raise ValueError(f"view {self.name!r} version {self.version}: give a name and 1, 2, …")
        if not self.features or len(set(self.features)) != len(self.features):
            raise ValueError(f"view {self.name}: features must be named, each once")
        if self.time_to_live <= timedelta(0):
            raise ValueError(f"view {self.name}: time_to_live {self.time_to_live} must be above 0")

    def key(self, entity: str) -> bytes:
        """Where the entity's row stands; ValueError for one that is empty or too long."""
        key = f"{self.name}\0{self.version}\0{entity}".encode()
        if not entity or len(key) > MAXIMUM_KEY_BYTES:
            raise ValueError(
                f"entity of {len(entity)} characters makes a key of {len(key)} bytes, "
                f"at most {MAXIMUM_KEY_BYTES}; use a hash of it"
            )
        return key


@dataclass(frozen=True)
class FeatureRow:
    """An entity's features, in the order of its view, as they were at `event_time`."""

    values: tuple[float, ...]
    event_time: datetime


class OnlineStore(Protocol):
    """The newest features of an entity. One store serves one view."""

    def get(self, entity: str) -> FeatureRow | None:
        """None where there is no row, or its time to live is over."""
        ...

    def get_many(self, entities: Sequence[str]) -> list[FeatureRow | None]:
        """As `get`, of many entities in their order, in one round trip."""
        ...

    def put(self, entity: str, values: Sequence[float], event_time: datetime) -> bool:
        """Keep the row unless a newer one is there; whether it was kept.

        ValueError for a wrong number of values, a time without a zone, or one more than
        MAXIMUM_SKEW ahead of the clock, which would keep every later row out.
        """
        ...


def check_row(
    view: FeatureView, values: Sequence[float], event_time: datetime, now: datetime
) -> None:
    """The ValueErrors that `OnlineStore.put` promises."""
    if len(values) != len(view.features):
        raise ValueError(f"{len(values)} values for the {len(view.features)} features of a view")
    if event_time.tzinfo is None:
        raise ValueError(f"event_time {event_time} has no zone; give an aware datetime")
    if event_time > now + MAXIMUM_SKEW:
        raise ValueError(f"event_time {event_time} is ahead of {now}; mend the producer's clock")


def read_row(packed: bytes | None, view: FeatureView, now: datetime) -> FeatureRow | None:
    """The row in `packed`; None where there is none, or its time to live is over at `now`."""
    if packed is None:
        return None
    row = unpack(packed)
    return None if now - row.event_time > view.time_to_live else row


def pack(row: FeatureRow) -> bytes:
    """8 bytes of event time (microseconds since 1970, UTC), then a float64 a value.

    >>> row = FeatureRow((0.5, 2.0), EPOCH)
    >>> len(pack(row)), unpack(pack(row)) == row
    (24, True)
    """
    microseconds = (row.event_time - EPOCH) // MICROSECOND
    return struct.pack(f"<q{len(row.values)}d", microseconds, *row.values)


def unpack(packed: bytes) -> FeatureRow:
    """The inverse of `pack`."""
    microseconds, *values = struct.unpack(f"<q{len(packed) // 8 - 1}d", packed)
    return FeatureRow(tuple(values), EPOCH + microseconds * MICROSECOND)
