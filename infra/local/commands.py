"""Call the platform's command lines, as a person or a DAG would."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import orjson

from data_contracts.config import PROJECT, Settings
from data_contracts.errors import WeirError

LINES_IN_ERROR = 12


class CommandError(WeirError):
    """A command of the platform ended with an error; the message has its last lines."""


def argument_list(folder: str, verb: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", folder, verb, *arguments]


def call(settings: Settings, folder: str, verb: str, *arguments: str) -> dict[str, Any]:
    """Run the verb to its end and return its JSON. Raises CommandError with its last lines."""
    with tempfile.TemporaryDirectory(prefix="weir-") as folder_of_result:
        result = Path(folder_of_result) / "result.json"
        command = argument_list(folder, verb, *arguments, f"--result={result}")
        done = subprocess.run(
            command,
            cwd=PROJECT,
            env=environment(settings),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            last = "\n    ".join((done.stdout + done.stderr).splitlines()[-LINES_IN_ERROR:])
            raise CommandError(
                f"python -m {folder} {verb} {' '.join(arguments)} ended with exit code "
                f"{done.returncode}; its last lines:\n    {last}"
            )
        answer: dict[str, Any] = orjson.loads(result.read_bytes())
        return answer


def environment(settings: Settings) -> dict[str, str]:
    """The caller's environment, with this home and environment made explicit."""
    return {**os.environ, "WEIR_HOME": str(settings.home), "WEIR_ENV": settings.environment}
