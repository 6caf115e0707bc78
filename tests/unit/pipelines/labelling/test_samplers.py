"""Samplers on tiny pools whose answers are worked by hand."""

from __future__ import annotations

from fractions import Fraction
from itertools import combinations
from math import comb

import numpy as np
import pyarrow as pa
import pytest

from pipelines.labelling.samplers import (
    SAMPLERS,
    Balanced,
    ClusterMargin,
    KCentre,
    OneACampaign,
    Pool,
    Portfolio,
    Representatives,
    Sampler,
    Selection,
    sampler_named,
)
from pipelines.labelling.samplers.audit import Audit
from pipelines.labelling.samplers.temporal import Recency
from pipelines.labelling.samplers.uncertainty import Uncertainty, entropy, least_confidence, margin
from pipelines.labelling.samplers.wrappers import square_root_quotas

RNG = np.random.default_rng


def pool(threshold: float = 0.5, **scores: float | None) -> Pool:
    column = pa.array(list(scores.values()), pa.float64())
    return Pool.of(pa.table({"event_id": list(scores), "score": column}), threshold)


def portfolio(audit: float) -> Portfolio:
    return Portfolio({"margin": Uncertainty("margin")}, {"audit": audit, "margin": 1 - audit})


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


@pytest.mark.parametrize("sampler", [Audit(), portfolio(0.5)], ids=["audit", "portfolio"])
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
    selection = portfolio(0.5).select(events, 4, ScriptedDraw((2, 3)))
    assert [draw.strategy for draw in selection.draws] == ["audit", "audit", "margin", "margin"]
    assert selection.event_ids[:3] == ("c", "d", "f")
    assert estimated_total(selection, {"c", "d", "f"}) == 2 / Fraction(1, 3)


@pytest.mark.parametrize(("budget", "audited"), [(10, 3), (1, 1), (2, 1), (0, 0), (5, 2)])
def test_the_portfolio_rounds_the_audit_share_up(budget: int, audited: int) -> None:
    events = pool(**{f"e{i}": i / 20 for i in range(20)})
    selection = portfolio(0.3).select(events, budget, RNG(0))
    assert selection.counts().get("audit", 0) == audited


def test_with_fewer_scored_events_than_the_budget_everything_goes_to_audit() -> None:
    events = pool(a=None, b=None, c=0.5, d=0.4)
    selection = portfolio(0.3).select(events, 3, RNG(0))
    assert selection.counts() == {"audit": 3}
    assert {draw.inclusion_probability for draw in selection.draws} == {0.75}


def test_the_portfolio_refuses_to_go_without_an_audit() -> None:
    with pytest.raises(ValueError, match=r"audit share 0.0 .* labelling.audit_share"):
        portfolio(0.0)
    with pytest.raises(ValueError, match=r"shares are for .* arms are"):
        Portfolio({"margin": Uncertainty("margin")}, {"audit": 1.0})
    with pytest.raises(ValueError, match="sum to 1"):
        Portfolio({"margin": Uncertainty("margin")}, {"audit": 0.5, "margin": 0.2})


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


def embedded(vectors: dict[str, tuple[float, float]], **columns: list[float | None]) -> Pool:
    table = pa.table(
        {
            "event_id": list(vectors),
            "score": pa.array(columns.pop("score", [0.5] * len(vectors)), pa.float64()),
            "embedding": pa.array(list(vectors.values()), pa.list_(pa.float32())),
            **{name: pa.array(values, pa.float64()) for name, values in columns.items()},
        }
    )
    return Pool.of(table)


def at(degrees: float) -> tuple[float, float]:
    return float(np.cos(np.radians(degrees))), float(np.sin(np.radians(degrees)))


def test_k_centre_takes_what_is_farthest_from_the_labelled_events() -> None:
    events = embedded({"a": at(0), "b": at(10), "c": at(90), "d": at(180)})
    known = events.covering(np.array([at(0)], np.float32))
    assert KCentre().select(known, 2, RNG(0)).event_ids == ("d", "c")


def test_representatives_are_typical_of_clusters_without_a_label() -> None:
    """Two clusters of three: the middles; and where one is labelled, only the other is asked."""
    events = embedded({f"e{i}": at(angle) for i, angle in enumerate([0, 5, 10, 90, 95, 100])})
    assert set(Representatives().select(events, 2, RNG(0)).event_ids) == {"e1", "e4"}
    known = events.covering(np.array([at(0), at(5), at(10)], np.float32))
    for seed in range(5):
        (chosen,) = Representatives().select(known, 1, RNG(seed)).event_ids
        assert chosen in {"e3", "e4", "e5"}


def test_cluster_margin_takes_the_middle_of_each_cluster_of_uncertain_events() -> None:
    """Near 0 degrees and near 90 there is doubt; at 180 the model is sure."""
    places = {"a": at(0), "b": at(10), "c": at(20), "d": at(90), "e": at(180)}
    events = embedded(places, score=[0.45, 0.5, 0.55, 0.6, 0.99])
    chosen = ClusterMargin(breadth=2).select(events, 2, RNG(0)).event_ids
    assert set(chosen) == {"b", "d"}


