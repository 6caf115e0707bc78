"""Gaps when many groups are looked at: answers by hand, and how often a good model is accused."""

from __future__ import annotations

import numpy as np
import pytest

from evaluation.gates.fairness_gaps import Errors, clustered_share, gaps, judge_gap
from evaluation.gates.policy import Rule
from evaluation.metrics import newcombe_difference, wilson

RULE = Rule(better="low", bound=0.03, limit=0.30, reason="a ceiling made for this test")


def forty_groups(rates: list[float], rng: np.random.Generator, size: int = 150) -> list[Errors]:
    return [
        Errors("identity=made", f"group {number}", int(rng.binomial(size, rate)), size)
        for number, rate in enumerate(rates)
    ]


def test_two_groups_are_newcombes_interval_at_sidaks_level() -> None:
    first, second = gaps([Errors("x=", "a", 10, 100), Errors("x=", "b", 2, 100)], minimum=50)
    level = 0.95**0.5
    wanted = newcombe_difference(wilson(10, 100, level), wilson(2, 100, level))
    assert first.estimate == wanted
    assert first.estimate.value == pytest.approx(0.08)
    assert (first.is_proven, second.is_proven) == (True, False)  # Fisher: p = 0.0166, twice: 0.033


def test_groups_below_the_minimum_are_not_judged_but_count_among_the_others() -> None:
    counts = [Errors("x=", "a", 0, 60), Errors("x=", "b", 0, 60), Errors("x=", "c", 12, 20)]
    assert [gap.errors.group for gap in gaps(counts, 50)] == ["a", "b"]
    assert gaps(counts, 50)[0].estimate.value == pytest.approx(-12 / 80)


def test_families_are_compared_apart_and_one_group_alone_has_no_gap() -> None:
    assert gaps([Errors("x=en", "a", 9, 100), Errors("x=de", "a", 0, 100)], 50) == []
    assert gaps([], 50) == []


@pytest.mark.parametrize("rate", [0.0, 0.001, 0.02, 0.1])
def test_a_good_model_is_not_accused_because_forty_groups_were_looked_at(rate: float) -> None:
    rng = np.random.default_rng(6)
    trials = 50
    accused = sum(
        any(judge_gap(RULE, gap) == "fail" for gap in gaps(forty_groups([rate] * 40, rng), 60))
        for _ in range(trials)
    )
    assert accused <= 0.05 * trials + 3  # 5 % by design, and chance


def test_one_group_over_blocked_by_eight_points_is_caught() -> None:
    rng = np.random.default_rng(6)
    rates = [0.09, *[0.01] * 39]
    caught = sum(
        {gap.errors.group for gap in gaps(forty_groups(rates, rng), 60)
         if judge_gap(RULE, gap) == "fail"} == {"group 0"}
        for _ in range(50)
    )  # fmt: skip
    assert caught >= 45


def test_a_large_gap_that_chance_explains_is_judged_by_its_interval_alone() -> None:
    few = gaps([Errors("x=", "a", 3, 60), Errors("x=", "b", 0, 60)], 50)[0]
    assert few.estimate.value > RULE.bound
    assert judge_gap(RULE, few) == "pass"
    strict = RULE.model_copy(update={"limit": 0.1})
    assert judge_gap(strict, few) == "not_enough_evidence"


def test_texts_of_one_template_count_for_less() -> None:
    hits = np.array([True] * 10 + [False] * 90)
    alone = clustered_share(hits, [str(number) for number in range(100)])
    together = clustered_share(hits, [str(number // 10) for number in range(100)])
    assert alone.value == together.value == pytest.approx(0.1)
    assert together.high > alone.high
    assert clustered_share(np.zeros(100, dtype=bool), ["t"] * 100).high == pytest.approx(
        clustered_share(np.zeros(100, dtype=bool), [str(n) for n in range(100)]).high
    )
