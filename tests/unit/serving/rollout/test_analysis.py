"""The judge: worked numbers, then what it must never do, then its false alarms."""

from __future__ import annotations

from math import inf

import numpy as np
import pytest

from serving.rollout.analysis import (
    Bounds,
    Measurement,
    Pairs,
    Sample,
    judge,
    quantile_limits,
)

BOUNDS = Bounds(
    minimum_requests=100,
    maximum_error_rate_increase=0.01,
    maximum_latency_ratio=1.5,
    maximum_disagreement=0.1,
    confidence=0.95,
)


def sample(requests: int, errors: int = 0, milliseconds: float = 10.0) -> Sample:
    return Sample(requests, errors, [milliseconds] * (requests - errors))


def metric(name: str, canary: Sample, reference: Sample, pairs: Pairs | None = None) -> Measurement:
    analysis = judge(canary, reference, pairs, BOUNDS)
    return next(one for one in analysis.measurements if one.metric == name)


def test_limits_of_a_quantile_are_values_of_the_sample_or_open() -> None:
    assert quantile_limits(range(1, 101), 0.5, 0.05)[1:] == (40.0, 61.0)
    assert quantile_limits(range(1, 41), 0.95, 0.05)[2] == inf


def test_equal_arms_pass_with_every_value_shown() -> None:
    analysis = judge(sample(200, 1), sample(200, 1), Pairs(150, 3), BOUNDS)
    assert analysis.verdict == "pass"
    assert (analysis.requests, analysis.errors) == (200, 1)
    assert [one.metric for one in analysis.measurements] == [
        "errors", "latency_p50", "latency_p95", "disagreement",
    ]  # fmt: skip
    assert "0.50% (1/200) against 0.50% (1/200)" in analysis.reason


def test_no_traffic_is_never_a_pass() -> None:
    nothing = Sample(0, 0, [])
    for pairs in (None, Pairs(0, 0)):
        analysis = judge(nothing, nothing, pairs, BOUNDS)
        assert analysis.verdict == "not_enough_evidence"
        assert "no traffic" in analysis.reason


def test_a_silent_arm_is_never_a_pass_however_busy_the_other() -> None:
    assert judge(sample(0), sample(10_000), None, BOUNDS).verdict == "not_enough_evidence"
    assert judge(sample(10_000), sample(0), None, BOUNDS).verdict == "not_enough_evidence"


def test_too_few_requests_wait_and_say_how_many_are_missing() -> None:
    analysis = judge(sample(60), sample(99), None, BOUNDS)
    assert analysis.verdict == "not_enough_evidence"
    assert "60 of 100 seen" in analysis.reason


def test_a_gross_error_rate_fails_before_the_least_requests_are_there() -> None:
    errors = metric("errors", sample(12, 10), sample(12))
    assert errors.verdict == "fail"
    assert errors.low is not None
    assert errors.low > 0.01


def test_a_rate_beyond_the_bound_that_may_be_chance_waits() -> None:
    errors = metric("errors", sample(100, 3), sample(100, 0))
    assert errors.estimate == pytest.approx(0.03)
    assert errors.verdict == "not_enough_evidence"
    assert "may be chance" in errors.reason


def test_fewer_errors_than_the_baseline_pass() -> None:
    assert metric("errors", sample(200, 0), sample(200, 20)).verdict == "pass"


def test_a_slow_canary_fails_and_a_fast_one_passes() -> None:
    assert metric("latency_p50", sample(200, 0, 40.0), sample(200)).verdict == "fail"
    assert metric("latency_p50", sample(200, 0, 4.0), sample(200)).verdict == "pass"


def test_a_slow_tail_fails_although_the_median_does_not_move() -> None:
    tail = Sample(400, 0, [10.0] * 360 + [100.0] * 40)
    assert metric("latency_p50", tail, sample(400)).verdict == "pass"
    assert metric("latency_p95", tail, sample(400)).verdict == "fail"


def test_times_below_the_floor_are_all_the_same() -> None:
    fast = metric("latency_p50", sample(200, 0, 1.9), sample(200, 0, 0.2))
    assert (fast.verdict, fast.estimate) == ("pass", 1.0)


def test_disagreement_counts_distinct_events_against_its_own_bound() -> None:
    arms = sample(500), sample(500)
    assert metric("disagreement", *arms, Pairs(500, 20)).verdict == "pass"
    assert metric("disagreement", *arms, Pairs(500, 60)).verdict == "not_enough_evidence"
    assert metric("disagreement", *arms, Pairs(500, 90)).verdict == "fail"
    assert metric("disagreement", *arms, Pairs(40, 0)).verdict == "not_enough_evidence"


def test_one_failing_metric_fails_the_whole_and_gives_the_reason() -> None:
    analysis = judge(sample(500), sample(500), Pairs(500, 250), BOUNDS)
    assert analysis.verdict == "fail"
    assert analysis.reason.startswith("only one of both acts on 50.00%")


def test_a_record_is_plain_json_types() -> None:
    record = judge(sample(20), sample(20), None, BOUNDS).as_record()
    assert record["measurements"][0]["metric"] == "errors"


def looked_at_again_and_again(rng: np.random.Generator, *, slower: float, errors: float) -> str:
    """The first verdict that ends a phase of at most 400 requests an arm, judged every 20."""
    arms = []
    for factor, rate in ((slower, 0.005 + errors), (1.0, 0.005)):
        milliseconds = rng.lognormal(2.5, 0.6, 400) * factor
        arms.append((milliseconds, rng.random(400) < rate))
    for seen in range(20, 401, 20):
        canary, reference = (
            Sample(seen, int(bad[:seen].sum()), milliseconds[:seen][~bad[:seen]])
            for milliseconds, bad in arms
        )
        verdict = judge(canary, reference, None, BOUNDS).verdict
        if verdict == "fail" or (verdict == "pass" and seen >= 200):
            return verdict
    return "not_enough_evidence"


def test_equal_models_raise_few_alarms_although_they_are_judged_many_times() -> None:
    rng = np.random.default_rng(7)
    verdicts = [looked_at_again_and_again(rng, slower=1.0, errors=0.0) for _ in range(300)]
    assert verdicts.count("fail") <= 0.05 * 300
    assert verdicts.count("pass") >= 0.8 * 300


def test_regressions_are_found() -> None:
    rng = np.random.default_rng(8)
    slow = [looked_at_again_and_again(rng, slower=2.5, errors=0.0) for _ in range(50)]
    failing = [looked_at_again_and_again(rng, slower=1.0, errors=0.15) for _ in range(50)]
    assert slow.count("fail") == 50
    assert failing.count("fail") == 50
