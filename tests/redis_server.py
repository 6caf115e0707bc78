"""A throwaway Redis for tests and benchmarks: Debian's redis-server on a free loopback port.

It keeps an append-only file in `folder`, written before it answers and flushed to the disk every
second: one that was killed comes back with everything it had answered.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import pytest
import redis

from tests.stand_ins.ports import free_port

MISSING = "no redis-server: apt-get install redis-server"
START_SECONDS = 20.0


class RedisServer:
    """Started by `start` or a `with` statement; it comes back on the same port and folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> None:
        """Returns when it answers; RuntimeError with its last words where it does not."""
        program = shutil.which("redis-server")
        if program is None:
            raise RuntimeError(MISSING)
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "output").open("wb") as output:
            self._process = subprocess.Popen(
                [program, "--port", str(self.port), "--bind", "127.0.0.1", "--dir", self.folder,
                 "--appendonly", "yes", "--appendfsync", "everysec", "--save", ""],
                stdout=output, stderr=output,
            )  # fmt: skip
        self._wait()

    def hang(self) -> None:
        """Stop answering, with connections open."""
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it at once, as a crash would; nothing where it does not run."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
            self._process = None

    def _signal(self, number: int) -> None:
        if self._process is None:
            raise RuntimeError("redis-server does not run; start it")
        self._process.send_signal(number)

    def _wait(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        with redis.Redis(port=self.port, socket_timeout=1) as client:
            while time.monotonic() < deadline:
                try:
                    if client.ping():
                        return
                except redis.RedisError:
                    time.sleep(0.02)
        self.kill()
        said = (self.folder / "output").read_text(errors="replace")[-800:]
        raise RuntimeError(f"redis-server does not answer on port {self.port}: {said}")


@pytest.fixture(scope="module")
def redis_server() -> Iterator[RedisServer]:
    """One server a module. Without the program the test is skipped and says what is missing."""
    if shutil.which("redis-server") is None:
        pytest.skip(MISSING)
    folder = Path(tempfile.mkdtemp(prefix="weir-redis-"))
    try:
        with RedisServer(folder) as server:
            yield server
    finally:
        shutil.rmtree(folder, ignore_errors=True)
