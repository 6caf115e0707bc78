"""The supervisor starts services once, finds them again, and stops only its own."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import orjson
import psutil
import pytest

from data_contracts.errors import ServiceUnavailable
from infra.local.process import Process
from infra.local.supervisor import Supervisor

SLEEPER = Process(name="sleeper", argv=(sys.executable, "-c", "import time; time.sleep(60)"))
WITH_CHILD = Process(
    name="parent",
    argv=(
        sys.executable,
        "-c",
        "import subprocess, sys, time; "
        "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']); time.sleep(60)",
    ),
)


def record_of(home: Path, name: str) -> dict[str, float]:
    record: dict[str, float] = orjson.loads((home / "run" / f"{name}.service.json").read_bytes())
    return record


def test_a_service_is_started_once_and_stopped(tmp_path: Path) -> None:
    supervisor = Supervisor(tmp_path)
    assert supervisor.start(SLEEPER)
    assert not supervisor.start(SLEEPER), "a second start leaves the running one alone"
    assert supervisor.running() == ["sleeper"]
    pid = int(record_of(tmp_path, "sleeper")["pid"])
    assert supervisor.stop("sleeper")
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    assert not supervisor.stop("sleeper")


def test_the_children_of_a_service_end_with_it(tmp_path: Path) -> None:
    supervisor = Supervisor(tmp_path)
    supervisor.start(WITH_CHILD)
    parent = psutil.Process(int(record_of(tmp_path, "parent")["pid"]))
    deadline = time.monotonic() + 10
    while not parent.children() and time.monotonic() < deadline:
        time.sleep(0.05)
    (child,) = parent.children()
    supervisor.stop("parent")
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE


def test_a_process_that_took_over_the_pid_is_left_alone(tmp_path: Path) -> None:
    record = tmp_path / "run" / "stranger.service.json"
    record.parent.mkdir()
    record.write_bytes(orjson.dumps({"pid": os.getpid(), "started": 1.0}))
    supervisor = Supervisor(tmp_path)
    assert not supervisor.is_running("stranger")
    assert not supervisor.stop("stranger"), "this very test would have been killed"


def test_a_service_that_ends_early_shows_the_end_of_its_log(tmp_path: Path) -> None:
    broken = Process(name="broken", argv=(sys.executable, "-c", "raise SystemExit('no database')"))
    supervisor = Supervisor(tmp_path)
    supervisor.start(broken)
    time.sleep(0.5)
    with pytest.raises(ServiceUnavailable, match=r"(?s)broken ended.*no database.*make down"):
        supervisor.wait_until_ready(broken)
