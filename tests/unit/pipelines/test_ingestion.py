"""Every landed line ends in exactly one place, and a second run changes nothing."""

from __future__ import annotations

import argparse
import hashlib
import tracemalloc
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from data_contracts.config import Settings, load_settings
from data_contracts.errors import BadInput, MissingPart, NothingToDo
from data_contracts.secrets import ACCOUNT_KEY
from pipelines import lake, landing
from pipelines.accounts import hash_account
from pipelines.ingestion import ingest_day, run

DAY = "2026-01-05"
LIMIT = 1_048_576


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv(ACCOUNT_KEY, "key")
    return load_settings({"WEIR_HOME": str(tmp_path)})


def land(home: Path, *lines: bytes | dict[str, Any], day: str = DAY, source: str = "set_a") -> Path:
    encoded = [line if isinstance(line, bytes) else orjson.dumps(line) for line in lines]
    path = landing.folder(home, day) / f"{source}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(line + b"\n" for line in encoded))
    return path


def ingest(settings: Settings, day: str = "pending") -> dict[str, Any]:
    return run(argparse.Namespace(day=day), settings)


def quarantined(settings: Settings, day: str = DAY) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = lake.read(settings.lake, "quarantine", [day]).to_pylist()
    return rows


def test_a_minimal_event_is_stored_on_the_day_it_landed(settings: Settings) -> None:
    land(settings.home, {"event_id": "e1", "text": "hello"})
    assert ingest(settings)["events"] == 1
    (row,) = lake.read(settings.lake, "events").to_pylist()
    assert row["occurred_at"] == datetime(2026, 1, 5, tzinfo=UTC)
    assert row["source"] == "set_a"
    assert (row["account_hash"], row["media"], row["context"]) == (None, "[]", "{}")


def test_accounts_are_stored_as_keyed_hashes_only(settings: Settings) -> None:
    land(settings.home, {"event_id": "e1", "text": "hello", "account": "ann"})
    ingest(settings)
    (row,) = lake.read(settings.lake, "events").to_pylist()
    assert row["account_hash"] == hash_account("ann", "key")
    part = settings.lake / "events" / f"day={DAY}" / lake.PART
    assert b"ann" not in part.read_bytes()


def test_a_malformed_line_is_quarantined_with_its_place_and_reason(settings: Settings) -> None:
    land(settings.home, {"event_id": "e1", "text": "fine"}, b'{"event_id": "e2", "te', b"[1]")
    result = ingest(settings)
    assert (result["lines"], result["events"], result["quarantined"]) == (3, 1, 2)
    first, second = quarantined(settings)
    assert (first["source"], first["line"], first["field"]) == (f"day={DAY}/set_a.jsonl", 2, "line")
    assert "not JSON" in first["reason"]
    assert first["raw"] == b'{"event_id": "e2", "te'
    assert first["sha256"] == hashlib.sha256(first["raw"]).hexdigest()
    assert "not a JSON object" in second["reason"]


@pytest.mark.parametrize(
    ("line", "field", "reason"),
    [
        ({"text": "no id"}, "event_id", "is missing"),
        ({"event_id": "e", "text": 5}, "text", "valid string"),
        ({"event_id": "e", "text": "t", "label": "spam"}, "label", "is not a field"),
        ({"event_id": "e", "text": "t", "language": "?"}, "language", "match pattern"),
        (
            {"event_id": "e", "text": "t", "occurred_at": "2026-01-09T00:00:00Z"},
            "occurred_at",
            "over a day after the day it landed on",
        ),
    ],
)
def test_what_breaks_the_contract_is_quarantined_by_field(
    settings: Settings, line: dict[str, Any], field: str, reason: str
) -> None:
    land(settings.home, line)
    assert ingest(settings)["events"] == 0
    (row,) = quarantined(settings)
    assert row["field"] == field
    assert reason in row["reason"]


def test_an_event_that_arrives_late_stays_with_the_day_it_landed_on(settings: Settings) -> None:
    land(settings.home, {"event_id": "e", "text": "t", "occurred_at": "2025-12-31T23:00:00Z"})
    ingest(settings)
    assert lake.days(settings.lake, "events") == [DAY]


def test_a_ten_megabyte_event_is_quarantined_without_being_held(settings: Settings) -> None:
    huge = b'{"event_id": "big", "text": "' + b"x" * 10_485_760 + b'"}'
    land(settings.home, huge, {"event_id": "after", "text": "still read"})
    expected = hashlib.sha256(huge).hexdigest()
    size = len(huge)
    del huge
    tracemalloc.start()
    result = ingest(settings)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (result["events"], result["quarantined"]) == (1, 1)
    (row,) = quarantined(settings)
    assert row["sha256"] == expected
    assert f"the line has {size} bytes, an event at most {LIMIT}" in row["reason"]
    assert len(row["raw"]) == 65_536
    assert peak < 8 * LIMIT


