"""What a log line says, and what never gets into one."""

from __future__ import annotations

import io
import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from serving import logs
from serving.logs import Sparing, handler, say, shown_id

CANARY = "zebra-canary-4711"


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """What is written by our logger and one of a library's, as JSON lines."""
    written = io.StringIO()
    made = handler("json", written)
    loggers = [logging.getLogger(name) for name in (logs.OURS, "library")]
    for one in loggers:
        one.addHandler(made)
        one.setLevel(logging.DEBUG)
        one.propagate = False
    yield written
    for one in loggers:
        one.removeHandler(made)
        one.propagate = True


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def broken(text: str) -> None:
    try:
        int(text)
    except ValueError as error:
        raise RuntimeError(f"cannot read {text}") from error


def test_a_sentence_keeps_its_fields_apart(stream: io.StringIO) -> None:
    say("slot {slot} holds {free} places", "warning", slot="a", free=3)
    (line,) = lines(stream)
    assert line.pop("time").endswith("+00:00")
    assert line == {
        "level": "warning", "logger": "weir", "message": "slot a holds 3 places",
        "slot": "a", "free": 3,
    }  # fmt: skip


def test_of_an_error_only_types_and_places_are_said(stream: io.StringIO) -> None:
    try:
        broken(CANARY)
    except RuntimeError as error:
        say("it failed", "error", error)
    (line,) = lines(stream)
    assert (line["error"], line["caused_by"]) == ("RuntimeError", "ValueError")
    assert line["places"][-1].startswith("serving/test_logs.py:")
    assert line["places"][-1].endswith(" broken")
    assert CANARY not in stream.getvalue()


def test_of_a_librarys_line_the_place_is_said_and_no_value(stream: io.StringIO) -> None:
    library = logging.getLogger("library")
    library.warning(f"cannot read {CANARY}")
    library.warning("cannot read %s", CANARY)
    try:
        broken(CANARY)
    except RuntimeError:
        library.exception(CANARY)
    library.warning({CANARY: 1})
    said = [line["message"].partition(": ")[2] for line in lines(stream)]
    assert said == ["(not shown)", "cannot read %s", "(not shown)",
                    "(not shown)"]  # fmt: skip
    assert lines(stream)[0]["message"].startswith("library says at serving/test_logs.py:")
    assert CANARY not in stream.getvalue()


def test_a_line_that_cannot_be_written_is_named_without_its_fields(
    stream: io.StringIO, capsys: pytest.CaptureFixture[str]
) -> None:
    say("no field of this name: {missing}", text=CANARY)
    assert stream.getvalue() == "serving: a log line of weir could not be written\n"
    assert CANARY not in capsys.readouterr().err


def test_a_librarys_arguments_are_not_even_put_into_its_template() -> None:
    written = io.StringIO()
    record = logging.LogRecord("library", 30, "a/b.py", 7, "%d arguments", (CANARY,), None)
    handler("text", written).handle(record)
    assert written.getvalue() == "serving: library says at a/b.py:7 ?: %d arguments\n"


def test_text_lines_are_for_people() -> None:
    written = io.StringIO()
    made = handler("text", written)
    try:
        broken("x")
    except RuntimeError as error:
        record = logging.LogRecord(
            "weir", logging.ERROR, __file__, 1, "{n} failed", (), (type(error), error, None)
        )
    record.fields = {"n": 3}
    made.handle(record)
    first, *places = written.getvalue().splitlines()
    assert first == "serving: 3 failed: RuntimeError caused_by=ValueError"
    assert [place.split()[-1] for place in places] == [
        "test_text_lines_are_for_people",
        "broken",
    ]


def test_alike_lines_are_counted_instead_of_written() -> None:
    now = [0.0]
    sparing = Sparing(lambda: now[0])

    def passes(sentence: str) -> logging.LogRecord | None:
        record = logging.LogRecord("weir", logging.ERROR, "file", 1, sentence, (), None)
        return record if sparing.filter(record) else None

    assert sum(passes("a") is not None for _ in range(50)) == 10
    assert passes("b") is not None
    now[0] = 10.0
    after = passes("a")
    assert after is not None
    assert after.suppressed == 40
    assert sum(passes("a") is not None for _ in range(50)) == 9


def test_kinds_without_end_share_a_window(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "MOST_KINDS", 3)
    sparing = Sparing(lambda: 0.0)
    records = [logging.LogRecord("weir", 40, "f", n, "s", (), None) for n in range(100)]
    assert sum(sparing.filter(record) for record in records) == 3 + 10


@pytest.mark.parametrize("text", [CANARY, "", "\ud800", "2f1c9d52-0c44-4f0e-9a39-52b1a3a5f2d1x"])
def test_an_id_that_could_be_text_is_hashed(text: str) -> None:
    assert shown_id(text).startswith("sha256:")
    assert len(shown_id(text)) == 7 + 16


def test_uncaught_errors_warnings_and_threads_say_nothing_of_a_user() -> None:
    program = f"""
import logging, threading, warnings
from serving.logs import configure
configure("json", "info")
text = "{CANARY[:5]}" + "{CANARY[5:]}"
warnings.warn(text)
def fail(): raise RuntimeError(text)
thread = threading.Thread(target=fail); thread.start(); thread.join()
class Fails:
    def __del__(self): raise RuntimeError(text)
Fails()
logging.error(text)
fail()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=60)
    said = [json.loads(line) for line in done.stderr.splitlines()]
    assert done.returncode == 1
    assert CANARY.encode() not in done.stderr
    assert [one.get("error") for one in said] == [
        None, "RuntimeError", "RuntimeError", None, "RuntimeError",
    ]  # fmt: skip
    assert said[-1]["places"][-1].endswith(" fail")
