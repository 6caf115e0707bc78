"""The lake keeps what it is given, byte for byte, and joins labels to events."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from data_contracts.errors import BadInput
from pipelines import lake
from pipelines.accounts import hash_account

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
DAY = "2026-01-05"


def event(event_id: str, **fields: Any) -> dict[str, Any]:
    return {
        "event_id": event_id, "text": f"text of {event_id}", "occurred_at": NOON,
        "account_hash": None, "language": "en", "media": "[]", "context": '{"target":"v"}',
        "source": "set_a", **fields,
    }  # fmt: skip


def label(event_id: str, name: str, observed_at: datetime = NOON) -> dict[str, Any]:
    return {
        "event_id": event_id, "label": name, "source": "oracle", "reviewer": "r",
        "strategy": "audit", "inclusion_probability": 0.5, "observed_at": observed_at,
        "batch": "2026-01-05/ana",
    }  # fmt: skip


def test_what_is_written_is_read_back_in_the_order_of_days(tmp_path: Path) -> None:
    for day, name in (("2026-01-06", "b"), (DAY, "a")):
        lake.write(tmp_path, "events", day, lake.rows("events", [event(name)]))
    assert lake.days(tmp_path, "events") == [DAY, "2026-01-06"]
    assert lake.read(tmp_path, "events")["event_id"].to_pylist() == ["a", "b"]
    assert lake.read(tmp_path, "events", ["2026-01-06"])["event_id"].to_pylist() == ["b"]
    assert lake.read(tmp_path, "events", columns=["text"]).column_names == ["text"]
    assert lake.read(tmp_path, "labels").num_rows == 0


def test_the_same_rows_give_the_same_bytes_and_are_not_written_again(tmp_path: Path) -> None:
    rows = lake.rows("events", [event("a"), event("b")])
    assert lake.write(tmp_path, "events", DAY, rows)
    before = (tmp_path / "events" / f"day={DAY}" / lake.PART).stat()
    assert not lake.write(tmp_path, "events", DAY, rows)
    after = (tmp_path / "events" / f"day={DAY}" / lake.PART).stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
    assert lake.write(tmp_path, "events", DAY, rows.slice(0, 1))


def test_the_latest_label_of_an_event_counts(tmp_path: Path) -> None:
    events = [event("a", account_hash="h"), event("b"), event("unlabelled")]
    labels = [label("a", "ham"), label("a", "spam", NOON.replace(hour=13)), label("b", "ham")]
    lake.write(tmp_path, "events", DAY, lake.rows("events", events))
    lake.write(tmp_path, "labels", DAY, lake.rows("labels", labels))
    found = lake.labelled_events(tmp_path)
    assert [(row.event.event_id, row.label, row.group) for row in found] == [
        ("a", "spam", "h"),
        ("b", "ham", None),
    ]
    assert found[0].dataset == "set_a"
    assert found[0].event.context == {"target": "v"}
    assert lake.labelled_events(tmp_path, ["2026-01-09"]) == []


def test_a_damaged_part_is_named_with_its_remedy(tmp_path: Path) -> None:
    part = tmp_path / "events" / f"day={DAY}" / lake.PART
    part.parent.mkdir(parents=True)
    part.write_bytes(b"not parquet")
    with pytest.raises(BadInput, match="delete its folder and run `python -m pipelines ingest`"):
        lake.read(tmp_path, "events")


def test_a_wrong_day_or_row_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"day '\.\./x' is not YYYY-MM-DD"):
        lake.write(tmp_path, "events", "../x", lake.rows("events", []))
    with pytest.raises(ValueError, match="do not fit table events"):
        lake.write(tmp_path, "events", DAY, lake.rows("labels", []))


def test_accounts_are_hashed_with_the_key() -> None:
    assert hash_account("ann", "key") != hash_account("ann", "other")
    assert len(hash_account("ann", "key")) == 64
    with pytest.raises(ValueError, match="set WEIR_ACCOUNT_KEY"):
        hash_account("ann", "")
