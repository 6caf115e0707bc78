"""Where running state is kept between events: packed bytes by key.

An account's history is folded into a small state; the same code folds it online (LMDB, Redis) and
offline (memory), so that a feature is the same wherever it is computed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

Read = Callable[[str], bytes | None]


class StateStore(Protocol):
    """A map from keys of at most 511 bytes to packed state."""

    def get(self, key: str) -> bytes | None: ...

    def put(self, key: str, state: bytes) -> None: ...


class BatchedStates(StateStore, Protocol):
    """A store that answers and keeps many states at once."""

    def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        """The states of these keys, in their order, in one round trip."""
        ...

    def put_many(self, states: Mapping[str, bytes]) -> None:
        """Keep all of them or, where it fails, none."""
        ...


class MemoryStates:
    """State in this process, for building features offline and for tests."""

    def __init__(self) -> None:
        self._states: dict[str, bytes] = {}

    def get(self, key: str) -> bytes | None:
        return self._states.get(key)

    def put(self, key: str, state: bytes) -> None:
        self._states[key] = state

    def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        return [self.get(key) for key in keys]

    def put_many(self, states: Mapping[str, bytes]) -> None:
        self._states.update(states)


def read_many(states: StateStore, keys: Iterable[str]) -> dict[str, bytes | None]:
    """The states of these keys, in one round trip where the store can."""
    wanted = list(dict.fromkeys(keys))
    if not wanted:
        return {}
    many = getattr(states, "get_many", None)
    found = map(states.get, wanted) if many is None else many(wanted)
    return dict(zip(wanted, found, strict=True))
