"""The judge: what it passes, what it fails, when it waits, and what it must never do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
from pydantic import ValidationError

from data_contracts.config import (
    MetricBound,
    RatioBound,
    RolloutMetrics,
    RolloutStep,
    load_settings,
)
from serving.rollout.analysis import (
    ALL,
    Analysis,
    ArmSlice,
    Bounds,
    Labelled,
    Measurement,
    PairedSlice,
    Pairs,
    Sample,
    judge,
)
from serving.rollout.latency_histogram import LatencyHistogram

METRICS = RolloutMetrics(
    errors=MetricBound(tolerance=0.01, margin=0.05),
    latency_p50=RatioBound(tolerance=1.2, margin=1.5),
    latency_p95=RatioBound(tolerance=1.2, margin=1.5),
    latency_p99=RatioBound(tolerance=1.2),
    disagreement=MetricBound(tolerance=0.05, margin=0.1),
    acted=MetricBound(tolerance=0.1),
    scores=MetricBound(tolerance=0.1),
    false_positives=MetricBound(tolerance=0.0, margin=0.01),
    recall=MetricBound(tolerance=0.0, margin=0.03),
)
BOUNDS = Bounds(
    minimum_requests=400,
    judged_steps=3,
    confidence=0.95,
    metrics=METRICS,
    require_quality=False,
    minimum_slice_share=0.1,
    maximum_slices=2,
)
WITH_QUALITY = replace(BOUNDS, require_quality=True)
NOTHING = Sample(0, 0, [])
AGREED = Pairs(1000, 5)


def sample(requests: int, errors: int = 0, milliseconds: float = 10.0) -> Sample:
    return Sample(requests, errors, [milliseconds] * (requests - errors))


def metric(
    name: str, canary: Sample, reference: Sample, pairs: Pairs | None = None,
    bounds: Bounds = BOUNDS,
) -> Measurement:  # fmt: skip
    analysis = judge(canary, reference, pairs, bounds)
    return next(one for one in analysis.measurements if one.metric == name)


def paired(**slices: PairedSlice) -> Pairs:
    whole = slices[ALL]
    disputed = whole.only_canary.events + whole.only_reference.events
    return Pairs(whole.events, disputed, slices)


def disputes(new: int = 0, cured: int = 0, lost: int = 0, gained: int = 0) -> PairedSlice:
    """Of 50,000 events, 5,000 of them spam that both find; every dispute has its label."""
    return PairedSlice(
        50_000,
        Labelled(new + gained, new, gained),
        Labelled(cured + lost, cured, lost),
        Labelled(5_000),
    )


def test_equal_arms_pass_with_every_value_shown() -> None:
    analysis = judge(sample(1000, 5), sample(1000, 5), AGREED, BOUNDS)
    assert analysis.verdict == "pass"
    assert (analysis.requests, analysis.errors) == (1000, 5)
    assert [one.metric for one in analysis.measurements] == [
        "errors", "latency_p50", "latency_p95", "latency_p99", "disagreement", "acted", "scores",
        "false_positives", "recall",
    ]  # fmt: skip
    assert "error rate 0.50% (5/1000) against 0.50% (5/1000), +0.00% [" in analysis.reason
    assert "tolerance +1.00%, margin +5.00%" in analysis.reason


@pytest.mark.parametrize("pairs", [None, Pairs(0, 0), AGREED])
@pytest.mark.parametrize(
    "arms",
    [(NOTHING, NOTHING), (NOTHING, sample(10_000)), (sample(10_000), NOTHING)],
    ids=["no traffic", "silent canary", "silent baseline"],
)
def test_no_traffic_is_never_a_pass(arms: tuple[Sample, Sample], pairs: Pairs | None) -> None:
    analysis = judge(*arms, pairs, BOUNDS)
    assert analysis.verdict == "not_enough_evidence"
    assert "no traffic" in analysis.reason


def test_a_judge_who_waits_for_nothing_passes_nothing() -> None:
    none = {
        name: bound.model_copy(update={"margin": None})
        for name, bound in METRICS
        if isinstance(bound, MetricBound)
    }
    bounds = replace(BOUNDS, metrics=METRICS.model_copy(update=none))
    analysis = judge(sample(10_000), sample(10_000), AGREED, bounds)
    assert analysis.verdict == "not_enough_evidence"
    assert "no metric has a margin" in analysis.reason


def test_too_few_requests_wait_and_say_how_many_are_there() -> None:
    analysis = judge(sample(399), sample(1000), None, BOUNDS)
    assert analysis.verdict == "not_enough_evidence"
    assert "399 of 400 seen" in analysis.reason


def test_a_metric_that_is_waited_for_and_was_not_measured_is_no_pass() -> None:
    guarded = METRICS.model_copy(
        update={"guardrails": {"appeals": MetricBound(tolerance=0.01, margin=0.05)}}
    )
    bounds = replace(BOUNDS, metrics=guarded)
    analysis = judge(sample(1000), sample(1000), AGREED, bounds)
    assert analysis.verdict == "not_enough_evidence"
    assert analysis.reason == "appeals: was not measured"
    arms = [replace(sample(1000), guardrails={"appeals": count}) for count in (3, 3)]
    assert judge(arms[0], arms[1], AGREED, bounds).verdict == "pass"
    worse = replace(arms[0], guardrails={"appeals": 120})
    assert judge(worse, arms[1], AGREED, bounds).verdict == "fail"


def test_cost_is_judged_where_it_is_bounded_and_said_to_be_missing_where_it_is() -> None:
    bounded = METRICS.model_copy(update={"cpu_p50": RatioBound(tolerance=1.2)})
    bounds = replace(BOUNDS, metrics=bounded)
    missing = metric("cpu_p50", sample(1000), sample(1000), bounds=bounds)
    assert (missing.required, missing.reason) == (False, "cpu_p50: was not measured")
    arms = [
        replace(sample(1000), cpu_milliseconds=LatencyHistogram.of([cost] * 1000))
        for cost in (9.0, 4.0)
    ]
    assert metric("cpu_p50", *arms, bounds=bounds).verdict == "fail"


def test_a_gross_error_rate_fails_before_the_least_requests_are_there() -> None:
    errors = metric("errors", sample(30, 18), sample(30))
    assert errors.verdict == "fail"
    assert errors.low is not None
    assert errors.low > errors.bound == 0.01


def test_between_tolerance_and_margin_the_judge_waits_and_says_what_is_not_excluded() -> None:
    errors = metric("errors", sample(500, 12), sample(500, 5))
    assert errors.verdict == "not_enough_evidence"
    assert "harm of +5.00% is not excluded yet" in errors.reason


def test_fewer_errors_than_the_baseline_pass() -> None:
    assert metric("errors", sample(1000, 0), sample(1000, 20)).verdict == "pass"


def test_the_same_rates_fail_once_there_is_enough_of_them() -> None:
    verdicts = [metric("errors", sample(n, n * 6 // 100), sample(n, n // 100)).verdict
                for n in (100, 400, 2000, 20_000)]  # fmt: skip
    assert verdicts == sorted(verdicts, reverse=True)  # not enough evidence, then fail
    assert (verdicts[0], verdicts[-1]) == ("not_enough_evidence", "fail")


def test_a_slow_canary_fails_and_a_fast_one_passes() -> None:
    assert metric("latency_p50", sample(1000, 0, 40.0), sample(1000)).verdict == "fail"
    assert metric("latency_p50", sample(1000, 0, 4.0), sample(1000)).verdict == "pass"


def test_a_slow_tail_fails_although_the_median_does_not_move() -> None:
    tail = Sample(2000, 0, [10.0] * 1800 + [100.0] * 200)
    assert metric("latency_p50", tail, sample(2000)).verdict == "pass"
    assert metric("latency_p95", tail, sample(2000)).verdict == "fail"


def test_a_metric_without_a_margin_may_fail_but_is_not_waited_for() -> None:
    few = metric("latency_p99", sample(500), sample(500))
    assert (few.verdict, few.required) == ("not_enough_evidence", False)
    many = metric("latency_p99", sample(5000, 0, 40.0), sample(5000))
    assert many.verdict == "fail"


def test_disagreement_is_held_to_its_own_bounds() -> None:
    arms = sample(1000), sample(1000)
    assert metric("disagreement", *arms, Pairs(1000, 40)).verdict == "pass"
    assert metric("disagreement", *arms, Pairs(1000, 80)).verdict == "not_enough_evidence"
    assert metric("disagreement", *arms, Pairs(1000, 160)).verdict == "fail"
    assert metric("disagreement", *arms, Pairs(300, 0)).verdict == "not_enough_evidence"


def test_acting_on_much_more_or_much_less_fails() -> None:
    def arm(acted: int) -> Sample:
        return replace(sample(1000), slices={ALL: ArmSlice(1000, Labelled(acted))})

    assert metric("acted", arm(500), arm(200)).verdict == "fail"
    assert metric("acted", arm(200), arm(500)).verdict == "fail"
    assert metric("acted", arm(200), arm(210)).verdict != "fail"


def test_scores_that_moved_fail_whichever_way() -> None:
    low, high = (900, 0, 0, 0, 0, 0, 0, 100), (500, 0, 0, 0, 0, 0, 0, 500)
    arms = [replace(sample(1000), scores=scores) for scores in (low, high)]
    up, down = metric("scores", arms[1], arms[0]), metric("scores", arms[0], arms[1])
    assert up.verdict == down.verdict == "fail"
    assert up.estimate == down.estimate == pytest.approx(0.4)
    assert metric("scores", arms[0], arms[0]).verdict != "fail"


def test_one_failing_metric_fails_the_whole_and_gives_the_reason() -> None:
    analysis = judge(sample(500), sample(500), Pairs(500, 250), BOUNDS)
    assert analysis.verdict == "fail"
    assert analysis.reason.startswith("only one of both acts on 250 of the same 500 events")


def test_new_false_positives_fail_although_others_were_cured() -> None:
    arms = sample(1000), sample(1000)
    even = metric("false_positives", *arms, paired(all=disputes(new=40, cured=40)), WITH_QUALITY)
    assert even.verdict == "pass"
    worse = metric("false_positives", *arms, paired(all=disputes(new=80, cured=20)), WITH_QUALITY)
    assert worse.verdict == "fail"
    assert "80 ham only the canary acts on, 20 only the reference" in worse.reason
    assert worse.estimate == pytest.approx(60 / 45_000, rel=0.01)


def test_recall_lost_in_one_slice_fails_although_the_whole_gains() -> None:
    whole, slice_hit = disputes(lost=90, gained=100), disputes(lost=80, gained=10)
    pairs = paired(all=whole, turkish=slice_hit)
    analysis = judge(sample(1000), sample(1000), pairs, WITH_QUALITY)
    assert analysis.verdict == "fail"
    assert analysis.reason.startswith("recall[turkish]: 80 spam only the reference finds")


def test_a_slice_is_waited_for_when_it_has_its_share_of_the_spam() -> None:
    small = PairedSlice(400, both=Labelled(50))
    required = {
        share: metric("recall[x]", sample(1000), sample(1000),
                      paired(all=disputes(), x=small),
                      replace(WITH_QUALITY, minimum_slice_share=share)).required
        for share in (0.005, 0.2)
    }  # fmt: skip
    assert required == {0.005: True, 0.2: False}


def test_no_more_slices_are_judged_than_the_error_is_divided_over() -> None:
    pairs = paired(all=disputes(), a=disputes(), b=disputes(), c=disputes())
    analysis = judge(sample(1000), sample(1000), pairs, WITH_QUALITY)
    found = [one.metric for one in analysis.measurements if one.metric.startswith("recall")]
    assert found == ["recall", "recall[a]", "recall[b]"]


def test_quality_that_is_waited_for_needs_labels_and_without_them_it_is_only_said() -> None:
    unlabelled = PairedSlice(50_000, Labelled(60), Labelled(60), Labelled(5_000))
    arms = sample(1000), sample(1000)
    waiting = judge(*arms, paired(all=unlabelled), WITH_QUALITY)
    assert waiting.verdict == "not_enough_evidence"
    assert "no labels yet (0 ham only the canary acts on, 0 only the reference, 0 of 120" in (
        waiting.reason
    )
    assert judge(*arms, paired(all=unlabelled), BOUNDS).verdict == "pass"


def test_labels_of_a_part_stand_for_their_kind_and_say_less() -> None:
    """Half of the canary's disputes labelled, all of the reference's: the rates are even."""
    half = PairedSlice(50_000, Labelled(40, 20, 0), Labelled(40, 40, 0), Labelled(5_000))
    arms = sample(1000), sample(1000)
    found = metric("false_positives", *arms, paired(all=half), WITH_QUALITY)
    assert found.estimate == pytest.approx(0, abs=1e-6)
    whole = metric("false_positives", *arms, paired(all=disputes(40, 40)), WITH_QUALITY)
    assert found.high is not None
    assert whole.high is not None
    assert found.high > whole.high


def test_live_arms_are_compared_by_the_labels_of_each_and_are_not_waited_for() -> None:
    def arm(ham: int, spam: int) -> Sample:
        acted = Labelled(ham + spam, ham, spam)
        return replace(sample(10_000), slices={ALL: ArmSlice(10_000, acted)})

    good = judge(arm(10, 900), arm(10, 900), None, WITH_QUALITY)
    assert good.verdict == "pass"
    assert metric("false_positives", arm(60, 900), arm(10, 900)).verdict == "fail"
    recall = metric("recall", arm(10, 450), arm(10, 900))
    assert recall.verdict == "fail"
    assert recall.estimate == pytest.approx(0.5)
    nothing_found = metric("recall", arm(10, 0), arm(10, 0))
    assert (nothing_found.verdict, nothing_found.required) == ("not_enough_evidence", False)


def test_a_record_is_plain_json_types() -> None:
    record = judge(sample(20), sample(20), None, BOUNDS).as_record()
    assert record["measurements"][0]["metric"] == "errors"
    assert record["measurements"][3]["high"] is None  # nothing bounds a tail of twenty


def test_a_margin_below_its_tolerance_is_refused_with_both() -> None:
    with pytest.raises(ValidationError, match=r"margin 0\.01 is below the tolerance 0\.02"):
        MetricBound(tolerance=0.02, margin=0.01)
    with pytest.raises(ValidationError):
        RatioBound(tolerance=0.9)


@pytest.mark.parametrize("step", load_settings({"WEIR_ENV": "local"}).rollout.steps)
def test_on_one_machine_an_equal_model_passes_with_the_least_that_its_steps_ask(
    step: RolloutStep,
) -> None:
    """And what they cannot exclude is said in local.yaml; gross regressions fail all the same."""
    settings = load_settings({"WEIR_ENV": "local"}).rollout
    bounds = Bounds.of(settings, step, len(settings.steps))
    least = step.minimum_requests
    pairs = Pairs(least, 1) if step.phase == "shadow" else None
    noise = np.random.default_rng(1)
    equal = [Sample(least, 0, noise.lognormal(2, 0.5, least)) for _ in range(2)]
    assert judge(equal[0], equal[1], pairs, bounds).verdict == "pass"
    failing = replace(equal[0], errors=least * 6 // 10)
    assert judge(failing, equal[1], pairs, bounds).verdict == "fail"
    slow = replace(equal[0], milliseconds=noise.lognormal(2, 0.5, least) + 120)
    assert judge(slow, equal[1], pairs, bounds).verdict == "fail"


@pytest.mark.parametrize(
    ("harm", "metric_named"),
    [("errors", "error rate"), ("slow", "latency_p"), ("disagrees", "only one of both acts")],
)
def test_in_production_harm_of_the_margins_size_is_never_passed(
    harm: str, metric_named: str
) -> None:
    settings = load_settings({"WEIR_ENV": "production"}).rollout
    bounds = replace(Bounds.of(settings, settings.steps[0], 4), require_quality=False)
    noise = np.random.default_rng(2)
    times = noise.lognormal(2, 0.5, (2, 20_000))
    canary = Sample(
        20_000, 140 if harm == "errors" else 40, times[0] * (1.3 if harm == "slow" else 1)
    )
    reference = Sample(20_000, 40, times[1])
    pairs = Pairs(20_000, 2_400 if harm == "disagrees" else 100)
    analysis = judge(canary, reference, pairs, bounds)
    assert analysis.verdict == "fail"
    assert metric_named in analysis.reason


def looked_at_again_and_again(
    rng: np.random.Generator, bounds: Bounds, *, slower: float, errors: float
) -> Analysis:
    """The first verdict that ends a step of at most 2,000 requests an arm, judged every 100."""
    arms: list[Mapping[str, np.ndarray]] = [
        {"ms": rng.lognormal(2.5, 0.6, 2000) * factor, "bad": rng.random(2000) < rate}
        for factor, rate in ((slower, 0.005 + errors), (1.0, 0.005))
    ]
    for seen in range(100, 2001, 100):
        canary, reference = (
            Sample(seen, int(arm["bad"][:seen].sum()), arm["ms"][:seen][~arm["bad"][:seen]])
            for arm in arms
        )
        analysis = judge(canary, reference, None, bounds)
        if analysis.verdict != "not_enough_evidence":
            return analysis
    return analysis


def test_equal_models_raise_few_alarms_although_they_are_judged_many_times() -> None:
    """Held to no tolerance at all: the error allowed is 20 % a step."""
    strict = METRICS.model_copy(
        update={"errors": MetricBound(tolerance=0.0, margin=0.04),
                "latency_p50": RatioBound(tolerance=1.0, margin=1.4),
                "latency_p95": RatioBound(tolerance=1.0, margin=1.6)}
    )  # fmt: skip
    bounds = replace(BOUNDS, metrics=strict, confidence=0.8, judged_steps=1)
    rng = np.random.default_rng(7)
    verdicts = [looked_at_again_and_again(rng, bounds, slower=1.0, errors=0.0).verdict
                for _ in range(40)]  # fmt: skip
    assert verdicts.count("fail") <= 0.2 * 40
    assert verdicts.count("pass") >= 0.8 * 40


def test_regressions_are_found_and_never_passed() -> None:
    rng = np.random.default_rng(8)
    for harm in ({"slower": 1.8, "errors": 0.0}, {"slower": 1.0, "errors": 0.08}):
        found = [looked_at_again_and_again(rng, BOUNDS, **harm).verdict for _ in range(10)]
        assert found.count("fail") == 10
