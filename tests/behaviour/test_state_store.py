"""What every store of running state promises: a new one is one line in STORES."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import pytest

from pipelines.feature_store.lmdb import LmdbStates
from pipelines.feature_store.states import MemoryStates, StateStore

Open = Callable[[Path], AbstractContextManager[StateStore]]
STORES: dict[str, Open] = {
    "memory": lambda folder: nullcontext(MemoryStates()),
    "lmdb": LmdbStates,
}


@pytest.fixture(params=STORES.values(), ids=STORES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[StateStore]:
    with request.param(tmp_path / "states") as opened:
        yield opened


def test_an_unknown_key_has_no_state(store: StateStore) -> None:
    assert store.get("account:1") is None


def test_the_latest_state_counts(store: StateStore) -> None:
    store.put("account:1", b"old")
    store.put("account:1", b"new")
    store.put("account:2", b"")
    assert (store.get("account:1"), store.get("account:2")) == (b"new", b"")


def test_a_key_of_511_bytes_fits(store: StateStore) -> None:
    store.put("k" * 511, b"state")
    assert store.get("k" * 511) == b"state"
