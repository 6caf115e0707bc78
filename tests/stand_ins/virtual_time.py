"""An event loop whose time passes at once, and worker threads that take time only in it."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor, Future
from typing import Any, TypeVar

T = TypeVar("T")


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """Where nothing is ready, the clock jumps to the next timer."""

    def __init__(self) -> None:
        self.now = 0.0
        super().__init__(_Impatient(self))

    def time(self) -> float:
        return self.now


class _Impatient(selectors.SelectSelector):
    def __init__(self, loop: VirtualTimeLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise RuntimeError("nothing will ever happen again: the test waits for no timer")
        self._loop.now += max(timeout, 0.0)
        return super().select(0)


class SimulatedThreads(Executor):
    """Does the work after `seconds(items)` of virtual time, in the loop's own thread.

    Where `seconds` says None, it never ends. `calls` are the items of each call.
    """

    def __init__(self, loop: VirtualTimeLoop, seconds: Callable[[Any], float | None]) -> None:
        self._loop = loop
        self._seconds = seconds
        self.calls: list[Any] = []

    def submit(self, work: Callable[..., T], /, *given: Any, **named: Any) -> Future[T]:
        items = given[0]
        self.calls.append(list(items))
        done: Future[T] = Future()
        seconds = self._seconds(items)
        if seconds is not None:
            self._loop.call_later(seconds, lambda: done.set_result(work(*given, **named)))
        return done


def in_virtual_time(story: Callable[[VirtualTimeLoop], Coroutine[Any, Any, T]]) -> T:
    """What the coroutine returns, run to its end without waiting."""
    loop = VirtualTimeLoop()
    try:
        return loop.run_until_complete(story(loop))
    finally:
        loop.run_until_complete(_end_the_rest())
        loop.close()


async def _end_the_rest() -> None:
    waiting = asyncio.all_tasks() - {asyncio.current_task()}
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
