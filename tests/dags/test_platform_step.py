"""The operator, run in Airflow's environment on a stand-in platform."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from data_contracts.config import PROJECT, Settings


@pytest.fixture
def operator(probe: dict[str, Any]) -> dict[str, Any]:
    outcomes: dict[str, Any] = probe["operator"]
    return outcomes


@pytest.fixture
def calls(probe: dict[str, Any], settings: Settings) -> list[dict[str, Any]]:
    lines = (settings.home / "calls.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def test_exit_code_0_returns_the_steps_json(operator: dict[str, Any]) -> None:
    assert operator["done"]["result"]["days"] == ["2026-01-05"]


@pytest.mark.parametrize(
    ("outcome", "error"),
    [
        ("failed", "AirflowException"),
        ("bad_input", "AirflowFailException"),
        ("nothing_to_do", "AirflowSkipException"),
        ("unforeseen", "AirflowException"),
    ],
)
def test_an_exit_code_decides_the_task(outcome: str, error: str, operator: dict[str, Any]) -> None:
    assert operator[outcome]["error"] == error


def test_a_failure_says_the_cause_the_command_and_the_last_lines(operator: dict[str, Any]) -> None:
    message = operator["failed"]["message"]
    assert message.startswith("step ended with exit code 1: pipelines ingest: field day")
    assert ".venv/bin/python -m pipelines ingest --day=2026-01-05" in message
    assert "line 29" in message
    assert "line 3\n" not in message


def test_a_silent_failure_says_that_it_was_silent(operator: dict[str, Any]) -> None:
    assert "exit code 7: it wrote nothing" in operator["unforeseen"]["message"]


def test_a_gate_that_says_no_skips_the_task_and_keeps_the_result(operator: dict[str, Any]) -> None:
    refused = operator["refused"]
    assert refused["error"] == "AirflowSkipException"
    assert refused["pushed"]["promoted"] is False
    assert refused["pushed"]["return_value"] == {"version": "3", "promoted": False}


def test_a_hostile_value_stays_one_argument(
    operator: dict[str, Any], calls: list[dict[str, Any]]
) -> None:
    assert operator["hostile"]["result"]["version"] == "3"
    call = next(c["arguments"] for c in calls if c["arguments"][2] == "register")
    assert call[4:] == ["--model=--result=/etc/x", "--run-id=r1; rm -rf / $(reboot) `id`"]


def test_a_value_that_the_step_does_not_take_is_refused(operator: dict[str, Any]) -> None:
    assert (
        "pipelines ingest takes no shell; give one of day" in operator["unknown_value"]["message"]
    )


def test_a_step_learns_who_started_the_run_by_hand(
    operator: dict[str, Any], calls: list[dict[str, Any]]
) -> None:
    """For the lineage: whoever starts a training may not approve what comes of it."""
    assert operator["started_by_hand"]["result"] == {}
    starters = {call["environment"].get("WEIR_TRIGGERED_BY") for call in calls}
    assert starters == {None, "ada"}


def test_a_step_does_not_see_airflows_settings_or_secrets(calls: list[dict[str, Any]]) -> None:
    names = {name for call in calls for name in call["environment"]}
    assert not [name for name in names if name.startswith(("AIRFLOW", "PYTHONPATH"))]
    assert "WEIR_HOME" in names


def test_a_failure_notice_has_the_cause_and_the_next_command(
    operator: dict[str, Any], settings: Settings
) -> None:
    file = settings.reports / "failure_notices.jsonl"
    notices = [json.loads(line) for line in file.read_text().splitlines()]
    notice = next(n for n in notices if "exit code 1" in n["cause"])
    assert (notice["dag"], notice["task"], notice["attempt"]) == ("a_dag", "a_task", 2)
    assert notice["last_lines"][-1] == "pipelines ingest: field day"
    assert notice["next"].startswith("Look at the last lines")
    assert notice["command"] == ".venv/bin/python -m pipelines ingest --day=2026-01-05"


def test_dags_import_only_data_contracts_of_the_platform() -> None:
    folders = ("pipelines", "training", "evaluation", "serving", "infra")
    for file in Path(PROJECT / "dags").glob("*.py"):
        for line in file.read_text().splitlines():
            assert not line.startswith(
                tuple(f"{w} {f}" for w in ("from", "import") for f in folders)
            )
