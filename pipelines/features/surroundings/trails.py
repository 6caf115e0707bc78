"""A trail: the latest posts that share something, and when the first of them was.

Packed as the first time (float64 seconds) and at most KEPT sightings of 16 bytes, oldest first.
Questions are asked as of a time and see nothing later, in whatever order the posts arrived.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipelines.feature_store.states import StateStore
from pipelines.kernels import kernel

KEPT = 64  # counts within a window stop there: "64 or more"
HOUR, DAY = 3600.0, 86_400.0
SIGHTING = np.dtype([("at", "<f8"), ("who", "<u4"), ("where", "<u4")])
UNKNOWN = 0
_FIRST_BYTES = 8
_FIRST_AND_OLDEST = struct.Struct("<2d")
_WORDS = "Array(uint64, 1, 'C', readonly=True)"
_WHO, _HALF = np.uint64(0xFFFFFFFF), np.uint64(32)  # the low half is `who`, the high one `where`


@dataclass(frozen=True)
class Trail:
    """`first`: seconds since 1970 of the earliest post; `sightings`: SIGHTING[n], by time."""

    first: float
    sightings: NDArray[np.void]

    def joined(self, at: float, who: int, where: int) -> Trail:
        """With one more sighting, without the oldest beyond KEPT."""
        grown = np.append(self.sightings, np.array([(at, who, where)], SIGHTING))
        grown = grown[np.argsort(grown["at"], kind="stable")]
        return Trail(min(self.first, at), grown[-KEPT:])


NOTHING = Trail(np.inf, np.zeros(0, SIGHTING))


class Spread(NamedTuple):
    """Of a window: posts, and distinct known accounts and targets among them."""

    posts: float
    accounts: float
    targets: float


def read_trail(states: StateStore, key: str) -> Trail:
    packed = states.get(key)
    if packed is None:
        return NOTHING
    first = float(np.frombuffer(packed, "<f8", 1)[0])
    return Trail(first, np.frombuffer(packed, SIGHTING, offset=_FIRST_BYTES))


def write_trail(states: StateStore, key: str, trail: Trail) -> None:
    states.put(key, np.array([trail.first], "<f8").tobytes() + trail.sightings.tobytes())


def first_seen(packed: bytes | None, now: float) -> float | None:
    """Of a packed trail, the time of the earliest post as it was known at `now`."""
    if packed is None:
        return None
    first, oldest = _FIRST_AND_OLDEST.unpack_from(packed)
    return min(first, oldest) if oldest <= now else None


def spreads(packed: bytes, now: float, one: float, other: float) -> tuple[Spread, Spread]:
    """Of a packed trail, in so many seconds up to `now`."""
    found = _spreads(np.frombuffer(packed, "<u8"), now, now - one, now - other)
    return Spread(*found[:3]), Spread(*found[3:])


def share_of(packed: bytes, now: float, who: int) -> float:
    """The share of one `who` among the sightings of a packed trail up to `now`."""
    return float(_share(np.frombuffer(packed, "<u8"), now, who))


def mark(name: str | None) -> int:
    """A name as 32 bits; UNKNOWN for none.

    >>> mark(None), mark("ana") == mark("ana"), mark("ana") == mark("ben")
    (0, True, False)
    """
    return UNKNOWN if name is None else max(zlib.crc32(name.encode("utf-8", "replace")), 1)


@kernel()
def _spread(words: NDArray[np.uint64], now: float, after: float) -> tuple[float, float, float]:
    """Posts, distinct accounts and distinct targets of the sightings in (after, now]."""
    times = words.view(np.float64)
    begin, end = 1, len(words) - 1  # a sighting is two words, and they are in order of time
    while begin < end and times[begin] <= after:
        begin += 2
    posts, accounts, targets = 0, 0, 0
    for row in range(begin, end, 2):
        if times[row] > now:
            break
        who, where = words[row + 1] & _WHO, words[row + 1] >> _HALF
        seen_who, seen_where = who == UNKNOWN, where == UNKNOWN
        for other in range(begin + 1, row, 2):
            seen_who |= words[other] & _WHO == who
            seen_where |= words[other] >> _HALF == where
        posts += 1
        accounts += not seen_who
        targets += not seen_where
    return float(posts), float(accounts), float(targets)


@kernel(f"UniTuple(float64, 6)({_WORDS}, float64, float64, float64)")
def _spreads(
    words: NDArray[np.uint64], now: float, after: float, other: float
) -> tuple[float, ...]:
    return _spread(words, now, after) + _spread(words, now, other)


@kernel(f"float64({_WORDS}, float64, uint64)")
def _share(words: NDArray[np.uint64], now: float, who: int) -> float:
    times = words.view(np.float64)
    such, all_of_them = 0, 0
    for row in range(1, len(words) - 1, 2):
        if times[row] <= now:
            all_of_them += 1
            such += words[row + 1] & _WHO == who
    return such / all_of_them