def test_one_task_a_campaign_until_nothing_else_is_left() -> None:
    places = {"a": at(0), "b": at(1), "c": at(2), "d": at(90)}
    events = embedded(places, score=[0.5, 0.51, 0.52, 0.9])
    sampler = OneACampaign(Uncertainty("margin"))
    assert sampler.select(events, 2, RNG(0)).event_ids == ("a", "d")
    assert sampler.select(events, 3, RNG(0)).event_ids == ("a", "d", "b")
    known = events.covering(np.array([at(0.5)], np.float32))
    assert sampler.select(known, 1, RNG(0)).event_ids == ("d",)


def test_quotas_grow_with_the_square_root_of_a_group() -> None:
    assert square_root_quotas([90_000, 10_000, 1], 41) == [30, 10, 1]
    assert square_root_quotas([2, 100], 10) == [2, 8]
    assert square_root_quotas([1, 2], 3) == [1, 2]


def test_a_small_language_keeps_its_place() -> None:
    table = pa.table(
        {
            "event_id": [f"e{i:02d}" for i in range(20)],
            "score": [0.5] * 16 + [0.9] * 4,
            "language": ["en"] * 16 + ["tr"] * 4,
        }
    )
    chosen = Balanced(Uncertainty("margin"), "language").select(Pool.of(table), 6, RNG(0))
    assert sum(event_id >= "e16" for event_id in chosen.event_ids) == 2


def test_an_arm_of_parts_takes_turns_and_passes_over_a_part_that_has_nothing() -> None:
    events = embedded(
        {f"e{i}": at(40 * i) for i in range(4)},
        flip_share=[None, None, None, None], doubt=[0.9, 0.1, None, None],
        evasion_similarity=[0.8, None, 0.7, 0.9],
    )  # fmt: skip
    chosen = SAMPLERS["adversarial"].select(events, 3, RNG(0))
    assert chosen.counts() == {"adversarial/evasion_neighbours": 2, "adversarial/doubt": 1}
    assert chosen.event_ids[0] == "e3"  # the confirmed first


def test_recency_prefers_the_new_as_its_half_life_says() -> None:
    """One of two, half-life 1 h, ages 0 and 2 h: weights 1 and 1/4, so the new one in 4 of 5."""
    events = embedded({"new": at(0), "old": at(90)}, recency=[0.0, 2.0])
    drawn = [Recency(1.0).select(events, 1, RNG(seed)).event_ids[0] for seed in range(2000)]
    assert drawn.count("new") / 2000 == pytest.approx(0.8, abs=0.03)


def test_an_audit_of_a_shortlist_draws_what_an_audit_of_everything_draws() -> None:
    everything = pa.table(
        {"event_id": ["a", "b", "c", "d"], "score": [0.1] * 4, "audit_order": ["3", "1", "2", "0"]}
    )
    short = Pool.of(everything.take([1, 3]), population=4)
    draws = Audit().select(short, 2, RNG(0)).draws
    assert draws == Audit().select(Pool.of(everything), 2, RNG(9)).draws
    assert [(draw.event_id, draw.inclusion_probability) for draw in draws] == [
        ("d", 0.5), ("b", 0.5),
    ]  # fmt: skip


def test_an_audit_refuses_a_shortlist_that_has_no_uniform_order() -> None:
    short = Pool.of(pa.table({"event_id": ["a"], "score": [0.1]}), population=4)
    with pytest.raises(ValueError, match="has 1 of 4 events and no audit_order"):
        Audit().select(short, 1, RNG(0))


def test_what_an_arm_cannot_spend_goes_to_the_others() -> None:
    events = embedded({f"e{i}": at(30 * i) for i in range(6)}, doubt=[0.5, *[None] * 5])
    arms = {"doubt": SAMPLERS["doubt"], "margin": SAMPLERS["margin"]}
    shares = {"audit": 0.25, "doubt": 0.5, "margin": 0.25}
    counts = Portfolio(arms, shares).select(events, 4, RNG(1)).counts()
    assert counts["audit"] == 1
    assert sum(counts.values()) == 4
    assert counts.get("doubt", 0) <= 1


def test_arms_of_a_portfolio_do_not_choose_what_resembles_each_other() -> None:
    """The doubted event has a twin at the threshold: margin, made to suppress, passes it over."""
    places = {"a": at(0), "b": at(1), "c": at(60), "d": at(120), "e": at(180)}
    events = embedded(places, score=[0.2, 0.5, 0.6, 0.9, 0.9], doubt=[0.9, *[None] * 4])
    arms = {"doubt": SAMPLERS["doubt"], "margin": OneACampaign(Uncertainty("margin"))}
    portfolio_of_two = Portfolio(arms, {"audit": 0.2, "doubt": 0.4, "margin": 0.4})
    for seed in range(10):
        chosen = portfolio_of_two.select(events, 3, RNG(seed))
        by_choice = {draw.event_id for draw in chosen.draws if draw.arm != "audit"}
        assert not {"a", "b"} <= by_choice
