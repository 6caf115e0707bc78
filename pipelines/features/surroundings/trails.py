"""A trail: the latest posts that share something, and when the first of them was.

Packed as the first time (float64 seconds) and at most KEPT sightings of 16 bytes, oldest first.
Questions are asked as of a time and see nothing later, in whatever order the posts arrived.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipelines.feature_store.states import StateStore

KEPT = 64  # counts within a window stop there: "64 or more"
HOUR, DAY = 3600.0, 86_400.0
SIGHTING = np.dtype([("at", "<f8"), ("who", "<u4"), ("where", "<u4")])
UNKNOWN = 0
_FIRST_BYTES = 8


class Spread(NamedTuple):
    """Of a window: posts, and distinct known accounts and targets among them."""

    posts: int
    accounts: int
    targets: int


@dataclass(frozen=True)
class Trail:
    """`first`: seconds since 1970 of the earliest post; `sightings`: SIGHTING[n], by time."""

    first: float
    sightings: NDArray[np.void]

    def until(self, now: float) -> Trail | None:
        """As it was known at `now`; None where nothing was."""
        past = self.sightings[self.sightings["at"] <= now]
        if not len(past):
            return None
        return Trail(min(self.first, float(past["at"][0])), past)

    def spread(self, now: float, seconds: float) -> Spread:
        recent = self.sightings[self.sightings["at"] > now - seconds]
        return Spread(len(recent), _distinct(recent["who"]), _distinct(recent["where"]))

    def joined(self, at: float, who: int, where: int) -> Trail:
        """With one more sighting, without the oldest beyond KEPT."""
        grown = np.append(self.sightings, np.array([(at, who, where)], SIGHTING))
        grown = grown[np.argsort(grown["at"], kind="stable")]
        return Trail(min(self.first, at), grown[-KEPT:])


NOTHING = Trail(np.inf, np.zeros(0, SIGHTING))


def read_trail(states: StateStore, key: str) -> Trail:
    packed = states.get(key)
    if packed is None:
        return NOTHING
    first = float(np.frombuffer(packed, "<f8", 1)[0])
    return Trail(first, np.frombuffer(packed, SIGHTING, offset=_FIRST_BYTES))


def write_trail(states: StateStore, key: str, trail: Trail) -> None:
    states.put(key, np.array([trail.first], "<f8").tobytes() + trail.sightings.tobytes())


def mark(name: str | None) -> int:
    """A name as 32 bits; UNKNOWN for none.

    >>> mark(None), mark("ana") == mark("ana"), mark("ana") == mark("ben")
    (0, True, False)
    """
    return UNKNOWN if name is None else max(zlib.crc32(name.encode("utf-8", "replace")), 1)


def _distinct(marks: NDArray[np.uint32]) -> int:
    return len(set(marks.tolist()) - {UNKNOWN})
