"""What every sampler promises, run over each one of SAMPLERS and over portfolios of them."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pyarrow as pa
import pytest

from pipelines.labelling.samplers import (
    SAMPLERS,
    Balanced,
    OneACampaign,
    Pool,
    Portfolio,
    Sampler,
    Subsampled,
)

DIMENSIONS = 4
CHOOSERS = ("cluster_margin", "diversity", "adversarial", "time_sensitive")
FEATURES = (
    "disagreement", "flip_share", "doubt", "evasion_similarity", "emergence", "novelty", "burst",
    "recency",
)  # fmt: skip
SUITE: dict[str, Sampler] = {
    **SAMPLERS,
    "portfolio of margin": Portfolio({"margin": SAMPLERS["margin"]}, {"audit": 0.3, "margin": 0.7}),
    "portfolio of every arm": Portfolio(
        {name: SAMPLERS[name] for name in CHOOSERS}, {"audit": 0.2, **dict.fromkeys(CHOOSERS, 0.2)}
    ),
    "one a campaign": OneACampaign(SAMPLERS["entropy"]),
    "balanced": Balanced(SAMPLERS["margin"], "language"),
    "subsampled": Subsampled(SAMPLERS["margin"], 20),
}
every_sampler = pytest.mark.parametrize("sampler", SUITE.values(), ids=SUITE)


def rows(n: int = 60, seed: int = 3) -> pa.Table:
    draw = np.random.default_rng(seed)
    scores = np.round(draw.beta(0.4, 1.5, n), 2)  # many ties
    vectors = draw.normal(size=(n, DIMENSIONS)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    features = {name: np.round(draw.random(n), 1) for name in FEATURES}
    return pa.table(
        {
            "event_id": pa.array([f"e{i:03d}" for i in range(n)], pa.string()),
            "score": scores,
            "embedding": pa.array(list(vectors), pa.list_(pa.float32())),
            "language": pa.array([("en", "tr", None)[i % 3] for i in range(n)], pa.string()),
            **features,
        }
    )


def pool(n: int = 60) -> Pool:
    return Pool.of(rows(n))


def rng(seed: int = 11) -> np.random.Generator:
    return np.random.default_rng(seed)


@every_sampler
@pytest.mark.parametrize("budget", [0, 1, 7, 60])
def test_it_spends_exactly_its_budget_on_different_events_of_the_pool(
    sampler: Sampler, budget: int
) -> None:
    chosen = sampler.select(pool(), budget, rng()).event_ids
    assert len(chosen) == len(set(chosen)) == budget
    assert set(chosen) <= set(pool().event_ids)


@every_sampler
def test_the_same_seed_chooses_the_same(sampler: Sampler) -> None:
    assert sampler.select(pool(), 20, rng(5)) == sampler.select(pool(), 20, rng(5))


@every_sampler
def test_another_seed_breaks_ties_or_draws_otherwise(sampler: Sampler) -> None:
    table = rows(40)
    for name in ("score", *FEATURES):
        table = table.set_column(table.column_names.index(name), name, [np.full(40, 0.5)])
    flat = Pool.of(table)
    choices = {sampler.select(flat, 10, rng(seed)).event_ids for seed in range(5)}
    assert len(choices) == 5


@every_sampler
def test_the_order_of_the_rows_does_not_matter(sampler: Sampler) -> None:
    table = rows()
    shuffled = table.take(rng(1).permutation(table.num_rows))
    assert sampler.select(Pool.of(shuffled), 20, rng(2)) == sampler.select(pool(), 20, rng(2))


@every_sampler
@pytest.mark.parametrize("budget", [61, -1])
def test_an_impossible_budget_is_refused_with_its_numbers(sampler: Sampler, budget: int) -> None:
    with pytest.raises(ValueError, match=rf"budget {budget} (exceeds .* of 60; lower|is below)"):
        sampler.select(pool(), budget, rng())


@every_sampler
def test_an_empty_pool_takes_an_empty_budget(sampler: Sampler) -> None:
    assert sampler.select(pool(0), 0, rng()).draws == ()


@every_sampler
def test_every_draw_names_its_strategy_and_only_random_draws_have_a_probability(
    sampler: Sampler,
) -> None:
    for draw in sampler.select(pool(), 20, rng()).draws:
        assert draw.arm in {*SAMPLERS, *CHOOSERS}
        assert (draw.inclusion_probability is not None) == (draw.strategy == "audit")
        assert draw.inclusion_probability is None or 0 < draw.inclusion_probability <= 1


@pytest.mark.parametrize(
    ("name", "seeds"),
    [("audit", 1000), ("portfolio of margin", 1000), ("portfolio of every arm", 200)],
)
def test_its_inclusion_probabilities_are_how_often_it_really_draws(name: str, seeds: int) -> None:
    """Over many seeds each of 8 events is drawn as often as its draws claim, within 5 sigma."""
    small = pool(8)
    drawn: Counter[str] = Counter()
    claimed: set[float] = set()
    for seed in range(seeds):
        for draw in SUITE[name].select(small, 4, rng(seed)).draws:
            if draw.inclusion_probability is not None:
                drawn[draw.event_id] += 1
                claimed.add(draw.inclusion_probability)
    (probability,) = claimed
    five_sigma = 5 * (seeds * probability * (1 - probability)) ** 0.5
    assert set(drawn) == set(small.event_ids)
    assert all(abs(count - seeds * probability) < five_sigma for count in drawn.values())
