"""How often something is posted: a fast and a slow count, each fading with time.

Time goes in slots of ten minutes. Only slots that have ended are in the counts, and a question
about a slot sees none that is later, though a few posts arrive out of order: the slot before the
latest stays open. A question from further back cannot be answered any more.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from math import exp
from typing import NamedTuple

SLOT = 600.0
FAST_SLOTS, SLOW_SLOTS = 6.0, 6.0 * 24 * 7  # an hour, a week
_PACKED = struct.Struct("<q4d")
_FAST, _SLOW = exp(-1 / FAST_SLOTS), exp(-1 / SLOW_SLOTS)


class Rates(NamedTuple):
    """Faded counts of posts: each has 1/e of its weight after an hour, after a week."""

    fast: float
    slow: float


NEVER = Rates(0.0, 0.0)


class Counter(NamedTuple):
    """Counts as of the start of `slot - 1`, and those of the slots `slot - 1` and `slot`."""

    slot: int
    fast: float
    slow: float
    before: float
    latest: float

    def rates(self, slot: int) -> Rates | None:
        """As of the start of `slot`; None where later posts are in the counts already."""
        if slot < self.slot - 1:
            return None
        moved = self if slot == self.slot - 1 else self.moved(slot + 1)
        return Rates(moved.fast, moved.slow)

    def moved(self, slot: int) -> Counter:
        """With `slot` as the latest, for `slot` at or after it."""
        gap = slot - self.slot
        if gap == 0:
            return self
        first = Counter(
            self.slot + 1,
            self.fast * _FAST + self.before,
            self.slow * _SLOW + self.before,
            self.latest,
            0.0,
        )
        return first._skipped(gap - 1) if gap > 1 else first

    def one_more(self, slot: int) -> Counter:
        """With one post in `slot`; one that is older than the slot before the latest is left."""
        if slot < self.slot - 1:
            return self
        if slot == self.slot - 1:
            return self._replace(before=self.before + 1)
        moved = self.moved(slot)
        return moved._replace(latest=moved.latest + 1)

    def pack(self) -> bytes:
        return _PACKED.pack(*self)

    def _skipped(self, gap: int) -> Counter:
        """`gap` slots on, of which the latest had no post."""
        kept_fast, kept_slow, late_fast, late_slow = _fading(gap)
        fast = self.fast * kept_fast + self.before * late_fast
        slow = self.slow * kept_slow + self.before * late_slow
        return Counter(self.slot + gap, fast, slow, 0.0, 0.0)


def packed_rates(packed: bytes, slot: int) -> Rates | None:
    """`unpack(packed, slot).rates(slot)`, without the counters on the way there."""
    known, fast, slow, before, latest = _PACKED.unpack(packed)
    gap = slot + 1 - known
    if gap <= 0:
        return Rates(fast, slow) if gap == 0 else None
    fast, slow = fast * _FAST + before, slow * _SLOW + before
    if gap == 1:
        return Rates(fast, slow)
    kept_fast, kept_slow, late_fast, late_slow = _fading(gap - 1)
    return Rates(fast * kept_fast + latest * late_fast, slow * kept_slow + latest * late_slow)


def unpack(packed: bytes | None, slot: int) -> Counter:
    """The counter as packed; a new one, at `slot`, where there is none."""
    return Counter(slot, 0.0, 0.0, 0.0, 0.0) if packed is None else Counter(*_PACKED.unpack(packed))


@lru_cache(1 << 12)
def _fading(gap: int) -> tuple[float, float, float, float]:
    """What `gap` slots leave of a fast and a slow count, and `gap - 1` of them."""
    return _FAST**gap, _SLOW**gap, _FAST ** (gap - 1), _SLOW ** (gap - 1)
