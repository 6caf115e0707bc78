"""A record is compact, holds what replay needs, and those of earlier formats stay readable."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import orjson
import pytest

from data_contracts.events import Event, parse_event
from data_contracts.verdicts import RECORD_FORMAT, Budget, DecisionRecord, Stage, Verdict
from serving.decision_records import (
    StoredRecord,
    UnreadableLine,
    UnwrittenRecord,
    event_fields,
    event_sha256,
    lines_of,
)

STAGES = (Stage("prefilter", True, 0.5), Stage("ocr", False, None, "deadline"))
VERDICT = Verdict("e1", 0.25, "allow", ("r",), STAGES, "7", "t1", "canary", 2)
FULL = {
    "event_id": "e1",
    "text": "naïve 中文",
    "occurred_at": "2026-01-05T12:00:00.250000Z",
    "account": "0f" * 32,
    "language": "tr",
    "media": [
        {"kind": "image", "sha256": "a" * 64, "path": "a/b.png"},
        {"kind": "video", "sha256": "b" * 64, "bytes": "AAAA"},
    ],
    "context": {"subject": None, "first": True, "behaviour.rate": 0.1, "links": 2, "device": "x"},
}
FORMAT_1 = (
    b'{"verdict":{"event_id":"e1","score":0.25,"action":"allow","reasons":["r"],"stages":'
    b'[{"name":"prefilter","ran":true,"score":0.5,"skipped_because":null}],"model_version":"7",'
    b'"threshold_version":"t1","arm":"stable","revision":0},"event":{"event_id":"e1","text":"a"},'
    b'"decided_at":"2026-01-05T12:00:00+00:00","mirrored":false,"milliseconds":1.5}\n'
)


AT = datetime(2026, 1, 5, 12, tzinfo=UTC)


def unwritten(event: Event, budget: Budget | None = None) -> UnwrittenRecord:
    plain = UnwrittenRecord(VERDICT, event, AT, False, 1.5, "ensemble-1")
    return plain if budget is None else plain._replace(budget=budget)


def written(folder: Path, *lines: bytes) -> list[StoredRecord | UnreadableLine]:
    path = folder / "a.jsonl"
    path.write_bytes(b"".join(lines))
    return list(lines_of(path))


def test_the_fields_of_an_event_are_those_that_pydantic_writes() -> None:
    for names in (FULL, ["event_id", "text"], *([*FULL][:count] for count in range(2, 8))):
        event = parse_event({name: FULL[name] for name in names})
        expected = event.model_dump(mode="json", exclude_defaults=True)
        line = orjson.loads(unwritten(event).line())
        assert line["event"] == expected
        assert set(event_fields(event)) == set(names)
    assert set(Event.model_fields) == set(FULL)


def test_a_record_reads_back_as_it_was_with_the_bytes_of_its_verdict(tmp_path: Path) -> None:
    budget = Budget(80.0, True, 0.01, (("ocr", "breaker open"), ("video", "runs afterwards")))
    (found,) = written(tmp_path, unwritten(parse_event(FULL), budget).line())
    assert isinstance(found, StoredRecord)
    assert found.verdict == orjson.dumps(VERDICT)
    assert found.where == f"{tmp_path / 'a.jsonl'}:1"
    assert found.record == DecisionRecord(
        VERDICT, FULL, AT.isoformat(), False, 1.5, budget, "ensemble-1",
        hashlib.sha256(orjson.dumps(FULL)).hexdigest(), RECORD_FORMAT,
    )  # fmt: skip
    assert DecisionRecord.from_record(orjson.loads(orjson.dumps(found.record.as_record()))) == (
        found.record
    )


def test_the_sha256_is_that_of_the_events_bytes_in_the_line_and_shows_what_was_altered(
    tmp_path: Path,
) -> None:
    line = unwritten(parse_event(FULL)).line()
    start = line.index(b'"event":') + len(b'"event":')
    event = line[start : line.index(b',"event_sha256"')]
    altered = line.replace(b'"links":2', b'"links":3')
    for found, is_altered in zip(written(tmp_path, line, altered), (False, True), strict=True):
        assert isinstance(found, StoredRecord)
        assert found.record.event_sha256 == hashlib.sha256(event).hexdigest()
        assert (event_sha256(found.record) != found.record.event_sha256) == is_altered


def test_a_budget_that_bounds_nothing_takes_no_room() -> None:
    event = parse_event({"event_id": "e1", "text": "a"})
    assert unwritten(event, Budget()).line() == unwritten(event).line()
    assert b"budget" not in unwritten(event).line()
    assert len(unwritten(event).line()) < len(orjson.dumps(VERDICT)) + 300


def test_a_record_of_format_1_is_read_and_knows_no_budget_and_no_artefact(tmp_path: Path) -> None:
    (found,) = written(tmp_path, FORMAT_1)
    assert isinstance(found, StoredRecord)
    record = found.record
    assert (record.format, record.artefact, record.event_sha256) == (1, None, None)
    assert record.budget == Budget()
    assert found.verdict == orjson.dumps(record.verdict)
    assert orjson.loads(FORMAT_1) == orjson.loads(orjson.dumps(record.as_record()))


def test_lines_that_are_no_records_are_named_without_what_they_say(tmp_path: Path) -> None:
    later = FORMAT_1.replace(b"{", b'{"format":99,', 1)
    found = written(tmp_path, b"my secret\n", b"[1]\n", b'{"verdict": {}}\n', later, FORMAT_1[:50])
    problems = [one.problem for one in found if isinstance(one, UnreadableLine)]
    assert problems == [
        "no JSON", "AttributeError", "KeyError", "format 99 is later than 2", "no JSON",
    ]  # fmt: skip
    assert [one.where.rpartition(":")[2] for one in found] == list("12345")


def test_only_lines_that_mention_some_bytes_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(FORMAT_1 + FORMAT_1.replace(b'"e1"', b'"e2"') + b"torn")
    (found,) = lines_of(path, mentioning=b'"e2"')
    assert found.where.endswith(":2")


@pytest.mark.parametrize("number", [np.float32(0.1), np.float64(0.1), 1e-320, 1e300])
def test_numbers_of_features_come_back_as_the_same_float32(number: float) -> None:
    event = parse_event({"event_id": "e", "text": ""})
    enriched = event.model_copy(update={"context": {"behaviour.rate": number}})
    back = parse_event(orjson.loads(unwritten(enriched).line())["event"])
    with np.errstate(over="ignore"):
        assert np.float32(back.context["behaviour.rate"]) == np.float32(number)
