"""Load over HTTP/1.1 from a process of its own: closed loop for CPU, open loop for latency.

Open loop: requests leave at times drawn before the run (Poisson), whether or not earlier answers
have come, and latency counts from the planned time, so that a server that stalls cannot slow its
own load down (coordinated omission; Tene 2013, "How NOT to Measure Latency").
"""

from __future__ import annotations

import asyncio
import multiprocessing
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
CONNECT_SECONDS = 10.0


class Shot(NamedTuple):
    """One request: when it is to leave (seconds from the start), its bytes, and its class."""

    at: float
    request: bytes
    name: str = ""


@dataclass(frozen=True)
class Heard:
    """What came back: seconds from the planned time, NaN where nothing came; the HTTP status."""

    names: tuple[str, ...]
    seconds: Floats
    statuses: NDArray[np.int64]

    def of(self, name: str) -> Heard:
        chosen = [at for at, one in enumerate(self.names) if one == name]
        names = tuple(self.names[at] for at in chosen)
        return Heard(names, self.seconds[chosen], self.statuses[chosen])

    def share(self, status: int = 200, within_seconds: float = np.inf) -> float:
        """Of the requests offered, those answered with `status` in time."""
        return float(((self.statuses == status) & (self.seconds <= within_seconds)).mean())

    def quantile(self, q: float) -> float:
        """Milliseconds, over all offered; infinite where so many had no answer of 200."""
        seconds = np.where(self.statuses == 200, self.seconds, np.inf)
        return float(1000 * np.quantile(seconds, q, method="higher"))

    def by_status(self) -> dict[str, int]:
        return {str(status): n for status, n in sorted(Counter(self.statuses.tolist()).items())}


def post(path: str, body: bytes, **headers: str) -> bytes:
    """A whole request; underscores in header names become hyphens."""
    more = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    head = (
        f"POST {path} HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\n{more}"
        f"content-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def poisson(rate: float, seconds: float, rng: np.random.Generator) -> Floats:
    """Arrival times in [0, seconds) at `rate` a second."""
    times = np.cumsum(rng.exponential(1 / rate, int(rate * seconds * 1.5) + 50))
    return np.asarray(times[times < seconds])


def fire(port: int, shots: Sequence[Shot], connections: int, grace_seconds: float = 10.0) -> Heard:
    """Open loop from another process, so that the load does not share the caller's interpreter."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        return pool.apply(_fire, (port, list(shots), connections, grace_seconds))


def closed_loop(port: int, requests: Sequence[bytes], connections: int) -> int:
    """Every connection sends its next request when it has its answer; how many were not 200."""
    return asyncio.run(_closed_loop(port, requests, connections))


def cpu_seconds(pid: int) -> float:
    """CPU that the threads of a process and of its children ran, by the kernel's nanoseconds."""
    tasks = Path(f"/proc/{pid}/task").glob("*/schedstat")
    own = sum(int(task.read_text().split()[0]) for task in tasks) / 1e9
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return own + sum(cpu_seconds(int(child)) for child in children)


def _fire(port: int, shots: list[Shot], connections: int, grace_seconds: float) -> Heard:
    return asyncio.run(_fired(port, shots, connections, grace_seconds))


async def _fired(port: int, shots: list[Shot], connections: int, grace_seconds: float) -> Heard:
    gun = _Gun(port, shots)
    workers = [asyncio.ensure_future(gun.work()) for _ in range(connections)]
    await gun.pull()
    _, late = await asyncio.wait(workers, timeout=grace_seconds)
    for one in late:
        one.cancel()
    return Heard(tuple(shot.name for shot in shots), gun.seconds, gun.statuses)


@dataclass
class _Gun:
    port: int
    shots: list[Shot]
    line: asyncio.Queue[int | None] = field(default_factory=asyncio.Queue)

    def __post_init__(self) -> None:
        self.seconds = np.full(len(self.shots), np.nan)
        self.statuses = np.zeros(len(self.shots), np.int64)
        self.began = time.perf_counter() + 0.2
        self.workers = 0

    async def pull(self) -> None:
        for number, shot in enumerate(self.shots):
            wait = self.began + shot.at - time.perf_counter()
            if wait > 0:
                await asyncio.sleep(wait)
            self.line.put_nowait(number)
        for _ in range(self.workers):
            self.line.put_nowait(None)

    async def work(self) -> None:
        self.workers += 1
        connection: _Connection | None = None
        while (number := await self.line.get()) is not None:
            shot = self.shots[number]
            try:
                connection = connection or await _connected(self.port)
                self.statuses[number] = await connection.ask(shot.request)
                self.seconds[number] = time.perf_counter() - self.began - shot.at
                if not connection.lives:
                    connection = None
            except (OSError, asyncio.IncompleteReadError, ValueError):
                connection = None
        if connection is not None:
            connection.close()


class _Connection:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.lives = True

    async def ask(self, request: bytes) -> int:
        """The status; the body is read and dropped."""
        self._writer.write(request)
        head = (await self._reader.readuntil(b"\r\n\r\n")).lower()
        at = head.index(b"content-length:") + 15
        await self._reader.readexactly(int(head[at : head.index(b"\r\n", at)]))
        if b"connection: close" in head:
            self.close()
        return int(head[9:12])

    def close(self) -> None:
        self.lives = False
        self._writer.close()


async def _connected(port: int) -> _Connection:
    opening = asyncio.open_connection("127.0.0.1", port)
    return _Connection(*await asyncio.wait_for(opening, CONNECT_SECONDS))


async def _closed_loop(port: int, requests: Sequence[bytes], connections: int) -> int:
    left, wrong = iter(requests), 0

    async def work() -> None:
        nonlocal wrong
        connection = await _connected(port)
        for request in left:
            wrong += await connection.ask(request) != 200
        connection.close()

    await asyncio.gather(*(work() for _ in range(connections)))
    return wrong
