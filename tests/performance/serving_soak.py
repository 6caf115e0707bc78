"""Whether memory and descriptors grow under lasting load: every event has an id of its own.

Texts and media recur, since there are only so many of them.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

from tests.performance.http_load import children
from tests.performance.serving_bench import OPEN_CONNECTIONS, Bench
from tests.performance.serving_report import say
from tests.performance.serving_stack import Stack

LOAD, LOOK_SECONDS, WARM_UP_SECONDS, LONGEST_WARM_UP_SHARE = 0.7, 5.0, 180.0, 0.25
MEMORY_GROWTH, PART, LOOKS_A_LINE = 0.02, 10, 12


class Look(NamedTuple):
    """A server with its children: seconds since the start, resident MiB, open descriptors."""

    seconds: float
    memory_mib: float
    descriptors: int


def soak(bench: Bench, running: Stack, capacity: float, minutes: float) -> None:
    """The load for so long; growth from the first tenth after the warm-up to the last."""
    load = bench.poisson_load(LOAD * capacity, 60 * minutes)
    start, pending = bench.load.fire(running.gateway.port, load, OPEN_CONNECTIONS)
    looks = []
    while not pending.ready():
        pending.wait(LOOK_SECONDS)
        look = _look(running.server.process.pid, time.monotonic() - start)
        if 0 <= look.seconds <= 60 * minutes:
            looks.append(look)
            if len(looks) % LOOKS_A_LINE == 0:
                say(f"soak: {look.seconds:.0f} s, {look.memory_mib:.0f} MiB, "
                    f"{look.descriptors} descriptors")  # fmt: skip
    heard = pending.get()
    warm_up = min(WARM_UP_SECONDS, LONGEST_WARM_UP_SHARE * 60 * minutes)
    warm = [look for look in looks if look.seconds >= warm_up]
    first, last = _ends([look.memory_mib for look in warm])
    growth = last / first - 1
    opened, left = _ends([look.descriptors for look in warm])
    bench.report.row(
        "soak", minutes=minutes, load=LOAD, offered=len(load.times), answers=heard.by_status(),
        milliseconds=heard.quantiles(), warm_up_seconds=warm_up, memory_mib=[first, last],
        descriptors=[opened, left], generator=heard.generator(),
        looks=[one._asdict() for one in looks[::LOOKS_A_LINE]],
    )  # fmt: skip
    bench.report.goal(
        "soak.memory", f"growth of resident memory in {minutes:g} minutes, after warm-up",
        f"< {MEMORY_GROWTH:g}", growth, met=growth < MEMORY_GROWTH,
    )  # fmt: skip
    bench.report.goal("soak.descriptors", "more open descriptors at the end than after warm-up",
                      "<= 0", left - opened, met=left <= opened)  # fmt: skip


def _ends(values: Sequence[float]) -> tuple[float, float]:
    """The medians of the first tenth and of the last."""
    size = max(1, len(values) // PART)
    return round(median(values[:size]), 1), round(median(values[-size:]), 1)


def _look(pid: int, seconds: float) -> Look:
    tree = [pid, *_descendants(pid)]
    memory, descriptors = sum(map(_resident_mib, tree)), sum(map(_descriptors, tree))
    return Look(round(seconds, 1), round(memory, 2), descriptors)


def _descendants(pid: int) -> list[int]:
    try:
        own = children(pid)
    except FileNotFoundError:
        return []
    return [*own, *(below for one in own for below in _descendants(one))]


def _resident_mib(pid: int) -> float:
    """0 for one that has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except FileNotFoundError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS")), 0.0)


def _descriptors(pid: int) -> int:
    try:
        return len(list(Path(f"/proc/{pid}/fd").iterdir()))
    except FileNotFoundError:
        return 0
