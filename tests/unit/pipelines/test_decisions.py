"""Decision records become verdicts: every revision, no repeats, no torn line."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import orjson
import pytest

from data_contracts.config import Settings, load_settings
from data_contracts.secrets import ACCOUNT_KEY
from data_contracts.verdicts import DecisionRecord, Stage, Verdict
from pipelines import lake, landing
from pipelines.ingestion import run

DAY = "2026-01-05"


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv(ACCOUNT_KEY, "key")
    landed = landing.folder(tmp_path, DAY) / "set_a.jsonl"
    landed.parent.mkdir(parents=True)
    landed.write_bytes(b'{"event_id": "e1", "text": "a"}\n{"event_id": "e2", "text": "b"}\n')
    return load_settings({"WEIR_HOME": str(tmp_path)})


def record(event_id: str = "e1", *, at: str = "2026-01-07T10:00:00+00:00", **fields: Any) -> bytes:
    mirrored = fields.pop("mirrored", False)
    stages = (Stage("prefilter", True, 0.5), Stage("text", False, None, "early exit"))
    verdict = Verdict(
        event_id, 0.25, "allow", ("r",), stages, fields.pop("model_version", "1"), "t1", **fields
    )
    decision = DecisionRecord(verdict, {"event_id": event_id, "text": "a"}, at, mirrored, 1.5)
    return orjson.dumps(decision.as_record())


def decide(settings: Settings, content: bytes, name: str = "stable.jsonl") -> None:
    folder = settings.home / "decisions"
    folder.mkdir(exist_ok=True)
    with (folder / name).open("ab") as file:
        file.write(content)


def ingest(settings: Settings) -> dict[str, Any]:
    return run(argparse.Namespace(day="pending"), settings)


def verdicts(settings: Settings) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = lake.read(settings.lake, "verdicts").to_pylist()
    return rows


def test_a_verdict_stands_on_the_day_of_its_event(settings: Settings) -> None:
    decide(settings, record() + b"\n")
    assert ingest(settings)["verdicts"] == 1
    assert lake.days(settings.lake, "verdicts") == [DAY]
    (row,) = verdicts(settings)
    assert (row["event_id"], row["score"], row["action"], row["arm"]) == (
        "e1",
        0.25,
        "allow",
        "stable",
    )
    assert orjson.loads(row["stages"])[1]["skipped_because"] == "early exit"


def test_every_revision_and_arm_is_kept_and_repeats_once(settings: Settings) -> None:
    lines = [
        record(at="2026-01-07T12:00:00+00:00"),
        record(at="2026-01-07T11:00:00+00:00"),
        record(revision=1),
        record(model_version="2", arm="shadow", mirrored=True),
    ]
    decide(settings, b"".join(line + b"\n" for line in lines))
    ingest(settings)
    found = [(row["revision"], row["model_version"], row["mirrored"]) for row in verdicts(settings)]
    assert found == [(0, "1", False), (1, "1", False), (0, "2", True)]
    assert verdicts(settings)[0]["decided_at"].hour == 11


def test_a_torn_last_line_is_read_when_it_is_whole(settings: Settings) -> None:
    torn = record("e2")
    decide(settings, record() + b"\n" + torn[:40])
    assert ingest(settings)["verdicts"] == 1
    decide(settings, torn[40:] + b"\n")
    result = ingest(settings)
    assert (result["verdicts"], result["days"], result["unreadable_decisions"]) == (1, [DAY], 0)
    assert [row["event_id"] for row in verdicts(settings)] == ["e1", "e2"]


def test_reading_everything_again_changes_nothing(settings: Settings) -> None:
    decide(settings, record() + b"\n" + record("e2") + b"\n")
    ingest(settings)
    part = settings.lake / "verdicts" / f"day={DAY}" / lake.PART
    before = part.read_bytes()
    (settings.lake / "ingested.json").unlink()
    assert ingest(settings)["verdicts"] == 0
    assert part.read_bytes() == before


def test_an_unreadable_record_is_counted_and_named(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    decide(settings, b'{"verdict": {}}\nnot json\n' + record() + b"\n")
    result = ingest(settings)
    assert (result["verdicts"], result["unreadable_decisions"]) == (1, 2)
    assert "stable.jsonl byte 16 is no decision record" in capsys.readouterr().err


def test_a_verdict_without_its_event_stands_on_the_day_it_was_decided(settings: Settings) -> None:
    decide(settings, record("unknown") + b"\n")
    ingest(settings)
    assert lake.days(settings.lake, "verdicts") == ["2026-01-07"]


def test_a_file_that_was_replaced_is_read_from_its_start(settings: Settings) -> None:
    decide(settings, record() + b"\n" + record("e2") + b"\n")
    ingest(settings)
    (settings.home / "decisions" / "stable.jsonl").write_bytes(record(model_version="9") + b"\n")
    assert ingest(settings)["verdicts"] == 1
    assert len(verdicts(settings)) == 3
