"""One scrape for all worker processes of a server: their metrics lie in files of one folder.

The supervisor calls `prepare` once, starts each worker with `environment`, and calls `forget` when
one has ended for good. A worker counts into files named after its number, so that its successor
goes on counting where it died and no restart leaves a file behind (prometheus_client names them
after process ids). Without that environment there is one process, and everything stays in memory.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Protocol

from prometheus_client import REGISTRY, CollectorRegistry, Metric, values
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

FOLDER = "PROMETHEUS_MULTIPROC_DIR"  # prometheus_client reads it when it is imported
WORKER = "WEIR_WORKER"


class Collects(Protocol):
    """What prometheus_client's encoders ask of a registry."""

    def collect(self) -> Iterable[Metric]: ...


def prepare(folder: Path) -> None:
    """An empty folder for the workers of one server. Nothing may count into it yet."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for path in (*folder.glob("*.db"), *folder.glob("*.worker")):
        path.unlink()


def environment(folder: Path, worker: int) -> Mapping[str, str]:
    """What the environment of worker number `worker` must hold when it starts, from 0."""
    return {FOLDER: str(folder), WORKER: str(worker)}


def forget(folder: Path, worker: int) -> None:
    """A worker ended and nobody takes its place: its gauges go, its counts stay."""
    _end_gauges(folder, worker)


def divide_by_worker() -> None:
    """Before the first metric is made: count into this worker's own files, if there are workers.

    A number that another process holds still (its successor came before it had ended) is not
    shared; the process id stands in for it.
    """
    if FOLDER not in os.environ:
        return
    worker = os.environ.get(WORKER, "")
    folder, process = Path(os.environ[FOLDER]), os.getpid()
    if worker.isdigit() and _taken(folder / f"{worker}.worker"):
        _end_gauges(folder, int(worker))  # a dead predecessor's
    else:
        worker = str(process)
    values.ValueClass = values.MultiProcessValue(  # type: ignore[no-untyped-call]
        lambda: worker if os.getpid() == process else str(os.getpid())  # a fork is another process
    )


def shown() -> Collects:
    """What a scrape of this process shows: of all workers, or of the only one."""
    if FOLDER not in os.environ:
        return REGISTRY
    together = CollectorRegistry()
    MultiProcessCollector(together, os.environ[FOLDER])  # type: ignore[no-untyped-call]
    return together


def _end_gauges(folder: Path, worker: int) -> None:
    mark_process_dead(worker, str(folder))  # type: ignore[no-untyped-call]


def _taken(path: Path) -> bool:
    """Whether the file is now locked by us; the lock ends with the process."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return False
    return True
