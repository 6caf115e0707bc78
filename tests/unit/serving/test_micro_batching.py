"""Batches over an event loop whose time is virtual: no test waits, and every one is exact."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from data_contracts.config import Batching, Priority
from serving.micro_batching import ClientLeft, MicroBatcher, Uncounted
from serving.shedding import Refused
from tests.stand_ins.virtual_time import SimulatedThreads, VirtualTimeLoop, in_virtual_time
from tests.unit.serving.test_admission import admission

CALL_SECONDS = 0.01


def shout(items: Sequence[str]) -> list[str]:
    """The work: each item alone decides its answer."""
    if any(item.startswith("poison") for item in items):
        raise ValueError("poison")
    return [item.upper() for item in items]


class Counts(Uncounted):
    """Remembers."""

    def __init__(self) -> None:
        self.seen: Counter[str] = Counter()
        self.events: list[int] = []

    def withdrawn(self, priority: Priority) -> None:
        self.seen["withdrawn"] += 1

    def decided(self, priority: Priority, events: int, seconds: float) -> None:
        self.events.append(events)

    def split(self) -> None:
        self.seen["split"] += 1


class Stage:
    """A batcher over simulated threads; each call takes `seconds(items)`."""

    def __init__(
        self,
        loop: VirtualTimeLoop,
        seconds: Callable[[Sequence[str]], float | None] = lambda _items: CALL_SECONDS,
        workers: int = 1,
        events: int = 8,
        decide: Callable[[Sequence[str]], Sequence[str]] = shout,
    ) -> None:
        self.loop = loop
        self.counts = Counts()
        self.threads = SimulatedThreads(loop, seconds)
        self.batcher: MicroBatcher[str, str] = MicroBatcher(
            decide, self.threads, workers, admission(room=100),
            Batching(maximum_events=events, maximum_milliseconds=1000),
            clock=loop.time, counts=self.counts,
        )  # fmt: skip

    def ask(
        self,
        *items: str,
        priority: Priority = "interactive",
        within: float = 10.0,
        client_left: Callable[[], Awaitable[object]] | None = None,
    ) -> asyncio.Task[list[str]]:
        deadline = self.loop.time() + within
        return self.loop.create_task(self.batcher.submit(items, priority, deadline, client_left))


def story(tell: Callable[[VirtualTimeLoop], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    """A test that is told in virtual time."""

    def test() -> None:
        in_virtual_time(tell)

    test.__name__ = tell.__name__
    return test


@story
async def test_a_request_that_finds_the_worker_free_goes_at_once(loop: VirtualTimeLoop) -> None:
    stage = Stage(loop)
    assert await stage.ask("a") == ["A"]
    assert loop.time() == pytest.approx(CALL_SECONDS)
    assert await stage.ask("b") == ["B"]
    assert loop.time() == pytest.approx(2 * CALL_SECONDS)


@story
async def test_what_comes_while_the_worker_is_busy_is_decided_together(
    loop: VirtualTimeLoop,
) -> None:
    stage = Stage(loop)
    found = await asyncio.gather(stage.ask("a"), stage.ask("b", "c"), stage.ask("d"))
    assert found == [["A"], ["B", "C"], ["D"]]
    assert stage.threads.calls == [["a"], ["b", "c", "d"]]
    assert stage.counts.events == [1, 3]
    assert loop.time() == pytest.approx(2 * CALL_SECONDS)


@story
async def test_every_worker_takes_its_part(loop: VirtualTimeLoop) -> None:
    stage = Stage(loop, workers=2)
    await asyncio.gather(*(stage.ask(item) for item in "abcd"))
    assert stage.threads.calls == [["a"], ["b"], ["c", "d"]]


@story
async def test_a_long_request_is_answered_in_order_from_its_parts(loop: VirtualTimeLoop) -> None:
    stage = Stage(loop, workers=2, events=3)
    items = [f"item {number}" for number in range(10)]
    assert await stage.ask(*items) == [item.upper() for item in items]
    assert [len(call) for call in stage.threads.calls] == [3, 3, 3, 1]


@story
async def test_a_request_of_nothing_is_answered_with_nothing(loop: VirtualTimeLoop) -> None:
    stage = Stage(loop)
    assert await stage.ask() == []
    assert stage.threads.calls == []


@story
async def test_a_poisonous_event_fails_its_own_request_and_no_other(loop: VirtualTimeLoop) -> None:
    stage = Stage(loop)
    first = stage.ask("first")
    asked = [stage.ask("a"), stage.ask("b", "poison"), stage.ask("c"), stage.ask("poison 2")]
    found = await asyncio.gather(first, *asked, return_exceptions=True)
    assert [found[0], found[1], found[3]] == [["FIRST"], ["A"], ["C"]]
    assert [type(found[at]) for at in (2, 4)] == [ValueError, ValueError]
    assert stage.counts.seen == {"split": 1}
    assert await stage.ask("after") == ["AFTER"]


@story
async def test_the_rest_of_a_request_that_failed_is_not_begun(loop: VirtualTimeLoop) -> None:
    stage = Stage(loop, events=1)
    with pytest.raises(ValueError, match="poison"):
        await stage.ask("poison", "b", "c")
    assert await stage.ask("after") == ["AFTER"]
    assert stage.threads.calls == [["poison"], ["after"]]


@story
async def test_an_answer_too_few_is_an_error_and_no_shifted_verdict(loop: VirtualTimeLoop) -> None:
    stage = Stage(loop, decide=lambda items: [item.upper() for item in items[1:]])
    with pytest.raises(ValueError, match="0 answers to 1 items"):
        await stage.ask("a")


@story
async def test_a_cancelled_request_is_dropped_before_its_work(loop: VirtualTimeLoop) -> None:
    stage = Stage(loop)
    busy, gone, here = stage.ask("busy"), stage.ask("gone"), stage.ask("here")
    await asyncio.sleep(CALL_SECONDS / 2)
    gone.cancel()
    assert await asyncio.gather(busy, here) == [["BUSY"], ["HERE"]]
    assert gone.cancelled()
    assert stage.threads.calls == [["busy"], ["here"]]
    assert stage.counts.seen == {"withdrawn": 1}


@story
async def test_a_client_that_leaves_while_it_waits_is_dropped_before_its_work(
    loop: VirtualTimeLoop,
) -> None:
    stage = Stage(loop)
    watched: list[str] = []

    async def leaves(after: float) -> None:
        watched.append("watched")
        await asyncio.sleep(after)

    at_once = stage.ask("at once", client_left=lambda: leaves(0.0))
    gone = stage.ask("gone", client_left=lambda: leaves(CALL_SECONDS / 2))
    stays = stage.ask("stays", client_left=lambda: leaves(60.0))
    with pytest.raises(ClientLeft):
        await gone
    assert await asyncio.gather(at_once, stays) == [["AT ONCE"], ["STAYS"]]
    assert stage.threads.calls == [["at once"], ["stays"]]
    assert len(watched) == 2, "who goes at once is not watched"
    assert loop.time() < 1.0


@story
async def test_who_cannot_be_answered_in_time_is_refused_at_once(loop: VirtualTimeLoop) -> None:
    stage = Stage(loop, lambda _items: 5.0)
    busy = stage.ask("busy")
    await asyncio.sleep(1.0)
    with pytest.raises(Refused) as refused:
        await stage.ask("late", within=0.5)
    assert (refused.value.refusal.reason, loop.time()) == ("deadline", 1.0)
    with pytest.raises(Refused):
        stage.batcher.turn_away("interactive", loop.time() + 0.5)
    stage.batcher.turn_away("interactive", loop.time() + 60.0)
    assert await busy == ["BUSY"]


@story
async def test_while_all_workers_hang_who_waits_is_refused_before_the_deadline(
    loop: VirtualTimeLoop,
) -> None:
    stage = Stage(loop, lambda _items: None)
    hung = stage.ask("hung")
    await asyncio.sleep(0)
    with pytest.raises(Refused) as refused:
        await stage.ask("waits", within=0.08)
    assert refused.value.refusal.reason == "expired"
    assert 0.04 <= loop.time() <= 0.08
    assert not hung.done()


@story
async def test_a_tighter_deadline_that_comes_later_is_kept_too(loop: VirtualTimeLoop) -> None:
    stage = Stage(loop, lambda _items: None)
    stage.ask("hung")
    await asyncio.sleep(0)
    patient = stage.ask("patient", within=0.5)
    hasty = stage.ask("hasty", within=0.05)
    with pytest.raises(Refused):
        await hasty
    assert loop.time() <= 0.05
    assert not patient.done()
    with pytest.raises(Refused):
        await patient
    assert loop.time() <= 0.5


@story
async def test_beside_a_worker_that_hangs_the_other_answers_everything(
    loop: VirtualTimeLoop,
) -> None:
    stage = Stage(loop, lambda items: None if "hang" in items else CALL_SECONDS, workers=2)
    stage.ask("hang")
    for number in range(200):
        assert await stage.ask(f"n{number}", within=0.08) == [f"N{number}"]


@story
async def test_a_stopping_server_refuses_who_waits_and_finishes_what_has_begun(
    loop: VirtualTimeLoop,
) -> None:
    stage = Stage(loop)
    begun, waits = stage.ask("begun"), stage.ask("waits")
    await asyncio.sleep(0)
    stage.batcher.close()
    found = await asyncio.gather(begun, waits, return_exceptions=True)
    assert found[0] == ["BEGUN"]
    assert isinstance(found[1], Refused)
    assert found[1].refusal.reason == "stopping"


@story
async def test_threads_that_were_shut_down_are_an_error_and_no_endless_wait(
    loop: VirtualTimeLoop,
) -> None:
    threads = ThreadPoolExecutor(1)
    threads.shutdown()
    batcher: MicroBatcher[str, str] = MicroBatcher(
        shout, threads, 1, admission(), Batching(maximum_events=8, maximum_milliseconds=10),
        clock=loop.time,
    )  # fmt: skip
    for _ in range(2):
        with pytest.raises(RuntimeError, match="after shutdown"):
            await batcher.submit(["a"], "normal", 10.0)


@story
async def test_neighbours_change_nothing_whoever_comes_when(loop: VirtualTimeLoop) -> None:
    """Every request gets the answers to its own items, under any load, with poison among them."""
    rng = random.Random(3)
    stage = Stage(loop, lambda items: rng.expovariate(1 / CALL_SECONDS), workers=2, events=4)
    asked: list[tuple[tuple[str, ...], asyncio.Task[list[str]]]] = []
    for number in range(500):
        names = tuple(f"{number}.{part}" for part in range(rng.randrange(1, 7)))
        if rng.random() < 0.05:
            names = (*names, f"poison {number}")
        priority: Priority = rng.choice(["interactive", "normal", "bulk", "shadow"])  # type: ignore[assignment]
        asked.append((names, stage.ask(*names, priority=priority, within=rng.uniform(0.05, 2.0))))
        await asyncio.sleep(rng.expovariate(4 / CALL_SECONDS))
    found = await asyncio.gather(*(task for _, task in asked), return_exceptions=True)
    kinds: Counter[str] = Counter()
    for (names, _), answer in zip(asked, found, strict=True):
        kinds[type(answer).__name__] += 1
        if isinstance(answer, ValueError):
            assert names[-1].startswith("poison")
        elif not isinstance(answer, Refused):
            assert answer == [name.upper() for name in names]
    assert set(kinds) == {"list", "ValueError", "Refused"}
    assert min(kinds.values()) >= 5


def test_over_real_threads_answers_come_in_order() -> None:
    async def ask_many() -> list[list[str]]:
        with ThreadPoolExecutor(2) as threads:
            batcher: MicroBatcher[str, str] = MicroBatcher(
                shout, threads, 2, admission(room=1000, share=1.0),
                Batching(maximum_events=16, maximum_milliseconds=1000),
            )  # fmt: skip
            far = asyncio.get_running_loop().time() + 3600
            asked = (batcher.submit([f"a{n}", f"b{n}"], "normal", far) for n in range(300))
            return await asyncio.gather(*asked)

    assert asyncio.run(ask_many()) == [[f"A{n}", f"B{n}"] for n in range(300)]


def over_one_thread(decide: Callable[[Sequence[str]], Sequence[str]], *items: str) -> list[Any]:
    """What becomes of requests of one item each, decided one by one in a real thread."""

    async def ask_all() -> list[Any]:
        with ThreadPoolExecutor(1) as threads:
            batcher: MicroBatcher[str, str] = MicroBatcher(
                decide, threads, 1, admission(), Batching(maximum_events=1, maximum_milliseconds=10)
            )
            far = time.monotonic() + 3600
            asked = [asyncio.ensure_future(batcher.submit([one], "normal", far)) for one in items]
            return await asyncio.gather(*asked, return_exceptions=True)

    return asyncio.run(ask_all())


def test_a_thread_that_is_told_to_exit_is_an_error_for_its_batch_only() -> None:
    def decide(items: Sequence[str]) -> Sequence[str]:
        if "exit" in items:
            raise SystemExit
        return shout(items)

    found = over_one_thread(decide, "a", "exit", "b")
    assert [found[0], found[2]] == [["A"], ["B"]]
    assert str(found[1]) == "the batch was not decided (SystemExit)"


def test_calls_that_are_dropped_when_the_threads_end_are_answered_with_an_error() -> None:
    entered, release = threading.Event(), threading.Event()

    def decide(items: Sequence[str]) -> Sequence[str]:
        entered.set()
        release.wait(60)
        return shout(items)

    async def ask_two() -> list[Any]:
        threads = ThreadPoolExecutor(1)
        batcher: MicroBatcher[str, str] = MicroBatcher(
            decide, threads, 2, admission(), Batching(maximum_events=1, maximum_milliseconds=10)
        )
        far = time.monotonic() + 3600
        asked = [asyncio.ensure_future(batcher.submit([one], "normal", far)) for one in "ab"]
        await asyncio.sleep(0)
        await asyncio.to_thread(entered.wait, 60)
        threads.shutdown(wait=False, cancel_futures=True)
        release.set()
        return await asyncio.gather(*asked, return_exceptions=True)

    found = asyncio.run(ask_two())
    assert found[0] == ["A"]
    assert str(found[1]) == "the batch was not decided (CancelledError)"
