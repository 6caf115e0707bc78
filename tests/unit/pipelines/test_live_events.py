"""Events that only the gateway saw reach the lake from their decision records, once."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest

from data_contracts.config import Settings, load_settings
from data_contracts.secrets import ACCOUNT_KEY
from data_contracts.verdicts import DecisionRecord, Verdict
from pipelines import lake, landing
from pipelines.accounts import hash_account
from pipelines.ingestion import run
from pipelines.live_events import SOURCE, WARM_UP

DAY, KEY = "2026-01-07", "key"
HASHED = hash_account("ada", KEY)


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv(ACCOUNT_KEY, KEY)
    return load_settings({"WEIR_HOME": str(tmp_path)})


def decided(
    settings: Settings, event: dict[str, Any], *, mirrored: bool = False, revision: int = 0,
    day: str = DAY,
) -> None:  # fmt: skip
    verdict = Verdict(event["event_id"], 0.1, "allow", (), (), "1", "t1", "stable", revision)
    record = DecisionRecord(verdict, event, f"{day}T10:00:00+00:00", mirrored, 1.0)
    folder = settings.home / "decisions"
    folder.mkdir(exist_ok=True)
    with (folder / "blue-1.jsonl").open("ab") as file:
        file.write(orjson.dumps(record.as_record(), option=orjson.OPT_APPEND_NEWLINE))


def landed(settings: Settings, day: str, name: str, *events: dict[str, Any]) -> None:
    path = landing.folder(settings.home, day) / f"{name}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        file.write(b"".join(orjson.dumps(one, option=orjson.OPT_APPEND_NEWLINE) for one in events))


def ingest(settings: Settings, day: str = "pending") -> dict[str, Any]:
    return run(argparse.Namespace(day=day), settings)


def events(settings: Settings) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = lake.read(settings.lake, "events").to_pylist()
    return rows


def test_a_decided_event_that_nobody_landed_is_in_the_lake_on_the_day_of_its_verdict(
    settings: Settings,
) -> None:
    context = {"device": "d", "behaviour.posts_log": 2.0}
    decided(settings, {"event_id": "e1", "text": "hi", "account": HASHED, "context": context})
    assert ingest(settings)["landed_live"] == 1
    (row,) = events(settings)
    assert (row["event_id"], row["source"], row["account_hash"]) == ("e1", SOURCE, HASHED)
    assert row["occurred_at"] == datetime(2026, 1, 7, 10, tzinfo=UTC)
    assert orjson.loads(row["context"]) == {"device": "d"}  # what the filter added is not content
    assert lake.days(settings.lake, "events") == lake.days(settings.lake, "verdicts") == [DAY]


def test_copies_revisions_and_warm_ups_are_no_events_of_users(settings: Settings) -> None:
    decided(settings, {"event_id": "e1", "text": "a"}, mirrored=True)
    decided(settings, {"event_id": "e2", "text": "a"}, revision=1)
    decided(settings, {"event_id": f"{WARM_UP}1", "text": "a"})
    assert ingest(settings)["landed_live"] == 0
    assert events(settings) == []


def test_what_the_platform_landed_is_not_landed_again_before_or_after_it_is_in_the_lake(
    settings: Settings,
) -> None:
    landed(settings, "2026-01-05", "platform", {"event_id": "e1", "text": "a"})
    landed(settings, "2026-01-06", "platform", {"id": "e2", "text": "b"})
    decided(settings, {"event_id": "e1", "text": "a"})
    decided(settings, {"event_id": "e2", "text": "b"})
    assert ingest(settings, "2026-01-05")["landed_live"] == 0
    decided(settings, {"event_id": "e1", "text": "a"}, day="2026-01-08")
    assert ingest(settings)["landed_live"] == 0
    assert {row["source"] for row in events(settings)} == {"platform"}


def test_the_platform_may_land_it_later_and_know_more_without_a_quarantine(
    settings: Settings,
) -> None:
    decided(settings, {"event_id": "e1", "text": "a"})
    ingest(settings)
    whole = {"event_id": "e1", "text": "a", "language": "en", "occurred_at": f"{DAY}T09:59:59Z"}
    landed(settings, DAY, "platform", whole)
    landed(settings, "2026-01-08", "platform", whole)
    report = ingest(settings)
    assert (report["quarantined"], report["duplicates"]) == (0, 2)
    (row,) = events(settings)
    assert row["language"] == "en"  # the platform's own line of that day is the one that counts


def test_reading_every_record_again_lands_nothing_again_and_half_a_line_is_ended(
    settings: Settings,
) -> None:
    decided(settings, {"event_id": "e1", "text": "a"})
    ingest(settings)
    (settings.lake / "ingested.json").unlink()
    path = landing.folder(settings.home, DAY) / f"{SOURCE}.jsonl"
    path.write_bytes(path.read_bytes() + b'{"event_id": "torn')
    decided(settings, {"event_id": "e2", "text": "b"})
    report = ingest(settings)
    assert (report["landed_live"], report["quarantined"]) == (1, 1)
    assert [row["event_id"] for row in events(settings)] == ["e1", "e2"]


def test_a_day_that_is_not_over_is_read_by_its_name_only_and_again_when_it_is(
    settings: Settings,
) -> None:
    today = datetime.now(UTC).date().isoformat()
    decided(settings, {"event_id": "e1", "text": "a"}, day=today)
    assert ingest(settings)["events"] == 0
    assert ingest(settings, today)["events"] == 1
    decided(settings, {"event_id": "e2", "text": "b"}, day=today)
    assert ingest(settings, today)["events"] == 2
