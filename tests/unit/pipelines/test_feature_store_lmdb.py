"""What only the LMDB stores have: their bound, and that they must be opened."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from data_contracts.errors import ConfigurationError, ServiceUnavailable
from pipelines.feature_store.base import FeatureView
from pipelines.feature_store.lmdb import LmdbStates, LmdbStore

NOON = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)
VIEW = FeatureView("account", 1, tuple(f"f{i}" for i in range(50)), timedelta(hours=1))


def fill(store: LmdbStore) -> None:
    for number in range(1000):
        store.put(f"account-{number}", [1.0] * 50, NOON)


def fill_states(states: LmdbStates) -> None:
    for number in range(1000):
        states.put(f"account:{number}", bytes(1000))


def test_a_full_store_says_how_to_make_room_and_keeps_its_rows(tmp_path: Path) -> None:
    with LmdbStore(tmp_path, VIEW, lambda: NOON, map_bytes=65_536) as store:
        with pytest.raises(ConfigurationError, match="full at 65536 bytes; raise map_bytes"):
            fill(store)
        assert store.get("account-0") is not None


def test_a_store_that_is_not_open_says_so(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="is not open"):
        LmdbStore(tmp_path, VIEW, lambda: NOON).get("a")


def test_full_states_say_how_to_make_room_and_keep_what_they_have(tmp_path: Path) -> None:
    with LmdbStates(tmp_path, map_bytes=65_536) as states:
        with pytest.raises(ConfigurationError, match="full at 65536 bytes; raise map_bytes"):
            fill_states(states)
        assert states.get("account:0") == bytes(1000)


def test_states_that_are_not_open_or_cannot_be_are_unavailable(tmp_path: Path) -> None:
    with pytest.raises(ServiceUnavailable, match="is not open"):
        LmdbStates(tmp_path).get("a")
    (tmp_path / "data.mdb").write_bytes(b"not a database" * 1000)
    with pytest.raises(ServiceUnavailable, match="does not open"), LmdbStates(tmp_path):
        pass
