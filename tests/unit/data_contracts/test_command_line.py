"""A verb ends with the exit code of its error and leaves its result whole."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import orjson
import pytest

from data_contracts.command_line import Verb, main
from data_contracts.config import Settings
from data_contracts.errors import BadInput, NothingToDo, ServiceUnavailable

HERE = __name__


def works(_arguments: argparse.Namespace, _settings: Settings) -> dict[str, Any]:
    return {"events": 3}


def bad_input(_arguments: argparse.Namespace, _settings: Settings) -> None:
    raise BadInput("day = 'soon': not a day; write YYYY-MM-DD")


def nothing(_arguments: argparse.Namespace, _settings: Settings) -> None:
    raise NothingToDo("no new labels")


def unavailable(_arguments: argparse.Namespace, _settings: Settings) -> None:
    raise ServiceUnavailable("mlflow does not answer")


def breaks(_arguments: argparse.Namespace, _settings: Settings) -> None:
    raise RuntimeError("unforeseen")


def run(monkeypatch: pytest.MonkeyPatch, function: Any, *options: str) -> int:
    monkeypatch.setattr(Verb, "load", lambda _verb: function)
    return main("folder", "summary", [Verb("act", "acts", "unused:unused")], ["act", *options])


@pytest.mark.parametrize(
    ("function", "code"), [(works, 0), (unavailable, 1), (breaks, 1), (bad_input, 2), (nothing, 99)]
)
def test_errors_map_to_exit_codes(
    monkeypatch: pytest.MonkeyPatch, function: Any, code: int
) -> None:
    assert run(monkeypatch, function) == code


def test_the_result_is_written_to_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = tmp_path / "deep" / "result.json"
    assert run(monkeypatch, works, f"--result={result}") == 0
    assert orjson.loads(result.read_bytes()) == {"events": 3}
    assert [path.name for path in result.parent.iterdir()] == ["result.json"]


def test_the_message_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run(monkeypatch, bad_input)
    assert "write YYYY-MM-DD" in capsys.readouterr().err
