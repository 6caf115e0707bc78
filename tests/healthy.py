"""Waiting for a server that a test started: until it says that it is healthy, or has ended."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import httpx
import pytest

START_SECONDS = 60.0
LOG_CHARACTERS = 2000


def wait_until_healthy(
    url: str,
    process: subprocess.Popen[bytes],
    log: Path | None = None,
    seconds: float = START_SECONDS,
) -> None:
    """Until `{url}/health` answers; the test fails with the end of the log where it never does."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx.get(f"{url}/health", timeout=2).is_success:
                return
        except httpx.HTTPError:
            time.sleep(0.1)
    said = log.read_text()[-LOG_CHARACTERS:] if log else ""
    pytest.fail(f"{url} was not healthy in time (exit code {process.poll()}):\n{said}")
