"""The highest resident memory of processes, as the kernel keeps it (VmHWM in proc(5))."""

from __future__ import annotations

import os
from pathlib import Path

RESET_HIGHEST = "5"  # for clear_refs in proc(5)


class MemoryWatch:
    """How far this process grew up to the last look, and the highest of any worker, bytes.

    A worker is seen after each file; of one that is ended at its bound the last peak is not,
    and that bound stands for it.
    """

    def __init__(self) -> None:
        Path("/proc/self/clear_refs").write_text(RESET_HIGHEST)
        self._before = highest_resident(os.getpid())
        self.parent_growth = 0
        self.workers: dict[int, int] = {}

    @property
    def worker_peak(self) -> int:
        return max(self.workers.values(), default=0)

    def look(self, worker: int | None) -> None:
        self.parent_growth = highest_resident(os.getpid()) - self._before
        if worker is not None:
            self.workers[worker] = max(self.workers.get(worker, 0), highest_resident(worker))


def highest_resident(pid: int) -> int:
    """Bytes; 0 for a process that is gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    found = (line.split()[1] for line in lines if line.startswith("VmHWM:"))
    return 1024 * int(next(found, "0"))
