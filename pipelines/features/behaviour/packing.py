"""Folded state as bytes: a version, the lengths of the rings, the numbers, the rings.

A state is a NamedTuple of parts, a part is a NamedTuple whose fields are numbers (float64) and
rings (the latest few int64: times in microseconds, or identities). Every ring is bounded (255
at most), so every state is; a new account takes only the head.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from itertools import accumulate, chain, pairwise
from operator import itemgetter
from typing import Any, Generic, TypeVar

import numpy as np

from pipelines.feature_store.states import StateStore

VERSION = 1

Ring = tuple[int, ...]
Parts = tuple[tuple[float | Ring, ...], ...]
State = TypeVar("State", bound=Parts)


class Packing(Generic[State]):
    """Packs states of the shape of `empty`, whose parts must have defaults in every field."""

    def __init__(self, empty: State) -> None:
        fields = list(chain.from_iterable(empty))
        self.empty = empty
        self._rings = [row for row, field in enumerate(fields) if isinstance(field, tuple)]
        self._numbers = [row for row in range(len(fields)) if row not in self._rings]
        self._head = struct.Struct(f"<B{len(self._rings)}B{len(self._numbers)}d")
        self._order = itemgetter(*np.argsort([*self._rings, *self._numbers]).tolist())
        ends = list(accumulate(map(len, empty)))
        self._parts = list(zip(map(_maker, empty), [0, *ends], ends, strict=False))
        self._of_parts = _maker(empty)
        is_short = len(empty) == 1 and not self._rings  # as a standing, read for every neighbour
        self._only = self._parts[0][0] if is_short else None

    def pack(self, state: State) -> bytes:
        fields = list(chain.from_iterable(state))
        rings: list[Ring] = [fields[row] for row in self._rings]  # type: ignore[misc]
        numbers = [fields[row] for row in self._numbers]
        items = list(chain.from_iterable(rings))
        head = self._head.pack(VERSION, *map(len, rings), *numbers)
        return head + struct.pack(f"<{len(items)}q", *items)

    def unpack(self, packed: bytes) -> State:
        """The inverse of `pack`; ValueError for bytes of another version or length."""
        start = self._head.size
        if len(packed) < start or packed[0] != VERSION:
            raise ValueError(f"state of {len(packed)} bytes is not of version {VERSION}")
        if self._only is not None and len(packed) == start:
            short: State = self._of_parts((self._only(self._head.unpack(packed)[1:]),))
            return short
        ends = list(accumulate(packed[1 : 1 + len(self._rings)], initial=0))
        if len(packed) != start + 8 * ends[-1]:
            raise ValueError(f"state of {len(packed)} bytes has rings of {ends[-1]}")
        numbers = self._head.unpack_from(packed)[1 + len(self._rings) :]
        items = tuple(np.frombuffer(packed, "<i8", offset=start).tolist()) if ends[-1] else ()
        fields = self._order([*[items[a:b] for a, b in pairwise(ends)], *numbers])
        state: State = self._of_parts([make(fields[a:b]) for make, a, b in self._parts])
        return state


def _maker(like: Any) -> Callable[[Iterable[Any]], Any]:
    """Makes a NamedTuple of the same type from its fields in order."""
    made: Callable[[Iterable[Any]], Any] = type(like)._make
    return made


class Shelf(Generic[State]):
    """One kind of state in a store. What cannot be read counts as unknown and as `corrupt`."""

    def __init__(self, states: StateStore, kind: str, packing: Packing[State]) -> None:
        self.corrupt = 0
        self._states = states
        self._kind = kind
        self._packing = packing

    def get(self, identity: int) -> State:
        return self.unpacked(self._states.get(self.key(identity)))

    def unpacked(self, packed: bytes | None) -> State:
        """The state that was read; the empty one itself where there is none."""
        if packed is None:
            return self._packing.empty
        try:
            return self._packing.unpack(packed)
        except (ValueError, struct.error):
            self.corrupt += 1
            return self._packing.empty

    def change(self, identity: int, changed: Callable[[State], State]) -> None:
        """Keep what `changed` makes of the state; nothing is written where that is the same."""
        known = self.get(identity)
        state = changed(known)
        if state is not known:
            self._states.put(self.key(identity), self._packing.pack(state))

    def key(self, identity: int) -> str:
        return f"{self._kind}:{identity:x}"


def latest(ring: Ring, item: int, size: int) -> Ring:
    """The ring with one more item, without its oldest where it is full.

    >>> latest((1, 2, 3), 4, 3)
    (2, 3, 4)
    """
    return (*ring, item)[-size:]


def renewed(ring: Ring, item: int, size: int) -> Ring:
    """The ring with the item once, as its newest.

    >>> renewed((1, 2, 3), 1, 3)
    (2, 3, 1)
    """
    return latest(without(ring, item), item, size)


def without(ring: Ring, item: int) -> Ring:
    return tuple(other for other in ring if other != item) if item in ring else ring
