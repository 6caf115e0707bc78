"""What came in one turn is settled together; what fails or is not settled goes another way."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from data_contracts.config import Priority
from serving.quick_lane import QuickLane

SHARES: dict[Priority, float] = {"interactive": 1.0, "normal": 0.5, "bulk": 0.1, "shadow": 0.1}


class Settles:
    """Doubles what is even; cannot answer for odd numbers, and fails over batches with a 13."""

    def __init__(self) -> None:
        self.calls: list[list[int]] = []

    def __call__(self, items: Sequence[int]) -> list[int | None]:
        self.calls.append(list(items))
        if 13 in items:
            raise RuntimeError("thirteen")
        return [None if item % 2 else 2 * item for item in items]


def submitted(settles: Settles, *requests: Sequence[int]) -> list[Sequence[int | None]]:
    async def all_at_once() -> list[Sequence[int | None]]:
        lane = QuickLane(settles, 10, SHARES)
        return list(await asyncio.gather(*(lane.submit(items) for items in requests)))

    return asyncio.run(all_at_once())


def test_requests_of_one_turn_are_settled_in_one_call() -> None:
    settles = Settles()
    assert submitted(settles, [2], [4, 5], [6]) == [[4], [8, None], [12]]
    assert settles.calls == [[2, 4, 5, 6]]


def test_a_request_that_fails_costs_its_neighbours_nothing() -> None:
    settles = Settles()
    assert submitted(settles, [2], [13, 4], [6]) == [[4], [None, None], [12]]
    assert settles.calls[1:] == [[2], [13, 4], [6]]


def test_a_class_finds_a_place_while_fewer_than_its_share_are_taken() -> None:
    async def filled() -> None:
        lane = QuickLane(Settles(), 10, SHARES)
        assert lane.has_place("bulk")
        first = lane.submit([2, 4, 6])
        assert not lane.has_place("bulk")
        assert lane.has_place("normal", 2)
        assert not lane.has_place("normal", 3)
        assert lane.has_place("interactive", 7)
        assert not lane.has_place("interactive", 8)
        await first
        assert lane.has_place("bulk")

    asyncio.run(filled())


def test_a_client_that_left_meanwhile_is_no_error() -> None:
    async def left() -> list[int | None]:
        lane = QuickLane(Settles(), 10, SHARES)
        gone, stays = lane.submit([2]), lane.submit([4])
        gone.cancel()
        return list(await stays)

    assert asyncio.run(left()) == [8]
