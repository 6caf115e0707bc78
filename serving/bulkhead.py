"""A few threads of a stage's own: what hangs in it costs these threads, and no others.

A thread cannot be ended from outside. A call that is left behind keeps its thread until it ends
by itself; while all are kept so, further calls are refused at once.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from queue import SimpleQueue
from typing import Any, Generic, Protocol, TypeVar

from serving.thread_priority import give_way

T = TypeVar("T")


class BulkheadFullError(Exception):
    """Every thread of the stage is held by a call that has not ended."""


class LeftBehindError(Exception, Generic[T]):
    """The call did not end in time; `call` may still."""

    def __init__(self, call: Future[T]) -> None:
        self.call = call
        super().__init__("the call did not end in time")


class Bulkhead(Protocol):
    """Where the calls of a stage run."""

    def run(self, work: Callable[[], T], timeout_seconds: float) -> T:
        """What `work` returns or raises; BulkheadFullError, LeftBehindError."""
        ...


class CallersThread:
    """For stages so cheap that a thread of their own would cost more than they do."""

    def run(self, work: Callable[[], T], timeout_seconds: float) -> T:  # noqa: ARG002
        """It cannot be left behind."""
        return work()


class OwnThreads:
    """At most `threads` daemon threads, begun at the first call: they never hold up an exit.

    Where the core is short they give way as `nice` says (`serving.thread_priority`).
    """

    def __init__(self, name: str, threads: int, nice: int = 0) -> None:
        if threads < 1:
            raise ValueError(f"{threads} threads for {name!r}; give at least 1")
        self._name = name
        self._threads = threads
        self._nice = nice
        self._calls: SimpleQueue[tuple[Future[Any], Callable[[], Any]]] = SimpleQueue()
        self._idle = threading.Semaphore(threads)
        self._starting = threading.Lock()
        self._started = 0

    def run(self, work: Callable[[], T], timeout_seconds: float) -> T:
        if not self._idle.acquire(blocking=False):
            raise BulkheadFullError
        self._start_threads()
        call: Future[T] = Future()
        self._calls.put((call, work))
        try:
            return call.result(timeout_seconds)
        except TimeoutError:
            if call.done():  # it is the work's own
                return call.result()
            raise LeftBehindError(call) from None

    def _start_threads(self) -> None:
        if self._started == self._threads:
            return
        with self._starting:
            for at in range(self._started, self._threads):
                threading.Thread(
                    target=self._serve, name=f"stage-{self._name}-{at}", daemon=True
                ).start()
            self._started = self._threads

    def _serve(self) -> None:
        if self._nice:
            give_way(self._nice)
        while True:
            call, work = self._calls.get()
            answer = _answered(call, work)
            del call, work  # an idle thread holds on to no event
            self._idle.release()  # before the caller knows: it may call again at once
            answer()
            del answer


def _answered(call: Future[T], work: Callable[[], T]) -> Callable[[], None]:
    """Do the work; returns what tells the caller."""
    try:
        found = work()
    except BaseException as error:
        return partial(call.set_exception, error)
    return partial(call.set_result, found)
