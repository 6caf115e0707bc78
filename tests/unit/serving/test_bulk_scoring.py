"""Bulk scoring keeps the order, ignores labels, and leaves no output behind a bad line."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from data_contracts.config import load_settings
from data_contracts.errors import BadInput, ContractViolation, MissingPart
from data_contracts.events import Event
from data_contracts.verdicts import Assessment
from serving.bulk_scoring import CHUNK_EVENTS, score, score_file
from serving.cascade import Cascade
from tests.stand_ins.capital_letters import CapitalLetters

CASCADE = Cascade(CapitalLetters(), "7", "thresholds-1")


def write(path: Path, *lines: object) -> Path:
    encoded = (one if isinstance(one, bytes) else json.dumps(one).encode() for one in lines)
    path.write_bytes(b"".join(line + b"\n" for line in encoded))
    return path


def test_each_line_becomes_a_verdict_in_input_order(tmp_path: Path) -> None:
    texts = ["SHOUT", "quiet", "Türkçe MESAJ"]
    events = [{"event_id": f"e{n}", "text": text} for n, text in enumerate(texts)]
    source = write(tmp_path / "events.jsonl", *events)
    assert score_file(CASCADE, source, tmp_path / "new" / "verdicts.jsonl") == 3
    lines = (tmp_path / "new" / "verdicts.jsonl").read_text().splitlines()
    assert json.loads(lines[0]) == {
        "event_id": "e0",
        "score": 1.0,
        "action": "block",
        "reasons": ["shouting"],
        "stages": [{"name": "capitals", "ran": True, "score": 1.0, "skipped_because": None}],
        "model_version": "7",
        "threshold_version": "thresholds-1",
    }
    assert [json.loads(line)["event_id"] for line in lines] == ["e0", "e1", "e2"]


def test_labels_are_ignored_and_blank_lines_passed_over(tmp_path: Path) -> None:
    source = write(
        tmp_path / "events.jsonl",
        b'\xef\xbb\xbf{"event_id": "e0", "text": "hi", "label": "spam"}\r',
        b"  ",
        b'{"id": "e1", "text": "hi", "label": "ham"}',
    )
    assert score_file(CASCADE, source, tmp_path / "out.jsonl") == 2


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b'{"event_id": "secret wo', r"events.jsonl:301: line = '23 bytes': not JSON"),
        (b'["secret"]', r"events.jsonl:301: line = 'list': not a JSON object"),
        ({"event_id": "e"}, r"events.jsonl:301: text = None: is missing; the contract has"),
        ({"event_id": "e", "text": "hi", "lable": "secret"}, r"301: lable = '6 characters': is no"),
        ({"event_id": "e", "text": 5}, r"events.jsonl:301: text = .* valid string"),
        (b"x" * 1_100_000, r"301: event = '1048578 bytes': an event has at most 1048576 bytes"),
    ],
)
def test_a_bad_line_is_named_and_leaves_no_output(
    tmp_path: Path, line: object, message: str
) -> None:
    good = [{"event_id": f"e{n}", "text": "hi"} for n in range(300)]
    source = write(tmp_path / "events.jsonl", *good, line)
    with pytest.raises(ContractViolation, match=message) as refused:
        score_file(CASCADE, source, tmp_path / "out.jsonl")
    assert "secret" not in str(refused.value)
    assert [path.name for path in tmp_path.iterdir()] == ["events.jsonl"]


def test_a_file_of_blank_lines_is_refused(tmp_path: Path) -> None:
    source = write(tmp_path / "events.jsonl", b" ")
    with pytest.raises(BadInput, match="holds no event; give at least one line"):
        score_file(CASCADE, source, tmp_path / "out.jsonl")
    assert not (tmp_path / "out.jsonl").exists()


def test_files_that_cannot_be_right_are_refused_before_the_model_is_loaded(
    tmp_path: Path,
) -> None:
    arguments = argparse.Namespace(model="/nowhere", input=tmp_path / "x", output=tmp_path / "y")
    with pytest.raises(MissingPart, match=r"--input .* is no file; give JSON Lines"):
        score(arguments, load_settings({}))
    arguments.input = write(tmp_path / "empty")
    with pytest.raises(BadInput, match=r"--input .* is empty; give at least one event"):
        score(arguments, load_settings({}))
    arguments.input, arguments.output = write(tmp_path / "x", b"{}"), tmp_path
    with pytest.raises(BadInput, match=r"--output .* is a directory"):
        score(arguments, load_settings({}))


def test_events_are_scored_in_chunks_and_long_runs_say_how_far_they_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sizes: list[int] = []

    class Counting(CapitalLetters):
        def assess(self, events: Sequence[Event]) -> list[Assessment]:
            sizes.append(len(events))
            return super().assess(events)

    seconds = iter(range(0, 1000, 4))
    total = 2 * CHUNK_EVENTS + 1
    source = write(
        tmp_path / "in.jsonl", *({"event_id": f"e{n}", "text": "hi"} for n in range(total))
    )
    cascade = Cascade(Counting(), "7", "t")
    score_file(cascade, source, tmp_path / "out.jsonl", clock=lambda: next(seconds))
    assert sizes == [CHUNK_EVENTS, CHUNK_EVENTS, 1]
    assert "scored 512 events" in capsys.readouterr().err


def test_a_file_may_be_scored_in_place_of_itself(tmp_path: Path) -> None:
    source = write(tmp_path / "in.jsonl", {"event_id": "e", "text": "hi"})
    score_file(CASCADE, source, source)
    assert json.loads(source.read_text())["action"] == "allow"
