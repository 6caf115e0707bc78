"""Load over HTTP/1.1 from a process of its own, pinned to cores: closed loop, and open loop.

Open loop: requests leave at times drawn before the run (Poisson), whether or not earlier answers
have come.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.pool import AsyncResult, Pool
from pathlib import Path

import numpy as np

from tests.performance.http_gun import fire, is_loaded
from tests.performance.http_shots import Heard, Load

CLOCK_TICKS = os.sysconf("SC_CLK_TCK")
LEAD_SECONDS, LEAD_SECONDS_A_SHOT = 0.5, 3e-6  # from the order to fire to the first request


@contextmanager
def generator(cores: Collection[int]) -> Iterator[Generator]:
    """A process that sends load, kept for many runs, on these cores alone."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(1, os.sched_setaffinity, (0, cores)) as pool:
        yield Generator(pool)


class Generator:
    """Sends from its own process, so that the load does not share the caller's interpreter."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def closed(
        self, port: int, requests: Sequence[bytes], connections: int, first: int = 0
    ) -> Heard:
        """Closed loop; the answers' bodies are kept, in the requests' order."""
        load = Load.closed(requests, first)
        arguments = (port, load, connections, np.inf, time.monotonic())
        return self._pool.apply(fire, arguments, {"keep": True})

    def fire(
        self, port: int, load: Load, connections: int, grace_seconds: float = 10.0
    ) -> tuple[float, AsyncResult[Heard]]:
        """In the background: the start on the monotonic clock, and what will be heard."""
        self._pool.apply(is_loaded)  # the process is there, and this module in it
        start = time.monotonic() + LEAD_SECONDS + LEAD_SECONDS_A_SHOT * len(load.times)
        arguments = (port, load, connections, grace_seconds, start)
        return start, self._pool.apply_async(fire, arguments, {"keep": False})


def cpu_seconds(pid: int) -> float:
    """CPU of a process and of its children by the kernel's nanoseconds; of children that have
    ended, by its clock ticks."""
    tasks = Path(f"/proc/{pid}/task").glob("*/schedstat")
    own = sum(int(task.read_text().split()[0]) for task in tasks) / 1e9
    after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    ended = (int(after_name[13]) + int(after_name[14])) / CLOCK_TICKS
    return own + ended + sum(map(cpu_seconds, children(pid)))


def children(pid: int) -> list[int]:
    """The living children of a process."""
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
