"""Failure notices without Airflow: one line each, and no channel stops another."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from data_contracts.config import PROJECT


@pytest.fixture
def failure_notice(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    monkeypatch.setenv("WEIR_HOME", str(tmp_path))
    file = PROJECT / "dags" / "failure_notice.py"
    specification = importlib.util.spec_from_file_location("failure_notice", file)
    assert specification
    assert specification.loader
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def context(**more: Any) -> dict[str, Any]:
    instance = SimpleNamespace(
        dag_id="daily_ingest", run_id="r1", task_id="ingest", try_number=1, task=None
    )
    return {"ti": instance, **more}


def written(home: Path) -> list[dict[str, Any]]:
    lines = (home / "reports" / "failure_notices.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def test_each_failure_is_one_line(failure_notice: ModuleType, tmp_path: Path) -> None:
    for cause in ("disk full\nlast lines: …", "no model"):
        failure_notice.notify_failure(context(exception=RuntimeError(cause)))
    assert [notice["cause"] for notice in written(tmp_path)] == ["disk full", "no model"]


def test_a_task_that_vanished_has_a_cause_and_a_next_step(
    failure_notice: ModuleType, tmp_path: Path
) -> None:
    failure_notice.notify_failure(context())
    (notice,) = written(tmp_path)
    assert notice["cause"].startswith("Airflow lost the task")
    assert notice["next"] == "open the task's log in Airflow"


def test_a_broken_channel_does_not_silence_the_others(
    failure_notice: ModuleType, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(notice: object) -> None:
        raise OSError("the webhook is down")

    failure_notice.CHANNELS = (broken, *failure_notice.CHANNELS)
    failure_notice.notify_failure(context(exception=RuntimeError("disk full")))
    assert written(tmp_path)[0]["cause"] == "disk full"
    assert "broken failed" in caplog.text
    assert "FAILED daily_ingest.ingest: disk full" in caplog.text
