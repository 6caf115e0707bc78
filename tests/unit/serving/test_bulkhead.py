"""A hung call costs its own thread and nobody else's time. Events, no sleeps."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from serving.bulkhead import BulkheadFullError, CallersThread, LeftBehindError, OwnThreads

FOREVER = 60.0


@pytest.fixture
def release() -> Iterator[threading.Event]:
    """Ends whatever the test left hanging."""
    event = threading.Event()
    yield event
    event.set()


def test_work_runs_in_a_thread_of_the_stage_and_its_answer_comes_back() -> None:
    threads = OwnThreads("image", 2)
    assert threads.run(lambda: threading.current_thread().name, FOREVER).startswith("stage-image-")
    assert CallersThread().run(threading.current_thread, 0.0) is threading.current_thread()


def test_what_the_work_raises_comes_back_even_a_time_out_of_its_own() -> None:
    def too_late() -> None:
        raise TimeoutError("the work's own")

    for bulkhead in (OwnThreads("image", 1), CallersThread()):
        with pytest.raises(TimeoutError, match="the work's own"):
            bulkhead.run(too_late, FOREVER)
        assert bulkhead.run(lambda: "next", FOREVER) == "next"


def test_a_call_that_hangs_is_left_behind_and_a_full_bulkhead_refuses_at_once(
    release: threading.Event,
) -> None:
    threads = OwnThreads("image", 2)
    left: list[LeftBehindError[bool]] = []
    for _ in range(2):
        with pytest.raises(LeftBehindError) as caught:
            threads.run(lambda: release.wait(FOREVER), 0.001)
        left.append(caught.value)
    with pytest.raises(BulkheadFullError):
        threads.run(lambda: "never run", FOREVER)
    release.set()
    assert [one.call.result(FOREVER) for one in left] == [True, True]
    assert threads.run(lambda: "answered again", FOREVER) == "answered again"


def test_a_caller_may_call_again_as_soon_as_it_has_its_answer() -> None:
    threads = OwnThreads("image", 1)
    assert [threads.run(lambda at=at: at, FOREVER) for at in range(2000)] == list(range(2000))


def test_threads_are_daemons_and_begin_at_the_first_call() -> None:
    def begun() -> int:
        return sum(one.name.startswith("stage-lazy-") for one in threading.enumerate())

    threads = OwnThreads("lazy", 3)
    assert begun() == 0
    assert threads.run(lambda: threading.current_thread().daemon, FOREVER)
    assert begun() == 3


def test_no_threads_are_a_wrong_argument() -> None:
    with pytest.raises(ValueError, match="0 threads for 'image'"):
        OwnThreads("image", 0)
