"""The runner alone: it needs no Airflow."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import threading
import time
from pathlib import Path
from types import ModuleType

import psutil
import pytest

from data_contracts.config import PROJECT
from data_contracts.steps import load_steps
from tests.stand_ins.airflow import platform_stand_in


@pytest.fixture(scope="module")
def step_runner() -> ModuleType:
    file = PROJECT / "dags" / "step_runner.py"
    specification = importlib.util.spec_from_file_location("step_runner", file)
    assert specification
    assert specification.loader
    module = importlib.util.module_from_spec(specification)
    sys.modules["step_runner"] = module
    specification.loader.exec_module(module)
    return module


@pytest.fixture
def plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WEIR_HOME", str(tmp_path))
    return tmp_path / "plan.json"


def test_a_step_runs_to_its_end_line_by_line(step_runner: ModuleType, plan: Path) -> None:
    plan.write_text(json.dumps({"monitor": {"say": ["one", "two"], "result": {"alarms": 0}}}))
    heard: list[str] = []
    runner = step_runner.SubprocessRunner(platform_stand_in(plan.parent))
    outcome = runner.run(load_steps().step("monitor"), {}, heard.append)
    assert outcome == step_runner.Outcome(0, {"alarms": 0}, ("one", "two"))
    assert heard == ["one", "two"]


def test_only_the_last_lines_are_kept(step_runner: ModuleType, plan: Path) -> None:
    lines = [f"line {number}" for number in range(50)]
    plan.write_text(json.dumps({"monitor": {"say": lines, "code": 1}}))
    runner = step_runner.SubprocessRunner(platform_stand_in(plan.parent))
    outcome = runner.run(load_steps().step("monitor"), {}, lambda line: None)
    assert outcome.exit_code == 1
    assert outcome.last_lines == tuple(lines[-20:])


def test_stop_ends_the_step_and_what_it_started(step_runner: ModuleType, tmp_path: Path) -> None:
    script, children = tmp_path / "platform-python", tmp_path / "children"
    script.write_text(f"#!/bin/sh\nsleep 60 &\necho $! > {children}\nwait\n")
    script.chmod(0o755)
    runner = step_runner.SubprocessRunner(script)
    outcomes = []
    step = load_steps().step("monitor")
    thread = threading.Thread(target=lambda: outcomes.append(runner.run(step, {}, print)))
    thread.start()
    deadline = time.monotonic() + 20
    while not (children.is_file() and children.read_text().strip()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    child = psutil.Process(int(children.read_text()))
    runner.stop()
    thread.join(timeout=20)
    assert outcomes[0].exit_code == -15
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE


def test_the_environment_of_a_step_is_without_the_orchestrators(
    step_runner: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__API_AUTH__JWT_SECRET", "secret")
    monkeypatch.setenv("WEIR_AIRFLOW_JWT_SECRET", "secret")
    monkeypatch.setenv("WEIR_HOME", "home")
    seen = step_runner._step_environment()
    assert "secret" not in seen.values()
    assert seen["WEIR_HOME"] == "home"
    assert seen["PATH"] == os.environ["PATH"]


def test_the_real_platform_has_nothing_to_ingest_in_an_empty_home(
    step_runner: ModuleType, plan: Path
) -> None:
    runner = step_runner.SubprocessRunner(Path(sys.executable))
    outcome = runner.run(load_steps().step("ingest"), {"day": "pending"}, lambda line: None)
    assert outcome.exit_code == 99
    assert outcome.last_lines[-1].startswith("pipelines ingest:")


def test_the_real_platform_refuses_a_bad_day(step_runner: ModuleType, plan: Path) -> None:
    runner = step_runner.SubprocessRunner(Path(sys.executable))
    outcome = runner.run(load_steps().step("ingest"), {"day": "someday"}, lambda line: None)
    assert outcome.exit_code == 2
    assert "someday" in outcome.last_lines[-1]
