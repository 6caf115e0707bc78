"""The simulated queues against hand-worked traces, closed forms and what never can be otherwise."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.capacity.pods import Floats, Group, serve
from tests.unit.serving.capacity_cases import of_requests, poisson

ALONE = np.ones((1, 2))
COUNT, SKIPPED = 1_500_000, 100_000


def waits(rate: float, work: Floats, group: Group, costs: Floats = ALONE) -> tuple[Floats, Floats]:
    """Milliseconds in queue and in all, once the queue is in its steady state."""
    asked = poisson(len(work), rate, work, group.gateways)
    started, departed, _ = serve(asked, costs, group)
    return (started - asked.arrival)[SKIPPED:], (departed - asked.arrival)[SKIPPED:]


def exponential(count: int = COUNT) -> Floats:
    return np.random.default_rng(2).exponential(size=count)


def test_one_worker_serves_in_order_of_arrival() -> None:
    started, departed, busy = serve(
        of_requests([0, 1, 2, 9], [3, 1, 1, 2]), ALONE, Group(1, 1, 1, 1)
    )
    assert started.tolist() == [0, 3, 4, 9]
    assert departed.tolist() == [3, 4, 5, 11]
    assert busy == 7


def test_a_free_worker_takes_what_waits_as_one_batch_and_waits_for_no_more() -> None:
    costs = np.array([[1.0, 1.0, 0.5]])
    started, departed, busy = serve(
        of_requests([0, 1, 2, 3], [4, 2, 2, 5]), costs, Group(1, 1, 2, 1)
    )
    assert started.tolist() == [0, 4, 4, 6]  # the first goes alone, two wait, one is too many
    assert departed.tolist() == [4, 6, 6, 11]
    assert busy == 4 + (2 + 2) * 0.5 + 5


def test_the_pod_with_fewer_of_the_gateways_own_requests_is_taken() -> None:
    asked = of_requests([0, 1, 2], [10, 10, 10])._replace(
        looks=np.array([[0.1, 0.9], [0.1, 0.9], [0.1, 0.1]])
    )
    started, *_ = serve(asked, ALONE, Group(2, 1, 1, 1))
    assert started.tolist() == [0, 1, 10]  # pod 0; pod 1, which is empty; pod 0 again


def test_a_gateway_does_not_see_what_others_sent() -> None:
    asked = of_requests([0, 1], [10, 10])._replace(
        looks=np.array([[0.1, 0.9], [0.1, 0.9]]), gateway=np.array([0, 1])
    )
    started, *_ = serve(asked, ALONE, Group(2, 1, 1, gateways=2))
    assert started.tolist() == [0, 10]


def test_a_lost_pod_takes_what_it_holds_and_gets_nothing_more() -> None:
    asked = of_requests([0, 1, 6], [10, 10, 1])._replace(
        looks=np.array([[0.9, 0.9], [0.9, 0.9], [0.9, 0.9]])
    )
    started, departed, _ = serve(asked, ALONE, Group(2, 1, 1, 1, lost_at=5.0, pods_left=1))
    assert started.tolist() == [0, math.inf, 6]
    assert departed.tolist() == [math.inf, math.inf, 7]


@pytest.mark.parametrize("load", [0.5, 0.8])
def test_one_exponential_worker_is_an_m_m_1_queue(load: float) -> None:
    wait, total = waits(load, exponential(), Group(1, 1, 1, 1))
    assert wait.mean() == pytest.approx(load / (1 - load), rel=0.05)
    assert np.quantile(total, 0.99) == pytest.approx(math.log(100) / (1 - load), rel=0.05)


@pytest.mark.parametrize(("workers", "load"), [(2, 0.7), (4, 0.8), (16, 0.8)])
def test_several_exponential_workers_follow_erlang_c(workers: int, load: float) -> None:
    offered = workers * load
    top = offered**workers / math.factorial(workers) / (1 - load)
    below = sum(offered**n / math.factorial(n) for n in range(workers))
    must_wait = top / (below + top)
    wait, _ = waits(offered, exponential(), Group(1, workers, 1, 1))
    assert (wait > 0).mean() == pytest.approx(must_wait, rel=0.03)
    assert wait.mean() == pytest.approx(must_wait / (workers * (1 - load)), rel=0.06)
    p99 = math.log(must_wait / 0.01) / (workers * (1 - load))
    assert np.quantile(wait, 0.99) == pytest.approx(p99, rel=0.06)


@pytest.mark.parametrize("load", [0.5, 0.8])
def test_equal_times_are_an_m_d_1_queue(load: float) -> None:
    wait, _ = waits(load, np.ones(COUNT), Group(1, 1, 1, 1))
    assert wait.mean() == pytest.approx(load / (2 * (1 - load)), rel=0.03)


@pytest.mark.parametrize(("batch", "load"), [(2, 0.8), (8, 0.6), (8, 0.9)])
def test_batches_in_equal_times_are_an_m_d_1_queue_with_bulk_service(
    batch: int, load: float
) -> None:
    costs = np.array([[1.0, *(1 / size for size in range(1, batch + 1))]])  # a batch takes 1 ms
    wait, _ = waits(load * batch, np.ones(COUNT), Group(1, 1, batch, 1), costs)
    assert wait.mean() == pytest.approx(bulk_wait(load * batch, batch), rel=0.03)


def bulk_wait(rate: float, batch: int, states: int = 400) -> float:
    """Mean wait where up to `batch` go together in 1 ms (Bailey 1954), by the chain of what a
    batch leaves behind, and Little's law over a cycle from one end of a batch to the next.
    """
    arrivals = np.exp([n * math.log(rate) - rate - math.lgamma(n + 1) for n in range(states)])
    chain = np.zeros((states, states))
    for left in range(states):
        rest = max(left - batch, 0)
        chain[left, rest:] = arrivals[: states - rest]
        chain[left, -1] += 1 - chain[left].sum()
    share = np.linalg.matrix_power(chain, 4096)[0]
    rest = np.maximum(np.arange(states) - batch, 0)
    queue_time = (share * (rest + rate / 2)).sum()
    return float(queue_time / (1 + share[0] / rate) / rate)


def test_two_looks_are_as_good_as_mitzenmacher_says() -> None:
    load, pods = 0.9, 60
    _, total = waits(load * pods, exponential(), Group(pods, 1, 1, 1))
    limit = sum(load ** (2**level - 2) for level in range(1, 12))
    assert total.mean() == pytest.approx(limit, rel=0.05)


def test_gateways_that_see_less_choose_worse_but_never_worse_than_at_random() -> None:
    load, pods = 0.8, 30
    means = [
        waits(load * pods, exponential(), Group(pods, 1, 1, gateways))[1].mean()
        for gateways in (1, 5, 2000)
    ]
    assert means == sorted(means)
    assert means[-1] < 1.05 / (1 - load)


GAPS = st.lists(st.floats(0, 5), min_size=1, max_size=40)
WORK = st.lists(st.floats(0, 9), min_size=40, max_size=40)


@given(gaps=GAPS, work=WORK, workers=st.integers(1, 4), stretched=st.floats(1, 3))
def test_nobody_waits_longer_at_a_lower_rate(
    gaps: list[float], work: list[float], workers: int, stretched: float
) -> None:
    arrival, work = np.cumsum(gaps), work[: len(gaps)]
    fast, slow = (
        serve(of_requests(at, work), ALONE, Group(1, workers, 1, 1))[0] - at
        for at in (arrival, stretched * arrival)
    )
    assert (slow <= fast + 1e-9).all()


@given(gaps=GAPS, work=WORK, workers=st.integers(1, 4))
def test_nobody_waits_longer_for_one_more_worker_or_less_work(
    gaps: list[float], work: list[float], workers: int
) -> None:
    arrival, work = np.cumsum(gaps), np.array(work[: len(gaps)])
    asked = of_requests(arrival, work)
    before = serve(asked, ALONE, Group(1, workers, 1, 1))[0]
    assert (serve(asked, ALONE, Group(1, workers + 1, 1, 1))[0] <= before + 1e-9).all()
    assert (serve(asked._replace(work=work / 2), ALONE, Group(1, workers, 1, 1))[0]
            <= before + 1e-9).all()  # fmt: skip


@given(
    gaps=GAPS, work=WORK, looks=st.lists(st.floats(0, 0.999), min_size=80, max_size=80),
    pods=st.integers(1, 4), workers=st.integers(1, 3), batch=st.integers(1, 4),
)  # fmt: skip
def test_all_work_is_done_once_and_no_sooner_than_it_takes(
    gaps: list[float], work: list[float], looks: list[float], pods: int, workers: int, batch: int
) -> None:
    count = len(gaps)
    asked = of_requests(np.cumsum(gaps), work[:count])._replace(
        looks=np.array(looks).reshape(-1, 2)[:count]
    )
    costs = np.ones((1, batch + 1))
    started, departed, busy = serve(asked, costs, Group(pods, workers, batch, 1))
    assert busy == pytest.approx(asked.work.sum())
    assert (started >= asked.arrival).all()
    assert (departed >= started + asked.work - 1e-9).all()
    assert departed.max() <= asked.arrival.max() + asked.work.sum() + 1e-9
