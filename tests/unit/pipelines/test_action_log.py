"""Landed actions reach the lake: each once, under keyed hashes, and broken ones quarantined."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest

from data_contracts.actions import Action
from data_contracts.config import Settings, load_settings
from data_contracts.errors import NothingToDo
from data_contracts.secrets import ACCOUNT_KEY
from pipelines import lake, landing
from pipelines.accounts import hash_account
from pipelines.action_log import actions_of
from pipelines.ingestion import run

DAY, NEXT = "2026-01-05", "2026-01-06"
LIKE = {"account": "ann", "kind": "like", "target": "bob", "at": f"{DAY}T10:00:00Z"}
VIEW = {"account": "bob", "kind": "view", "target": "ann", "at": f"{DAY}T09:00:00", "device": "d1"}


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv(ACCOUNT_KEY, "key")
    return load_settings({"WEIR_HOME": str(tmp_path)})


def land(home: Path, *lines: bytes | dict[str, Any], day: str = DAY, source: str = "log") -> Path:
    encoded = [line if isinstance(line, bytes) else orjson.dumps(line) for line in lines]
    path = landing.action_folder(home, day) / f"{source}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(line + b"\n" for line in encoded))
    return path


def ingest(settings: Settings, day: str = "pending") -> dict[str, Any]:
    return run(argparse.Namespace(day=day), settings)


def test_actions_reach_the_lake_in_order_of_time_and_without_names(settings: Settings) -> None:
    land(settings.home, LIKE, VIEW)
    result = ingest(settings)
    assert (result["days"], result["lines"], result["actions"]) == ([DAY], 2, 2)
    ann, bob = hash_account("ann", "key"), hash_account("bob", "key")
    ten = datetime(2026, 1, 5, 10, tzinfo=UTC)
    assert list(actions_of(settings.lake)) == [
        Action(bob, "view", ann, ten - timedelta(hours=1), "d1"), Action(ann, "like", bob, ten),
    ]  # fmt: skip
    part = settings.lake / "actions" / f"day={DAY}" / lake.PART
    assert b"ann" not in part.read_bytes()


def test_a_second_run_finds_nothing_and_by_name_writes_the_same_bytes(settings: Settings) -> None:
    land(settings.home, LIKE, VIEW)
    ingest(settings)
    part = settings.lake / "actions" / f"day={DAY}" / lake.PART
    first = part.read_bytes()
    with pytest.raises(NothingToDo):
        ingest(settings)
    ingest(settings, DAY)
    assert part.read_bytes() == first


def test_actions_that_land_later_make_their_day_pending_again(settings: Settings) -> None:
    land(settings.home, LIKE)
    ingest(settings)
    land(settings.home, VIEW, source="another")
    assert ingest(settings)["actions"] == 2


def test_an_action_that_is_told_twice_counts_once(settings: Settings) -> None:
    land(settings.home, LIKE, LIKE, VIEW)
    land(settings.home, LIKE, source="again")
    land(settings.home, LIKE, {**LIKE, "target": "cyd"}, day=NEXT)
    result = ingest(settings)
    assert (result["lines"], result["actions"], result["duplicates"]) == (6, 3, 3)
    assert len(list(actions_of(settings.lake))) == 3


@pytest.mark.parametrize(
    ("line", "field", "reason"),
    [
        (b'{"account": "a', "line", "not JSON"),
        ({**LIKE, "kind": "poke"}, "kind", "Input should be 'follow'"),
        ({**LIKE, "account": ""}, "account", "at least 1 character"),
        ({**LIKE, "at": "yesterday"}, "at", "valid datetime"),
        ({**LIKE, "at": "2026-01-09T00:00:00Z"}, "at", "over a day after the day it landed on"),
        ({**LIKE, "label": "spam"}, "label", "is not a field of the action contract"),
        ({key: LIKE[key] for key in ("account", "kind", "at")}, "target", "is missing"),
        ({**LIKE, "device": "x" * 10_000}, "action", "an action at most 4096"),
    ],
)
def test_what_breaks_the_contract_is_quarantined_beside_the_events(
    settings: Settings, line: bytes | dict[str, Any], field: str, reason: str
) -> None:
    events = landing.folder(settings.home, DAY) / "posts.jsonl"
    land(settings.home, LIKE, line)
    events.write_bytes(b'{"event_id": "e1", "text": "fine"}\n[1]\n')
    result = ingest(settings)
    told = {name: result[name] for name in ("lines", "events", "actions", "quarantined")}
    assert told == {"lines": 4, "events": 1, "actions": 1, "quarantined": 2}
    _, row = lake.read(settings.lake, "quarantine", [DAY]).to_pylist()
    assert (row["source"], row["line"]) == (f"day={DAY}/actions/log.jsonl", 2)
    assert row["field"] == field
    assert reason in row["reason"]


def test_a_day_without_a_log_is_unknown_and_one_with_an_empty_log_is_quiet(
    settings: Settings,
) -> None:
    land(settings.home, day=NEXT)
    events = landing.folder(settings.home, DAY) / "posts.jsonl"
    events.parent.mkdir(parents=True)
    events.write_bytes(b'{"event_id": "e1", "text": "fine"}\n')
    ingest(settings)
    assert lake.days(settings.lake, "actions") == [NEXT]
