"""From measured service times to pods: files, mixes, bursts, sizes, and the loss of a zone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_contracts.errors import BadInput, ContractViolation, MissingPart
from serving.capacity.arrivals import Bursts, arrival_milliseconds, factors, unit_arrivals
from serving.capacity.demand import Stream, demand, read_mix
from serving.capacity.planning import CapacityPlan, Scenario, plan
from serving.capacity.report import basis, headline
from serving.capacity.service_times import (
    SAMPLE,
    Distribution,
    PoolTimes,
    encoded,
    read_service_times,
)
from serving.capacity.simulation import PoolSimulator, Precision, Shape
from serving.capacity.sizing import Limits, Sustained, Zones, size, sustained
from tests.unit.serving.capacity_cases import IMAGE, TIMES, exponential_pool

QUICK = Precision(requests=4000, replications=4, seed=3)
SCENARIO = Scenario(
    verdicts_per_second=20_000, mix=read_mix("text=80,image=15,account=5"), spam_share=0.1,
    limits=Limits(80.0), zones=Zones(3, 5.0), bursts=Bursts(), cores_per_pod=4, gateways=2,
    way_milliseconds=1.0, afterwards_seconds=5.0,
)  # fmt: skip


def planned(scenario: Scenario = SCENARIO, precision: Precision = QUICK) -> CapacityPlan:
    return plan(scenario, TIMES, precision)


# the file


def test_a_file_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "times.json"
    path.write_bytes(encoded(TIMES))
    assert encoded(read_service_times(path)) == encoded(TIMES)


def test_the_sample_says_what_was_measured_and_where() -> None:
    sample = read_service_times(SAMPLE)
    assert set(sample.pools["cpu"].kinds) == {"text", "image", "video", "account"}
    assert len(sample.origin) > 80
    assert "cores" in sample.machine


def test_an_absent_file_is_named_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(MissingPart, match=r"none\.json.*tests\.performance\.service_times"):
        read_service_times(tmp_path / "none.json")


@pytest.mark.parametrize(
    ("place", "wrong", "field"),
    [
        (("overhead_milliseconds",), -1, "overhead_milliseconds"),
        (("format",), 2, "format"),
        (("pools",), {}, "cpu"),
        (("pools", "cpu", "kinds", "text", "settled_early", "spam"), 1.5, "settled_early.spam"),
        (("pools", "cpu", "kinds", "text", "full", "quantiles"), [[0, 2], [1, 1]], "never fall"),
        (("pools", "cpu", "kinds", "text", "full", "quantiles"), [[0.5, 2], [1, 3]], "begin at"),
        (("pools", "cpu", "kinds", "text", "batch_curve"), [[2, 0.5]], "begins with one event"),
        (("pools", "cpu", "kinds", "text", "early"), None, "what they cost"),
        (("surprise",), 1, "surprise"),
    ],
)  # fmt: skip
def test_a_wrong_field_is_named_with_the_remedy(
    tmp_path: Path, place: tuple[str, ...], wrong: object, field: str
) -> None:
    record = orjson.loads(encoded(TIMES))
    *way, last = place
    inner = record
    for step in way:
        inner = inner[step]
    inner[last] = wrong
    path = tmp_path / "times.json"
    path.write_bytes(orjson.dumps(record))
    with pytest.raises(ContractViolation, match=r"mend the field") as refused:
        read_service_times(path)
    assert field in str(refused.value)


@given(st.lists(st.floats(0, 1e4), min_size=1, max_size=60))
def test_a_distribution_keeps_the_least_the_middle_and_the_most(found: list[float]) -> None:
    kept = Distribution.of(found)
    assert kept.at([0.0, 0.5, 1.0]) == pytest.approx(np.quantile(found, [0, 0.5, 1]), abs=1e-3)
    assert min(found) - 1e-3 <= kept.mean <= max(found) + 1e-3


# the mix


@pytest.mark.parametrize("mix", ["", "text", "text=-1", "text=1,text=1", "sound=1", "text=nan"])
def test_a_mix_that_makes_no_sense_is_refused_with_an_example(mix: str) -> None:
    with pytest.raises(BadInput, match="--mix"):
        read_mix(mix)


def test_content_goes_to_its_pool_and_spam_decides_how_much_is_settled_early() -> None:
    text, media, afterwards = demand(TIMES, read_mix("text=60,image=40"), spam_share=0.5)
    assert [stream.share for stream in text.streams] == pytest.approx([0.35, 0.65])  # .6/2 + .1/2
    assert text.share_of_verdicts == pytest.approx(0.6)
    assert (media.hardware, media.share_of_verdicts) == ("cpu", pytest.approx(0.4))
    assert afterwards.share_of_verdicts == pytest.approx(0.4 * (0.2 + 1.0) / 2)


def test_media_go_to_the_gpu_where_one_was_measured() -> None:
    gpu = PoolTimes("one GPU", {"image": IMAGE})
    times = replace(TIMES, pools={**TIMES.pools, "gpu": gpu})
    _, media, _ = demand(times, SCENARIO.mix, 0.1)
    assert (media.hardware, media.worker) == ("gpu", "one GPU")
    assert SCENARIO.workers(media) == 1


def test_content_that_was_not_measured_is_named() -> None:
    with pytest.raises(BadInput, match=r"pools\.cpu\.kinds\.video"):
        demand(TIMES, read_mix("video=1"), 0.1)


def test_the_overhead_is_added_once_and_gains_nothing_from_a_batch() -> None:
    full = demand(TIMES, read_mix("text=1"), 0.1)[0].streams[1]
    stages = TIMES.pools["cpu"].kinds["text"].full.mean
    assert full.times.mean == pytest.approx(stages + 0.1)
    assert full.times.mean * full.relative_cost(4) == pytest.approx(stages / 2 + 0.1)


# arrivals


@pytest.mark.parametrize("variation", [0.0, 0.5])
def test_bursts_keep_the_mean_rate(variation: float) -> None:
    rng, bursts = np.random.default_rng(5), Bursts(variation, seconds=0.1)
    burst_factors = factors(400, bursts, rng)
    at = arrival_milliseconds(unit_arrivals(200_000, rng), 5000.0, bursts, burst_factors)
    assert (np.diff(at) >= 0).all()
    assert len(at) / at[-1] * 1000 == pytest.approx(5000, rel=0.06)


def test_counts_in_bursts_vary_as_a_gamma_mixture_of_poisson_counts() -> None:
    rng, bursts, rate = np.random.default_rng(6), Bursts(0.5, seconds=0.1), 2000.0
    burst_factors = factors(2000, bursts, rng)
    at = arrival_milliseconds(unit_arrivals(300_000, rng), rate, bursts, burst_factors)
    counts = np.bincount((at / 100).astype(int))[:-1]
    mean = rate * bursts.seconds
    assert counts.var() / counts.mean() == pytest.approx(1 + 0.25 * mean, rel=0.15)


def test_bursts_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="variation"):
        Bursts(9.0)


# the simulation of a pool


def test_a_pool_of_one_pod_waits_as_pollaczek_and_khinchine_say() -> None:
    pool, rate = exponential_pool(2.0), 350.0
    found = PoolSimulator(pool, Bursts(), Precision(200_000, 3, 1)).steady(
        rate, 1, Shape(1, 1, 1), 80.0
    )
    uniform = (np.arange(200_000) + 0.5) / 200_000
    second_moment = float((pool.streams[0].times.at(uniform) ** 2).mean())
    waiting = (
        (rate / 1000) ** 2 * second_moment / (2 * (1 - rate / 1000 * pool.mean_milliseconds()))
    )
    assert found.waiting == pytest.approx(waiting, rel=0.06)
    assert found.utilisation == pytest.approx(rate / 1000 * pool.mean_milliseconds(), rel=0.02)


def test_a_group_of_pods_stands_for_a_larger_pool() -> None:
    simulator = PoolSimulator(exponential_pool(2.0), Bursts(), Precision(100_000, 4, 2))
    small, large = (simulator.p99(pods * 1600.0, pods, Shape(4, 1, 20)) for pods in (18, 90))
    assert small.value == pytest.approx(large.value, rel=0.04)


def test_the_same_seed_gives_the_same_figures_and_beyond_capacity_there_are_none() -> None:
    simulator = PoolSimulator(exponential_pool(2.0), Bursts(), QUICK)
    shape = Shape(4, 1, 1)
    assert simulator.p99(9000, 6, shape) == simulator.p99(9000, 6, shape)
    assert simulator.p99(12_001, 6, shape).value == np.inf
    assert simulator.steady(12_100, 6, shape, 80.0).waiting == np.inf


def test_the_way_there_and_back_is_added() -> None:
    near, far = (
        PoolSimulator(exponential_pool(2.0), Bursts(), QUICK, added).p99(900, 2, Shape(2, 1, 1))
        for added in (0.0, 7.0)
    )
    assert far.value == pytest.approx(near.value + 7.0)


def test_bursts_make_latencies_longer() -> None:
    calm, bursty = (
        PoolSimulator(exponential_pool(2.0), bursts, QUICK).p99(6000, 4, Shape(4, 1, 1))
        for bursts in (Bursts(), Bursts(0.4, 0.05))
    )
    assert bursty.value > calm.value


def test_a_pool_that_lost_a_zone_and_cannot_keep_up_queues_as_a_fluid_does() -> None:
    simulator = PoolSimulator(exponential_pool(2.0), Bursts(), Precision(20_000, 2, 4))
    rate, seconds = 9000.0, 20.0  # 6 pods of 2000/s; 4 are left, so 1000/s too many
    found = simulator.after_a_loss(rate, 6, 3, Shape(4, 1, 1), 80.0, seconds)
    too_many = rate * simulator.demand.mean_milliseconds() / 1000 / (4 * 4) - 1
    assert found.p99.value == pytest.approx(1000 * 0.99 * seconds * too_many, rel=0.05)
    assert found.beyond.value > 0.9
    assert 0 < found.lost < 0.001


# sizes


def test_the_least_pods_hold_the_budget_and_one_zone_row_less_does_not() -> None:
    simulator = PoolSimulator(exponential_pool(12.0), Bursts(), Precision(40_000, 5, 1))
    limits, zones = Limits(62.0, 0.95), Zones(3, 5.0)
    found = sustained(simulator, 4, 1, limits)
    assert found.limited_by == "p99"
    rate = 100 * found.rate
    least, kept = size(simulator, rate, found, limits, zones)
    assert least.pods == 102
    assert limits.hold(least.steady.p99)
    assert not limits.hold(simulator.p99(rate * 18 / 99, 18, found.shape))
    assert kept.pods in (150, 153)  # of which 100 or 102 are left
    assert kept.after_a_loss is not None
    assert limits.hold(kept.after_a_loss.p99)


def test_short_requests_are_limited_by_load_and_not_by_the_tail() -> None:
    simulator = PoolSimulator(exponential_pool(0.2), Bursts(), QUICK)
    found = sustained(simulator, 4, 1, Limits(80.0, 0.85))
    assert found.limited_by == "utilisation"
    assert found.rate == pytest.approx(0.85 * simulator.capacity(found.shape))


def test_requests_that_take_longer_than_the_budget_are_refused_with_a_remedy() -> None:
    simulator = PoolSimulator(exponential_pool(50.0), Bursts(), QUICK)
    with pytest.raises(BadInput, match=r"pool made.*--p99-milliseconds.*--afterwards"):
        sustained(simulator, 4, 1, Limits(80.0))


def test_batches_are_used_where_they_carry_more() -> None:
    (pool, *_) = demand(TIMES, read_mix("text=1"), 0.1)
    simulator = PoolSimulator(pool, Bursts(), QUICK)
    batched = sustained(simulator, 4, 1, Limits(80.0))
    alone = replace(
        pool, streams=tuple(Stream(s.kind, s.share, s.times) for s in pool.streams)
    )  # fmt: skip
    single = sustained(replace(simulator, demand=alone), 4, 1, Limits(80.0))
    assert (batched.shape.largest_batch, single.shape.largest_batch) == (4, 1)
    assert batched.rate > 1.3 * single.rate


@settings(max_examples=12, deadline=None)
@given(rate=st.floats(200, 50_000), more=st.floats(1.0, 3.0), zones=st.integers(1, 4))
def test_more_load_never_needs_fewer_pods(rate: float, more: float, zones: int) -> None:
    simulator, limits = PoolSimulator(exponential_pool(5.0), Bursts(), QUICK), Limits(60.0)
    found = Sustained(400.0, Shape(4, 1, 1), "p99")
    few, many = (
        size(simulator, load, found, limits, Zones(zones, 1.0)) for load in (rate, more * rate)
    )
    assert few[0].pods <= many[0].pods
    assert few[1].pods <= many[1].pods
    assert all(one.pods % zones == 0 for one in (*few, *many))


@settings(max_examples=12, deadline=None)
@given(budget=st.floats(60, 300), tighter=st.floats(0.5, 1.0))
def test_a_tighter_budget_never_lets_a_pod_take_more(budget: float, tighter: float) -> None:
    simulator = PoolSimulator(exponential_pool(4.0), Bursts(), QUICK)
    wide, narrow = (
        sustained(simulator, 4, 1, Limits(one, 0.9)).rate for one in (budget, tighter * budget)
    )
    assert narrow <= wide * 1.01  # the search halves, and figures are drawn


# the plan


def test_a_plan_counts_the_pods_of_every_pool_and_is_plain_json() -> None:
    found = planned()
    assert [pool.demand.name for pool in found.pools] == ["text", "media", "afterwards"]
    record = orjson.loads(orjson.dumps(found.as_record()))
    assert record["cpu_pods"]["least"] == sum(pool["least"]["pods"] for pool in record["pools"])
    assert record["gpu_pods"] == {"least": 0, "keeps_a_lost_zone": 0}
    assert record["what"].startswith("a queueing simulation")
    assert record["service_times"]["origin"] == TIMES.origin
    for pool in record["pools"]:
        p99 = pool["keeps_a_lost_zone"]["after_a_loss"]["p99_milliseconds"]
        assert p99[2] <= pool["p99_budget_milliseconds"]


def test_where_a_gpu_was_measured_its_pods_are_counted_apart() -> None:
    gpu = PoolTimes("one GPU", {"image": replace(IMAGE, batch_curve=((1, 1.0), (8, 0.2)))})
    found = plan(SCENARIO, replace(TIMES, pools={**TIMES.pools, "gpu": gpu}), QUICK)
    record = found.as_record()
    media = record["pools"][1]
    assert (media["hardware"], media["worker"], media["workers_a_pod"]) == ("gpu", "one GPU", 1)
    assert record["gpu_pods"]["least"] == media["least"]["pods"] > 0
    assert record["gpu_pods"]["keeps_a_lost_zone"] > record["gpu_pods"]["least"]
    assert f"and {record['gpu_pods']['least']:,} GPU pods" in headline(found)
    assert not any("No GPU was measured" in line for line in basis(found))


def test_all_verdicts_lie_between_those_of_their_pools() -> None:
    found = planned()
    text, media = (pool.least.steady for pool in found.hot_pools)
    for at in (50, 95, 99):
        both = sorted(one.percentiles[at].value for one in (text, media))
        assert 0.95 * both[0] <= found.verdict_latency(at, kept=False) <= 1.05 * both[1]


def test_one_zone_leaves_nothing_to_keep() -> None:
    found = planned(replace(SCENARIO, zones=Zones(1, 5.0)))
    assert all(pool.least == pool.kept for pool in found.pools)
    assert found.as_record()["pools"][0]["least"]["after_a_loss"] is None
