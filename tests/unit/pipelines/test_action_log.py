"""Landed actions reach the lake: each once, under keyed hashes, and broken ones quarantined."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from data_contracts.actions import Action
from data_contracts.config import Settings
from data_contracts.errors import NothingToDo
from pipelines import lake
from pipelines.accounts import hash_account
from pipelines.action_log import actions_of
from tests.unit.pipelines.test_ingestion import DAY, ingest, land, quarantined, settings

__all__ = ["settings"]  # a fixture

NEXT = "2026-01-06"
POST = {"event_id": "e1", "text": "fine"}
LIKE = {"account": "ann", "kind": "like", "target": "bob", "at": f"{DAY}T10:00:00Z"}
VIEW = {"account": "bob", "kind": "view", "target": "ann", "at": f"{DAY}T09:00:00", "device": "d1"}


def tell(home: Path, *lines: bytes | dict[str, Any], day: str = DAY, source: str = "log") -> None:
    """Land actions."""
    land(home, *lines, day=day, source=f"actions/{source}")


def test_actions_reach_the_lake_in_order_of_time_and_without_names(settings: Settings) -> None:
    tell(settings.home, LIKE, VIEW)
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
    tell(settings.home, LIKE, VIEW)
    ingest(settings)
    part = settings.lake / "actions" / f"day={DAY}" / lake.PART
    first = part.read_bytes()
    with pytest.raises(NothingToDo):
        ingest(settings)
    ingest(settings, DAY)
    assert part.read_bytes() == first


def test_actions_that_land_later_make_their_day_pending_again(settings: Settings) -> None:
    tell(settings.home, LIKE)
    ingest(settings)
    tell(settings.home, VIEW, source="another")
    assert ingest(settings)["actions"] == 2


def test_an_action_that_is_told_twice_counts_once(settings: Settings) -> None:
    tell(settings.home, LIKE, LIKE, VIEW)
    tell(settings.home, LIKE, source="again")
    tell(settings.home, LIKE, {**LIKE, "target": "cyd"}, day=NEXT)
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
    tell(settings.home, LIKE, line)
    land(settings.home, POST, b"[1]")
    result = ingest(settings)
    told = {name: result[name] for name in ("lines", "events", "actions", "quarantined")}
    assert told == {"lines": 4, "events": 1, "actions": 1, "quarantined": 2}
    _, row = quarantined(settings)
    assert (row["source"], row["line"]) == (f"day={DAY}/actions/log.jsonl", 2)
    assert row["field"] == field
    assert reason in row["reason"]


def test_what_nobody_told_of_a_day_is_unknown_and_an_empty_file_is_a_quiet_day(
    settings: Settings,
) -> None:
    tell(settings.home, day=NEXT)
    land(settings.home, POST)
    ingest(settings)
    assert lake.days(settings.lake, "actions") == [NEXT]
    assert lake.days(settings.lake, "events") == [DAY]
