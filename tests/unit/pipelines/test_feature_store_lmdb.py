"""What only the LMDB store has: its bound, and that it must be opened."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from data_contracts.errors import ConfigurationError
from pipelines.feature_store.base import FeatureView
from pipelines.feature_store.lmdb import LmdbStore

NOON = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)
VIEW = FeatureView("account", 1, tuple(f"f{i}" for i in range(50)), timedelta(hours=1))


def fill(store: LmdbStore) -> None:
    for number in range(1000):
        store.put(f"account-{number}", [1.0] * 50, NOON)


def test_a_full_store_says_how_to_make_room_and_keeps_its_rows(tmp_path: Path) -> None:
    with LmdbStore(tmp_path, VIEW, lambda: NOON, map_bytes=65_536) as store:
        with pytest.raises(ConfigurationError, match="full at 65536 bytes; raise map_bytes"):
            fill(store)
        assert store.get("account-0") is not None


def test_a_store_that_is_not_open_says_so(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="is not open"):
        LmdbStore(tmp_path, VIEW, lambda: NOON).get("a")
