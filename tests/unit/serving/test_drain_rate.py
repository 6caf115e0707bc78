"""The measured drain rate, on batches with answers worked by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.drain_rate import DrainRate, _filled


def settled(workers: int = 2, seconds_per_work: float = 0.001) -> DrainRate:
    """A rate that has measured just what it believed, for a long time; idle since second 0."""
    rate = DrainRate(workers, seconds_per_work)
    for at in range(-1000, 0):
        rate.end(rate.begin("shadow", 10.0, at), at + 10.0 * seconds_per_work)
    return rate


def test_what_is_believed_at_first_gives_way_to_what_is_measured() -> None:
    rate = DrainRate(1, 0.001)
    assert rate.seconds(3.0) == pytest.approx(0.003)
    for at in range(2000):
        rate.end(rate.begin("normal", 2.0, at), at + 0.008)
    assert rate.seconds_per_work == pytest.approx(0.004, rel=1e-3)


def test_one_batch_that_hung_hardly_moves_the_estimate() -> None:
    rate = settled()
    rate.end(rate.begin("normal", 1.0, 0.0), 60.0)
    assert rate.seconds_per_work == pytest.approx(0.001, rel=0.02)


def test_a_cautious_estimate_allows_for_how_much_batches_differ() -> None:
    steady, shaky = settled(), settled()
    for at in range(1000):
        shaky.end(shaky.begin("normal", 1.0, at), at + (0.0005 if at % 2 else 0.0015))
    assert steady.cautious_seconds(1.0) == pytest.approx(0.001, rel=1e-3)
    assert shaky.cautious_seconds(1.0) == pytest.approx(0.001 + 2 * 0.0005, rel=0.05)


def test_waiting_work_begins_when_the_workers_are_through_with_what_is_before_it() -> None:
    rate = settled()
    assert rate.seconds_until_worked_off(0.0, "interactive", 0.0) == 0.0
    assert rate.seconds_until_worked_off(100.0, "interactive", 0.0) == pytest.approx(0.05)
    rate.begin("normal", 20.0, 0.0)  # 20 ms on one worker
    assert rate.seconds_until_worked_off(10.0, "interactive", 0.0) == pytest.approx(0.01)
    assert rate.seconds_until_worked_off(100.0, "interactive", 0.0) == pytest.approx(0.06)


def test_a_worker_that_hangs_is_expected_to_do_so_and_the_other_goes_on() -> None:
    rate = settled()
    rate.begin("normal", 10.0, 0.0)
    assert rate.seconds_until_worked_off(100.0, "interactive", 10.0) == pytest.approx(0.1)
    rate.begin("normal", 10.0, 0.0)
    assert rate.seconds_until_worked_off(0.0, "interactive", 10.0) == pytest.approx(9.99)


def test_a_lower_class_waits_longer_by_what_the_higher_ones_take() -> None:
    rate = settled(workers=1)
    for tick in range(500):  # interactive work keeps the worker busy for half of five seconds
        now = tick / 100
        rate.end(rate.begin("interactive", 5.0, now), now + 0.005)
    assert rate.left_share("interactive", 5.0) == 1.0
    assert rate.left_share("normal", 5.0) == pytest.approx(0.5, abs=0.02)
    waits = [rate.seconds_until_worked_off(100.0, one, 5.0) for one in ("interactive", "normal")]
    assert waits == pytest.approx([0.1, 0.2], rel=0.05)
    assert rate.left_share("normal", 15.0) == pytest.approx(1.0, abs=1e-3)


@given(
    st.lists(st.floats(0, 100), min_size=1, max_size=5).map(sorted),
    st.floats(0, 100),
)
def test_the_workers_together_have_done_the_work_when_it_is_used_up(
    free_after: list[float], seconds: float
) -> None:
    level = _filled(free_after, seconds)
    done = sum(max(level - free, 0.0) for free in free_after)
    assert done == pytest.approx(seconds, abs=1e-9)
    assert level >= free_after[0] or seconds == pytest.approx(0)


def test_no_workers_or_no_speed_is_a_wrong_argument() -> None:
    with pytest.raises(ValueError, match="0 workers at"):
        DrainRate(0, 0.001)
    with pytest.raises(ValueError, match="at 0 seconds a unit"):
        DrainRate(1, 0)
