"""Folded state as bytes: a version, the lengths of the rings, the numbers, the rings.

A state is a NamedTuple of parts, a part is a NamedTuple whose fields are numbers (float64) and
rings (the latest few int64: times in microseconds, or identities). Every ring is bounded, so
every state is; a new account takes only the head.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from itertools import chain, compress, islice
from typing import Any, Generic, TypeVar

from pipelines.feature_store.states import StateStore

VERSION = 1
LONGEST_RING = 255

Ring = tuple[int, ...]
Parts = tuple[tuple[float | Ring, ...], ...]
State = TypeVar("State", bound=Parts)


class Packing(Generic[State]):
    """Packs states of the shape of `empty`, whose parts must have defaults in every field."""

    def __init__(self, empty: State) -> None:
        self.empty = empty
        self._rings = [isinstance(field, tuple) for field in chain.from_iterable(empty)]
        self._numbers = [not ring for ring in self._rings]
        self._head = struct.Struct(f"<B{sum(self._rings)}B{sum(self._numbers)}d")

    def pack(self, state: State) -> bytes:
        fields = list(chain.from_iterable(state))
        rings: list[Ring] = list(compress(fields, self._rings))  # type: ignore[arg-type]
        items = list(chain.from_iterable(rings))
        head = self._head.pack(VERSION, *map(len, rings), *compress(fields, self._numbers))
        return head + struct.pack(f"<{len(items)}q", *items)

    def unpack(self, packed: bytes) -> State:
        """The inverse of `pack`; ValueError for bytes of another version or length."""
        if len(packed) < self._head.size or packed[0] != VERSION:
            raise ValueError(f"state of {len(packed)} bytes is not of version {VERSION}")
        lengths = packed[1 : 1 + sum(self._rings)]
        if len(packed) != self._head.size + 8 * sum(lengths):
            raise ValueError(f"state of {len(packed)} bytes has rings of {sum(lengths)}")
        numbers = iter(self._head.unpack_from(packed)[1 + len(lengths) :])
        items = iter(struct.unpack_from(f"<{sum(lengths)}q", packed, self._head.size))
        rings = iter([tuple(islice(items, length)) for length in lengths])
        return self._shaped(next(rings) if ring else next(numbers) for ring in self._rings)

    def _shaped(self, fields: Iterator[float | Ring]) -> State:
        parts = [_made(part, *islice(fields, len(part))) for part in self.empty]
        state: State = _made(self.empty, *parts)
        return state


def _made(like: Any, *fields: object) -> Any:
    """Another NamedTuple of the same type."""
    return type(like)(*fields)


class Shelf(Generic[State]):
    """One kind of state in a store. What cannot be read counts as unknown and as `corrupt`."""

    def __init__(self, states: StateStore, kind: str, packing: Packing[State]) -> None:
        self.corrupt = 0
        self._states = states
        self._kind = kind
        self._packing = packing

    def get(self, identity: int) -> State:
        packed = self._states.get(self._key(identity))
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
            self._states.put(self._key(identity), self._packing.pack(state))

    def _key(self, identity: int) -> str:
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
