"""What is done after the answer: all of it, in order, as long as there is room."""

from __future__ import annotations

import threading

from serving import metrics
from serving.afterwards import Afterwards
from serving.meter import Meter


def degraded(meter: Meter, reason: str) -> float:
    meter.fold()
    return float(metrics.DEGRADED.labels(reason)._value.get())


def test_everything_offered_is_done_in_order_before_it_closes() -> None:
    done: list[int] = []
    afterwards = Afterwards(done.append, 10, Meter())
    assert all(afterwards.offer(number) for number in range(8))
    afterwards.close()
    assert done == list(range(8))


def test_where_the_line_is_full_work_is_dropped_and_counted() -> None:
    meter, begun, go_on = Meter(), threading.Event(), threading.Event()

    def act(_number: int) -> None:
        begun.set()
        go_on.wait(10)

    before = degraded(meter, "revision_dropped")
    afterwards = Afterwards(act, 1, meter)
    assert afterwards.offer(1)
    assert begun.wait(10)
    assert afterwards.offer(2)
    assert not afterwards.offer(3)
    go_on.set()
    afterwards.close()
    assert degraded(meter, "revision_dropped") == before + 1


def test_a_failure_is_counted_and_what_follows_is_done() -> None:
    meter, done = Meter(), list[int]()

    def act(number: int) -> None:
        if number == 1:
            raise RuntimeError
        done.append(number)

    before = degraded(meter, "revision_failed")
    afterwards = Afterwards(act, 10, meter)
    for number in (1, 2):
        afterwards.offer(number)
    afterwards.close()
    assert done == [2]
    assert degraded(meter, "revision_failed") == before + 1


def test_a_server_that_stops_drops_what_takes_too_long_and_counts_it() -> None:
    meter, begun, go_on = Meter(), threading.Event(), threading.Event()
    done: list[int] = []

    def act(number: int) -> None:
        begun.set()
        go_on.wait(10)
        done.append(number)

    before = degraded(meter, "revision_dropped")
    afterwards = Afterwards(act, 10, meter)
    for number in (1, 2, 3):
        afterwards.offer(number)
    assert begun.wait(10)
    threading.Timer(0.05, go_on.set).start()
    afterwards.close(seconds=0.01)
    assert done == [1]
    assert degraded(meter, "revision_dropped") == before + 2


def test_without_work_closing_waits_for_nothing() -> None:
    Afterwards(lambda _work: None, 1, Meter()).close()
