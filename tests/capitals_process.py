"""The stand-in model server as a process of its own, with the settings that a test wants."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from data_contracts.config import PROJECT

START_SECONDS = 60
VERSION = "7"
_URL = re.compile(r"(https?://127\.0\.0\.1:\d+) serves")
_GRPC = re.compile(r"(127\.0\.0\.1:\d+) answers gRPC")


@dataclass(frozen=True)
class Running:
    """A server that answers; `grpc` is its address there, where the settings asked for it."""

    process: subprocess.Popen[str]
    url: str
    grpc: str | None
    log: Path
    home: Path


@contextmanager
def running(folder: Path, **variables: str) -> Iterator[Running]:
    """Until the block ends. AssertionError with the log where it does not start."""
    process, log, home = started(folder, **variables)
    try:
        written = _wait_for_url(process, log)
        found = _GRPC.search(written)
        yield Running(process, _URL.findall(written)[0], found[1] if found else None, log, home)
    finally:
        process.kill()
        process.communicate()


def started(folder: Path, **variables: str) -> tuple[subprocess.Popen[str], Path, Path]:
    """The process, its log and its home; it may still end by itself."""
    home, log = folder / "home", folder / "server.log"
    environment = {
        **os.environ, "WEIR_HOME": str(home), "WEIR_ACCOUNT_KEY": "key", "VERSION": VERSION,
        **variables,
    }  # fmt: skip
    command = [sys.executable, "-m", "tests.stand_ins.capital_letters", "0", "stable"]
    with log.open("w") as stderr:
        process = subprocess.Popen(
            command, cwd=PROJECT, env=environment, stderr=stderr, stdout=subprocess.PIPE, text=True
        )
    return process, log, home


def _wait_for_url(process: subprocess.Popen[str], log: Path) -> str:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until and process.poll() is None:
        if _URL.search(written := log.read_text()):
            return written
        time.sleep(0.05)
    raise AssertionError(f"no server:\n{log.read_text()}")
