"""A day that breaks a critical expectation is refused, with the reason; a warning is reported."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest

from data_contracts.config import Settings, load_settings
from data_contracts.errors import BadInput, ConfigurationError, NothingToDo
from pipelines import lake
from pipelines.validation import load_suites, run

DAY = "2026-01-05"
NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings({"WEIR_HOME": str(tmp_path)})


def event(number: int, **fields: Any) -> dict[str, Any]:
    return {
        "event_id": f"e{number}", "text": f"text {number}", "occurred_at": NOON,
        "account_hash": "a" * 64, "language": "en", "media": "[]", "context": "{}",
        "source": "set_a", **fields,
    }  # fmt: skip


def store(settings: Settings, table: str, rows: list[dict[str, Any]], day: str = DAY) -> None:
    lake.write(settings.lake, table, day, lake.rows(table, rows))


def validate(settings: Settings, day: str = "pending") -> dict[str, Any]:
    return run(argparse.Namespace(day=day), settings)


def test_every_suite_is_read_and_says_what_to_do() -> None:
    suites = load_suites()
    assert {suite.table for suite in suites} == {"events", "arrivals", "verdicts", "labels"}
    assert all(item.remedy for suite in suites for item in suite.expectations)


def test_a_suite_with_an_unknown_severity_is_refused(tmp_path: Path) -> None:
    content = "{table: events, required: true, expectations: [{type: expect_a, severity: bad, "
    (tmp_path / "events.yaml").write_text(content + "arguments: {}, remedy: x}]}")
    expected = r"events.yaml: expectations.0.severity = 'bad': .*; mend it"
    with pytest.raises(ConfigurationError, match=expected):
        load_suites(tmp_path)


def test_a_good_day_passes_once_and_is_pending_again_when_it_changes(settings: Settings) -> None:
    store(settings, "events", [event(number) for number in range(5)])
    result = validate(settings)
    assert (result["days"], result["failed"], result["warnings"]) == ([DAY], 0, [])
    assert result["checks"] > 10
    with pytest.raises(NothingToDo):
        validate(settings)
    store(settings, "events", [event(number) for number in range(6)])
    assert validate(settings)["days"] == [DAY]


def test_a_critical_failure_names_expectation_column_observation_and_remedy(
    settings: Settings,
) -> None:
    rows = [event(1), event(1), event(2, account_hash="ann"), event(3)]
    store(settings, "events", rows)
    with pytest.raises(BadInput) as caught:
        validate(settings)
    message = str(caught.value)
    assert message.startswith("2 critical expectations failed")
    assert f"events of {DAY}, column event_id: expect_column_values_to_be_unique failed" in message
    assert "observed 2 unexpected of 4; delete this day's events" in message
    assert "column account_hash: expect_column_values_to_match_regex failed" in message
    assert "ann" not in message
    report = orjson.loads((settings.reports / "validation" / f"day={DAY}.json").read_bytes())
    assert report["passed"] is False
    with pytest.raises(BadInput):
        validate(settings)


def test_a_day_that_is_mostly_in_quarantine_is_refused(settings: Settings) -> None:
    row = {"source": "f", "line": 1, "field": "x", "reason": "r", "raw": b"", "sha256": "0"}
    store(settings, "events", [event(1)])
    store(settings, "quarantine", [row] * 3)
    with pytest.raises(BadInput, match="column quarantined_share"):
        validate(settings)


def test_a_warning_does_not_stop_the_day(settings: Settings) -> None:
    store(settings, "events", [event(number, language=None) for number in range(4)])
    (warning,) = validate(settings)["warnings"]
    assert "column language: expect_column_values_to_not_be_null failed" in warning
    assert "slices by language will be thin" in warning


def test_scores_outside_zero_to_one_are_refused(settings: Settings) -> None:
    verdict = {
        "event_id": "e1", "revision": 0, "score": 1.5, "action": "allow", "reasons": [],
        "stages": "[]", "model_version": "1", "threshold_version": "t", "arm": "stable",
        "mirrored": False, "decided_at": NOON,
    }  # fmt: skip
    store(settings, "events", [event(1)])
    store(settings, "verdicts", [verdict])
    with pytest.raises(BadInput, match="column score: expect_column_values_to_be_between failed"):
        validate(settings)


def test_an_empty_lake_is_nothing_to_do_and_an_unknown_day_is_refused(settings: Settings) -> None:
    with pytest.raises(NothingToDo):
        validate(settings)
    with pytest.raises(BadInput, match="it has no days at all"):
        validate(settings, DAY)
