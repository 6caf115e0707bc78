"""One model in several processes, where there is much to score and cores are free."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from data_contracts.config import Settings
from data_contracts.events import Event
from data_contracts.protocols import Assessor
from data_contracts.verdicts import Assessment

PIECE = 64  # events a process takes at once: costs differ, so pieces are small
MEDIA_TEXTS = 50  # texts that cost about as much as one event with a picture
_here: list[Assessor] = []  # the model of this process


class ParallelAssessor:
    """Wraps the assessor of `directory`: `workers` processes share what costs as much as `enough`
    texts, and all that comes after it.

    An answer never depends on its neighbours, so it is the same in any process.
    """

    batch = None

    def __init__(
        self, assessor: Assessor, directory: Path, settings: Settings, workers: int, enough: int
    ) -> None:
        self._assessor = assessor
        self._opening = (directory, settings)
        self._workers = workers
        self._enough = enough
        self._pool: ProcessPoolExecutor | None = None

    def assess(self, events: Sequence[Event]) -> list[Assessment]:
        """As the assessor answers."""
        pieces = [events[start : start + PIECE] for start in range(0, len(events), PIECE)]
        if self._pool is None and (self._workers < 2 or _cost(events) < self._enough):
            return [one for piece in pieces for one in self._assessor.assess(piece)]
        if self._pool is None:
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(self._workers, context, _open, self._opening)
        return [one for part in self._pool.map(_assess, pieces) for one in part]

    def close(self) -> None:
        """End the processes."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None


def free_workers(at_most: int) -> int:
    """As many as cores are idle by the load of the last minute, but 1 and `at_most`."""
    cores = len(os.sched_getaffinity(0))
    return max(1, min(at_most, round(cores - os.getloadavg()[0])))


def _cost(events: Sequence[Event]) -> int:
    return sum(MEDIA_TEXTS if event.media else 1 for event in events)


def _open(directory: Path, settings: Settings) -> None:
    from evaluation.gates.judging import open_ensemble

    _here[:] = [open_ensemble(directory, settings)]


def _assess(events: Sequence[Event]) -> list[Assessment]:
    return list(_here[0].assess(events))
