"""Start services as detached processes, find them again, and stop only what was started here.

A pid alone may have been reused, so a record keeps the process's start time as well: only a
process that matches both is ours.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import httpx
import orjson
import psutil

from data_contracts.config import PROJECT
from data_contracts.errors import ServiceUnavailable
from data_contracts.files import write_atomically
from infra.local.process import Process

LOG_LINES_IN_ERROR = 15
START_TIME_TOLERANCE_SECONDS = 1.0


@dataclass(frozen=True)
class Supervisor:
    """Keeps pid records in `{home}/run` and logs in `{home}/logs`."""

    home: Path
    stop_timeout_seconds: float = 20.0

    def start(self, process: Process) -> bool:
        """Start the process unless it already runs; True if it was started now."""
        if self.is_running(process.name):
            return False
        log = self.log_file(process.name)
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            child = subprocess.Popen(
                process.argv,
                cwd=PROJECT,
                env={**os.environ, **process.environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        record = {"pid": child.pid, "started": psutil.Process(child.pid).create_time()}
        write_atomically(self._record_file(process.name), orjson.dumps(record))
        return True

    def wait_until_ready(self, process: Process) -> None:
        """Return once the service answers. Raises ServiceUnavailable with the end of its log."""
        deadline = time.monotonic() + process.ready_timeout_seconds
        while time.monotonic() < deadline:
            if not self.is_running(process.name):
                raise self._failure(process.name, "ended before it was ready")
            if process.ready_url is None or _answers(process.ready_url):
                return
            time.sleep(0.25)
        raise self._failure(
            process.name, f"was not ready after {process.ready_timeout_seconds:.0f} seconds"
        )

    def stop(self, name: str) -> bool:
        """End the process with its whole group, politely first; True if it was running."""
        process = self._process(name)
        if process is not None:
            for sign in (signal.SIGTERM, signal.SIGKILL):
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, sign)
                if _ended(process, self.stop_timeout_seconds):
                    break
        self._record_file(name).unlink(missing_ok=True)
        return process is not None

    def is_running(self, name: str) -> bool:
        return self._process(name) is not None

    def running(self) -> list[str]:
        """Names of the services of this home that are alive, in the order of their start."""
        records = (self.home / "run").glob("*.service.json")
        names = [record.name.removesuffix(".service.json") for record in records]
        alive = {name: process for name in names if (process := self._process(name))}
        return sorted(alive, key=lambda name: alive[name].create_time())

    def log_file(self, name: str) -> Path:
        return self.home / "logs" / f"{name}.log"

    def _record_file(self, name: str) -> Path:
        return self.home / "run" / f"{name}.service.json"

    def _process(self, name: str) -> psutil.Process | None:
        try:
            record = orjson.loads(self._record_file(name).read_bytes())
            process = psutil.Process(record["pid"])
            same = abs(process.create_time() - record["started"]) < START_TIME_TOLERANCE_SECONDS
            return process if same and process.status() != psutil.STATUS_ZOMBIE else None
        except (FileNotFoundError, orjson.JSONDecodeError, psutil.NoSuchProcess):
            return None

    def _failure(self, name: str, what: str) -> ServiceUnavailable:
        log = self.log_file(name)
        lines = log.read_text(errors="replace").splitlines()[-LOG_LINES_IN_ERROR:]
        tail = "\n".join(f"    {line}" for line in lines)
        return ServiceUnavailable(
            f"{name} {what}; the end of {log}:\n{tail}\n"
            "  mend the cause, then run `make down` and the same command again"
        )


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2).is_success
    except httpx.HTTPError:
        return False


def _ended(process: psutil.Process, timeout_seconds: float) -> bool:
    """Wait for the group's leader and whatever it left behind in its session."""
    try:
        process.wait(timeout=timeout_seconds)
    except psutil.TimeoutExpired:
        return False
    return _until(lambda: not _group_alive(process.pid), timeout_seconds)


def _group_alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    members = (p for p in psutil.process_iter(["status"]) if _group_of(p.pid) == group)
    return any(member.info["status"] != psutil.STATUS_ZOMBIE for member in members)


def _group_of(pid: int) -> int | None:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return None


def _until(condition: Callable[[], bool], timeout_seconds: float) -> bool:
    deadline = time.monotonic() + timeout_seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.1)
    return condition()
