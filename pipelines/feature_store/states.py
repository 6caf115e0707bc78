"""Where running state is kept between events: packed bytes by key.

An account's history is folded into a small state; the same code folds it online (LMDB) and
offline (memory), so that a feature is the same wherever it is computed.
"""

from __future__ import annotations

from typing import Protocol


class StateStore(Protocol):
    """A map from keys of at most 511 bytes to packed state."""

    def get(self, key: str) -> bytes | None: ...

    def put(self, key: str, state: bytes) -> None: ...


class MemoryStates:
    """State in this process, for building features offline and for tests."""

    def __init__(self) -> None:
        self._states: dict[str, bytes] = {}

    def get(self, key: str) -> bytes | None:
        return self._states.get(key)

    def put(self, key: str, state: bytes) -> None:
        self._states[key] = state
