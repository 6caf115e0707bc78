"""What is done after the answer: a bounded line of work, and one thread that goes through it.

Answers come first: where the line is full, or the server must stop, work is dropped and counted
(`weir_degraded_verdicts_total{reason="revision_dropped"}`), and the verdict stands as it was given.
"""

from __future__ import annotations

import math
import queue
import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from serving.logs import say
from serving.meter import Meter
from serving.thread_priority import AFTER_ANSWERS, give_way

T = TypeVar("T")
CLOSING_SECONDS = 5.0  # a pod that is told to stop has half a minute for everything
DROPPED, FAILED = "revision_dropped", "revision_failed"


class Afterwards(Generic[T]):
    """Calls `act` with each offered piece of work, in order; the thread starts with the first."""

    def __init__(self, act: Callable[[T], None], waiting: int, meter: Meter) -> None:
        self._act = act
        self._meter = meter
        self._line: queue.Queue[T | None] = queue.Queue(waiting)
        self._thread: threading.Thread | None = None
        self._ends_at = math.inf

    def offer(self, work: T) -> bool:
        """False, counted, where the line is full. Called from one thread."""
        try:
            self._line.put_nowait(work)
        except queue.Full:
            self._meter.degraded(DROPPED)
            return False
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="afterwards", daemon=True)
            self._thread.start()
        return True

    def close(self, seconds: float = CLOSING_SECONDS) -> None:
        """Do what waits, for so long; what is left then is dropped and counted."""
        if self._thread is not None:
            self._ends_at = time.monotonic() + seconds
            self._line.put(None)
            self._thread.join()

    def _run(self) -> None:
        """Gives way to the threads that answer; without them it has all of the machine."""
        give_way(AFTER_ANSWERS)
        while (work := self._line.get()) is not None:
            if time.monotonic() > self._ends_at:
                self._meter.degraded(DROPPED)
                continue
            try:
                self._act(work)
            except Exception as error:
                self._meter.degraded(FAILED)
                say("a stage that ran after the answer failed", "error", error)