def test_a_line_of_exactly_the_bound_is_an_event(settings: Settings) -> None:
    frame = len(orjson.dumps({"event_id": "e", "text": "t", "context": {"k": ""}}))
    spaces = b" " * (LIMIT - frame)
    line = b'{"event_id":"e","text":"t",' + spaces + b'"context":{"k":""}}'
    assert len(line) == LIMIT
    land(settings.home, line, line + b" ")
    result = ingest(settings)
    assert (result["events"], result["quarantined"], result["duplicates"]) == (1, 1, 0)


def test_a_repeated_event_is_dropped_and_a_conflicting_one_quarantined(settings: Settings) -> None:
    event = {"event_id": "e", "text": "t", "occurred_at": "2026-01-05T08:00:00Z"}
    land(settings.home, event, event, {**event, "text": "other"})
    result = ingest(settings)
    assert (result["events"], result["duplicates"], result["quarantined"]) == (1, 1, 1)
    assert "event_id seen with other content" in quarantined(settings)[0]["reason"]


def test_a_delivery_repeated_on_the_next_day_or_in_another_file_is_recognised(
    settings: Settings,
) -> None:
    event = {
        "event_id": "e", "text": "t", "occurred_at": "2026-01-05T23:59:59.123456Z",
        "account": "ann", "context": {"b": 1, "a": 2.5}, "language": "en",
    }  # fmt: skip
    land(settings.home, event)
    land(settings.home, event, source="set_b")
    land(settings.home, event, {**event, "text": "other"}, day="2026-01-06")
    result = ingest(settings)
    assert (result["events"], result["duplicates"], result["quarantined"]) == (1, 2, 1)


def test_ingesting_again_gives_the_same_bytes(settings: Settings) -> None:
    lines = [
        {"event_id": f"e{number}", "text": f"t{number}", "account": "ann"} for number in range(20)
    ]
    land(settings.home, *lines, b"broken")

    def parts() -> dict[str, bytes]:
        return {str(path): path.read_bytes() for path in settings.lake.rglob(lake.PART)}

    ingest(settings)
    first = parts()
    ingest(settings, DAY)
    assert parts() == first
    (settings.lake / "ingested.json").unlink()
    ingest(settings)
    assert parts() == first


def test_a_day_is_pending_until_it_is_done_and_again_when_it_changes(settings: Settings) -> None:
    land(settings.home, {"event_id": "e1", "text": "t"})
    land(settings.home, {"event_id": "e2", "text": "t"}, day="2026-01-06")
    assert ingest(settings)["days"] == [DAY, "2026-01-06"]
    with pytest.raises(NothingToDo, match="no day is pending: 2 days in"):
        ingest(settings)
    land(settings.home, {"event_id": "e3", "text": "t"}, day="2026-01-06", source="late")
    assert ingest(settings)["days"] == ["2026-01-06"]
    assert lake.read(settings.lake, "events").num_rows == 3


def test_a_wrong_day_is_refused_and_an_empty_landing_is_nothing_to_do(settings: Settings) -> None:
    with pytest.raises(NothingToDo):
        ingest(settings)
    land(settings.home, {"event_id": "e1", "text": "t"})
    with pytest.raises(BadInput, match="--day 'today' is no day; write YYYY-MM-DD or pending"):
        ingest(settings, "today")
    with pytest.raises(BadInput, match=r"--day 2030-01-01: nothing in .* it has 2026-01-05"):
        ingest(settings, "2030-01-01")


def test_without_the_account_key_nothing_is_ingested(tmp_path: Path) -> None:
    settings = load_settings({"WEIR_HOME": str(tmp_path)})
    land(tmp_path, {"event_id": "e1", "text": "t"})
    with pytest.raises(MissingPart, match="export WEIR_ACCOUNT_KEY"):
        ingest(settings)
    assert lake.days(settings.lake, "events") == []


_LINES = st.lists(
    st.one_of(
        st.binary(max_size=40).map(lambda raw: raw.replace(b"\n", b" ").replace(b"\r", b" ")),
        st.builds(
            lambda number, text: orjson.dumps({"event_id": f"e{number}", "text": text}),
            st.integers(0, 5),
            st.sampled_from(["a", "b"]),
        ),
    ),
    max_size=25,
)


@hypothesis_settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(_LINES)
def test_nothing_is_lost(tmp_path: Path, lines: list[bytes]) -> None:
    path = land(tmp_path, *lines)
    count = ingest_day(tmp_path, tmp_path / "lake", DAY, "key", 60)
    not_blank = [line for line in path.read_bytes().split(b"\n") if line.strip()]
    assert count.lines == len(not_blank)
    assert count.lines == count.events + count.quarantined + count.duplicates
    assert lake.read(tmp_path / "lake", "events", [DAY]).num_rows == count.events
    assert lake.read(tmp_path / "lake", "quarantine", [DAY]).num_rows == count.quarantined
