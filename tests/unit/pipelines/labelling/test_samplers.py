"""Samplers on tiny pools whose answers are worked by hand."""

from __future__ import annotations

from fractions import Fraction
from itertools import combinations
from math import comb

import numpy as np
import pyarrow as pa
import pytest

from pipelines.labelling.samplers import Pool, Portfolio, Sampler, Selection, sampler_named
from pipelines.labelling.samplers.audit import Audit
from pipelines.labelling.samplers.uncertainty import Uncertainty, entropy, least_confidence, margin

RNG = np.random.default_rng


def pool(threshold: float = 0.5, **scores: float | None) -> Pool:
    column = pa.array(list(scores.values()), pa.float64())
    return Pool.of(pa.table({"event_id": list(scores), "score": column}), threshold)


class ScriptedDraw:
    """Stands for an rng whose draw without replacement has this outcome."""

    def __init__(self, rows: tuple[int, ...]) -> None:
        self.rows = rows

    def choice(self, n: int, size: int, replace: bool) -> list[int]:
        assert size == len(self.rows)
        assert not replace
        return list(self.rows)

    def permutation(self, n: int) -> np.ndarray:
        return np.arange(n)


def estimated_total(selection: Selection, spam: set[str]) -> Fraction:
    """Horvitz and Thompson: every spam label of the audit counts for 1 / its probability."""
    return sum(
        (
            1 / Fraction(draw.inclusion_probability).limit_denominator(1000)
            for draw in selection.draws
            if draw.inclusion_probability is not None and draw.event_id in spam
        ),
        start=Fraction(0),
    )


def test_uncertainty_measures_by_hand() -> None:
    scores = np.array([0.0, 0.2, 0.5, 0.9])
    assert margin(scores, 0.8) == pytest.approx([-0.8, -0.6, -0.3, -0.1])
    assert least_confidence(scores, 0.8) == pytest.approx([0.0, 0.2, 0.5, 0.1])
    assert entropy(scores, 0.8) == pytest.approx([0.0, 0.7219281, 1.0, 0.4689956])


def test_margin_asks_about_the_operating_threshold_and_entropy_about_one_half() -> None:
    events = pool(threshold=0.9, a=0.05, b=0.5, c=0.88, d=0.99)
    assert Uncertainty("margin").select(events, 2, RNG(0)).event_ids == ("c", "d")
    assert Uncertainty("entropy").select(events, 2, RNG(0)).event_ids == ("b", "c")
    assert Uncertainty("least_confidence").select(events, 2, RNG(0)).event_ids == ("b", "c")


def test_scores_equally_far_on_both_sides_are_a_tie_in_spite_of_rounding() -> None:
    events = pool(a=0.3, b=0.7)  # |0.7 - 0.5| is not |0.3 - 0.5| in binary
    firsts = {Uncertainty("margin").select(events, 1, RNG(seed)).event_ids for seed in range(20)}
    assert firsts == {("a",), ("b",)}


def test_uncertainty_passes_over_events_without_a_score_and_says_how_many_remain() -> None:
    events = pool(a=None, b=0.9, c=0.4)
    assert Uncertainty("margin").select(events, 2, RNG(0)).event_ids == ("c", "b")
    with pytest.raises(ValueError, match="budget 3 exceeds scored pool of 2; lower"):
        Uncertainty("margin").select(events, 3, RNG(0))


def test_audit_draws_from_the_whole_pool_with_budget_over_pool_as_probability() -> None:
    events = pool(a=None, b=0.9, c=0.4, d=0.0)
    selection = Audit().select(events, 3, RNG(0))
    assert {draw.inclusion_probability for draw in selection.draws} == {0.75}
    seen = {e for seed in range(30) for e in Audit().select(events, 1, RNG(seed)).event_ids}
    assert seen == {"a", "b", "c", "d"}


@pytest.mark.parametrize(
    "sampler", [Audit(), Portfolio(Uncertainty("margin"), 0.5)], ids=["audit", "portfolio"]
)
def test_the_weighted_audit_estimate_is_exactly_unbiased_over_all_possible_draws(
    sampler: Sampler,
) -> None:
    """Six events, two spam of which the filter is sure: no arm that chooses would find them."""
    events = pool(a=0.01, b=0.02, c=0.5, d=0.51, e=0.99, f=0.6)
    spam = {"a", "e"}
    budget, audited = 4, 4 if isinstance(sampler, Audit) else 2
    draws = list(combinations(range(6), audited))
    estimates = [
        estimated_total(sampler.select(events, budget, ScriptedDraw(draw)), spam) for draw in draws
    ]
    assert len(draws) == comb(6, audited)
    assert sum(estimates) / len(draws) == len(spam)


def test_counting_the_chosen_events_as_if_drawn_would_be_biased() -> None:
    """By hand: audit {c, d}, then margin takes f and one more; spam is all of c, d, f."""
    events = pool(a=0.01, b=0.02, c=0.5, d=0.51, e=0.99, f=0.6)
    selection = Portfolio(Uncertainty("margin"), 0.5).select(events, 4, ScriptedDraw((2, 3)))
    assert [draw.strategy for draw in selection.draws] == ["audit", "audit", "margin", "margin"]
    assert selection.event_ids[:3] == ("c", "d", "f")
    assert estimated_total(selection, {"c", "d", "f"}) == 2 / Fraction(1, 3)


@pytest.mark.parametrize(("budget", "audited"), [(10, 3), (1, 1), (2, 1), (0, 0), (5, 2)])
def test_the_portfolio_rounds_the_audit_share_up(budget: int, audited: int) -> None:
    events = pool(**{f"e{i}": i / 20 for i in range(20)})
    selection = Portfolio(Uncertainty("margin"), 0.3).select(events, budget, RNG(0))
    assert selection.counts().get("audit", 0) == audited


def test_with_fewer_scored_events_than_the_budget_everything_goes_to_audit() -> None:
    events = pool(a=None, b=None, c=0.5, d=0.4)
    selection = Portfolio(Uncertainty("margin"), 0.3).select(events, 3, RNG(0))
    assert selection.counts() == {"audit": 3}
    assert {draw.inclusion_probability for draw in selection.draws} == {0.75}


def test_the_portfolio_refuses_to_go_without_an_audit() -> None:
    with pytest.raises(ValueError, match=r"audit_share 0.0 .* labelling.audit_share"):
        Portfolio(Uncertainty("margin"), 0.0)
    with pytest.raises(ValueError, match="set audit_share to 1"):
        Portfolio(Audit(), 0.5)


def test_a_pool_refuses_an_event_that_stands_twice_and_a_threshold_that_is_none() -> None:
    twice = pa.table({"event_id": ["a", "a"], "score": [0.1, 0.2]})
    with pytest.raises(ValueError, match="unique event_id"):
        Pool.of(twice)
    with pytest.raises(ValueError, match=r"threshold 1.5 is outside 0 to 1"):
        pool(threshold=1.5, a=0.1)


def test_an_unknown_sampler_or_measure_names_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"'magic' is none of audit, margin"):
        sampler_named("magic")
    with pytest.raises(ValueError, match=r"'magic' is none of margin"):
        Uncertainty("magic")
