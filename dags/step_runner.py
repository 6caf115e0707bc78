"""Runs one platform step to its end: here as a subprocess, on a cluster as a pod.

No Airflow in here: a runner gets an argument list and a place for log lines.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import tempfile
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from data_contracts.config import PROJECT
from data_contracts.steps import Step

LAST_LINES = 20
GRACE_SECONDS = 10.0
WITHHELD = ("AIRFLOW", "_AIRFLOW", "PYTHON", "WEIR_AIRFLOW")  # the orchestrator's own affairs


@dataclass(frozen=True)
class Outcome:
    """How a step ended: its exit code, its JSON result (if any), and its last lines."""

    exit_code: int
    result: Mapping[str, Any]
    last_lines: tuple[str, ...]


class Runner(Protocol):
    """Runs a step; `stop` ends it early, with everything that it started."""

    def run(
        self, step: Step, values: Mapping[str, object], log: Callable[[str], None],
        environment: Mapping[str, str] | None = None,
    ) -> Outcome: ...  # fmt: skip

    def stop(self) -> None: ...


class SubprocessRunner:
    """The platform's Python on this machine, in the project's folder, without a shell."""

    def __init__(self, python: Path):
        self.python = PROJECT / python  # not resolved: a venv's python is a link
        self._process: subprocess.Popen[str] | None = None

    def run(
        self, step: Step, values: Mapping[str, object], log: Callable[[str], None],
        environment: Mapping[str, str] | None = None,
    ) -> Outcome:  # fmt: skip
        """Log each line of output as it comes, and read the result file at the end.

        `environment` is added to the caller's, less what is Airflow's.
        """
        last_lines: deque[str] = deque(maxlen=LAST_LINES)
        with tempfile.TemporaryDirectory(prefix="weir-step-") as folder:
            result = Path(folder) / "result.json"
            argv = step.command_line(str(self.python), result, values)
            exit_code = self._run(argv, log, last_lines, environment or {})
            content = json.loads(result.read_bytes()) if result.is_file() else {}
        return Outcome(exit_code, content, tuple(last_lines))

    def stop(self) -> None:
        """End the whole process group: politely, then after ten seconds by force."""
        process = self._process
        if process is None or process.poll() is not None:
            return
        _signal_group(process, signal.SIGTERM)
        try:
            process.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            _signal_group(process, signal.SIGKILL)
            process.wait()

    def _run(
        self, argv: list[str], log: Callable[[str], None], last_lines: deque[str],
        environment: Mapping[str, str],
    ) -> int:  # fmt: skip
        self._process = subprocess.Popen(
            argv,
            cwd=PROJECT,
            env={**_step_environment(), **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
        )
        try:
            for line in self._process.stdout or ():
                last_lines.append(line.rstrip())
                log(last_lines[-1])
            return self._process.wait()
        finally:
            self.stop()


def _step_environment() -> dict[str, str]:
    """The caller's environment without Airflow's settings and secrets."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(WITHHELD)}
    return kept | {"PYTHONUNBUFFERED": "1"}


def _signal_group(process: subprocess.Popen[str], number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)
