"""Decision records reach the disk whole, or are counted as lost."""

from __future__ import annotations

import os
import time
from pathlib import Path

import orjson
import pytest

from data_contracts.errors import ContractViolation, ServiceUnavailable
from data_contracts.events import parse_event
from data_contracts.verdicts import DecisionRecord
from serving.cascade import Cascade
from serving.decision_log import DecisionLog, LogLimits, read_records, replay
from tests.stand_ins.capital_letters import CapitalLetters

MODEL = CapitalLetters()


def record(name: str = "e1", text: str = "Hello YOU", **fields: object) -> DecisionRecord:
    event = parse_event({"event_id": name, "text": text, **fields})
    decision = Cascade(MODEL, "7", "thresholds-1").decide([event], "canary")
    return DecisionRecord(
        verdict=decision.verdicts[0],
        event=event.model_dump(mode="json", exclude_defaults=True),
        decided_at="2026-01-05T12:00:00+00:00",
        mirrored=False,
        milliseconds=0.1,
    )


def wait_for(condition: object, seconds: float = 5) -> None:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:  # type: ignore[operator]
        time.sleep(0.01)
    assert condition()  # type: ignore[operator]


def test_a_record_is_on_disk_within_a_fifth_of_a_second_and_reads_back_the_same(
    tmp_path: Path,
) -> None:
    log = DecisionLog(tmp_path / "decisions", "stable")
    log.start()
    written = record(
        context={"subject": None, "links": 2, "ratio": 0.5, "first": True},
        time="2026-01-05T12:00:00.25+02:00",
        language="tr",
    )
    assert log.append([written], 100)
    path = tmp_path / "decisions" / f"stable-{os.getpid()}.jsonl"
    began = time.monotonic()
    wait_for(path.read_bytes)
    assert time.monotonic() - began < 1  # 0.1 s on a quiet machine
    assert list(read_records(path)) == [written]
    log.close()
    assert (log.written, log.lost) == (1, 0)


def test_replay_recomputes_the_verdict_to_the_same_bytes() -> None:
    for text in ("Hello YOU", "SHOUT", "", "ÄÖÜ ünïcode 中文", "a" * 60_000):
        stored = orjson.loads(orjson.dumps(record(text=text, context={"empty": None})))
        again = replay(DecisionRecord.from_record(stored), MODEL)
        assert orjson.dumps(again) == orjson.dumps(stored["verdict"])


def test_closing_writes_everything_that_waits(tmp_path: Path) -> None:
    log = DecisionLog(tmp_path, "a", LogLimits(flush_seconds=60))
    log.start()
    for number in range(500):
        log.append([record(f"e{number}")], 1)
    log.close()
    (path,) = tmp_path.iterdir()
    names = [one.verdict.event_id for one in read_records(path)]
    assert names == [f"e{number}" for number in range(500)]


def test_what_does_not_fit_is_refused_and_counted(tmp_path: Path) -> None:
    log = DecisionLog(tmp_path, "a", LogLimits(buffered_bytes=100, flush_seconds=60))
    log.start()
    assert log.append([record("e1")], 60)
    assert not log.append([record("e2"), record("e3")], 60)
    assert log.append([record("e4")], 40)
    log.close()
    assert not log.append([record("e5")], 1)
    assert (log.written, log.lost) == (2, 3)


def test_a_full_file_is_left_alone_and_the_next_one_begins(tmp_path: Path) -> None:
    log = DecisionLog(tmp_path, "a", LogLimits(file_bytes=1000, flush_seconds=0.001))
    log.start()
    for number in range(9):
        log.append([record(f"e{number}")], 1)
    log.close()
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names[0] == f"a-{os.getpid()}.1.jsonl"
    assert len(names) > 2
    counts = [len(list(read_records(path))) for path in tmp_path.iterdir()]
    assert sum(counts) == 9


def test_a_disk_that_fails_is_tried_again_until_it_works(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "decisions"
    limits = LogLimits(file_bytes=1, flush_seconds=0.001, retry_seconds=0.02)
    log = DecisionLog(folder, "a", limits)
    log.start()
    log.append([record("e1")], 1)
    wait_for(lambda: log.written == 1)
    folder.rename(tmp_path / "moved")
    folder.write_text("in the way")  # the next file cannot be made
    log.append([record("e2")], 1)
    time.sleep(0.1)
    assert log.written == 1
    folder.unlink()
    wait_for(lambda: log.written == 2)
    log.close()
    assert log.lost == 0
    assert capfd.readouterr().err.count("cannot write decision records") == 1


def test_a_disk_that_still_fails_at_the_end_is_a_counted_loss(tmp_path: Path) -> None:
    folder = tmp_path / "decisions"
    log = DecisionLog(folder, "a", LogLimits(file_bytes=1, flush_seconds=0.001))
    log.start()
    log.append([record("e1")], 1)
    wait_for(lambda: log.written == 1)
    folder.rename(tmp_path / "moved")
    folder.write_text("in the way")
    log.append([record("e2")], 1)
    log.close()
    assert (log.written, log.lost) == (1, 1)


def test_half_a_line_of_an_earlier_crash_does_not_spoil_the_next_record(tmp_path: Path) -> None:
    path = tmp_path / f"a-{os.getpid()}.jsonl"
    path.write_bytes(b'{"verdict": {"event')
    log = DecisionLog(tmp_path, "a")
    log.start()
    log.append([record("e1")], 1)
    log.close()
    lines = path.read_bytes().splitlines()
    assert orjson.loads(lines[1])["verdict"]["event_id"] == "e1"
    with pytest.raises(ContractViolation, match=r"jsonl:1: line = '20 bytes': not a decision rec"):
        list(read_records(path))


def test_a_folder_that_cannot_be_written_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ServiceUnavailable, match="move the home with WEIR_HOME"):
        DecisionLog(tmp_path / "file", "a").start()
