"""Which packets are decoded for which frames, on timelines made by hand."""

from __future__ import annotations

from pipelines.features.media.packets import Timeline


def timeline(ticks: list[int], keys: list[int]) -> Timeline:
    is_key = [position in keys for position in range(len(ticks))]
    return Timeline([], ticks, is_key, 0.1)


TEN = timeline(list(range(10)), [0, 4, 8])


def test_marks_are_spread_evenly_in_time() -> None:
    assert TEN.evenly(4) == [0, 3, 6, 9]
    assert TEN.evenly(1) == [0]
    assert TEN.evenly(10) == TEN.evenly(99) == list(range(10))


def test_a_frame_that_stays_for_long_is_taken_once() -> None:
    assert timeline([0, 1, 2, 100], [0]).evenly(3) == [0, 2, 3]


def test_frames_are_taken_in_the_order_in_which_they_are_shown() -> None:
    assert timeline([0, 3, 1, 2], [0]).evenly(9) == [0, 2, 3, 1]


def test_decoding_starts_at_the_last_key_frame_that_is_shown_before() -> None:
    assert [TEN.key_before(position) for position in (0, 3, 4, 7, 9)] == [0, 0, 4, 4, 8]
    leading = timeline([0, 1, 5, 4], [0, 2])
    assert leading.key_before(3) == 0
    assert timeline([0, 1], []).key_before(1) == 0


def test_packets_between_a_wanted_frame_and_the_next_key_frame_are_not_decoded() -> None:
    assert TEN.decoded([1, 5]) == 4
    assert TEN.decoded([1, 2, 3]) == 4
    assert TEN.decoded(list(range(10))) == 10


def test_where_decoding_takes_too_long_key_frames_stand_for_the_wanted_ones() -> None:
    assert TEN.within([3, 7, 9], decoded=10) == [3, 7, 9]
    assert TEN.within([3, 7, 9], decoded=9) == [0, 4, 8]
    assert timeline(list(range(10)), [0]).within([3, 7, 9], decoded=9) == [3, 7, 9]
