"""Drift from histograms: bins, distances, tests, effects and causes, on answers worked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from data_contracts.config import Drift, load_settings
from evaluation.monitoring.drift.bins import Bins, CategoryBins, NumberBins
from evaluation.monitoring.drift.causes import likely_cause, scale_factor
from evaluation.monitoring.drift.distances import (
    jensen_shannon,
    population_stability_index,
    wasserstein,
)
from evaluation.monitoring.drift.effect import effect
from evaluation.monitoring.drift.embeddings import DaySample, clustered_auc, embedding_drift
from evaluation.monitoring.drift.histograms import SCORE, Histogram, summed
from evaluation.monitoring.drift.judging import compared
from evaluation.monitoring.drift.significance import significance

LENGTH = NumberBins("length", (0.0, 10.0, 20.0, 30.0))
ORDINARY = (0, 0, 300, 400, 300, 0)


@pytest.fixture(scope="module")
def settings() -> Drift:
    return load_settings({}).monitoring.drift


def day(rows: tuple[int, ...], rates: tuple[float, ...] | None = None) -> Histogram:
    counts = np.array(rows)
    acted = np.round(counts * np.array(rates or (0.0,) * len(rows))).astype(np.int64)
    judged = counts if rates is not None else np.zeros(len(rows), np.int64)
    return Histogram(counts, judged, acted)


def reference(rates: tuple[float, ...] | None = None, days: int = 8) -> list[Histogram]:
    """Days that differ a little from each other, as days do."""
    wobble = (20, -20, 10, -10, 15, -15, 5, -5)
    return [
        day((0, 0, 300 + wobble[n % 8], 400, 300 - wobble[n % 8], 0), rates) for n in range(days)
    ]


def no_quantiles(_: str) -> list[None]:
    return [None] * 4


def test_distances_are_those_worked_by_hand() -> None:
    one, other = np.array([800, 200]), np.array([200, 800])
    expected = 2 * 0.6 * np.log(4)
    assert population_stability_index(one, other) == pytest.approx(expected, rel=0.01)
    assert jensen_shannon(one, one * 7) == 0.0
    assert (
        jensen_shannon(one, other) == jensen_shannon(other, one) == pytest.approx(0.527, abs=0.001)
    )
    edges = np.array([0.0, 2.0, 4.0])  # middles 1 and 3
    moved = wasserstein(np.array([0, 0, 5, 5, 0]), np.array([9, 0, 0, 5, 0]), edges)
    assert moved == pytest.approx(1.0)  # half of it by 2, in deviations of 1
    assert wasserstein(np.array([5, 0, 0, 0, 0]), np.array([5, 0, 0, 0, 0]), edges) is None


def test_what_is_significant_depends_on_how_days_differ_and_not_on_the_number_of_rows() -> None:
    usual = np.array([one.rows for one in reference()])
    today = np.array([0, 0, 315, 400, 285, 0])
    for scale in (1, 1000):  # a thousand times the rows: sampling noise is gone, days still differ
        found = significance(usual * scale, today * scale)
        assert found is not None
        assert found.p_value > 0.2
    drifted = significance(usual, np.array([0, 0, 100, 400, 500, 0]))
    assert drifted is not None
    assert drifted.p_value < 1e-4
    assert significance(usual[:1], today) is None


def test_a_constant_feature_is_not_drifting() -> None:
    found = significance(np.array([[0, 50, 0]] * 4), np.array([0, 70, 0]))
    assert found is not None
    assert found.p_value == 1.0


def test_the_effect_is_the_moved_share_times_the_difference_of_rates() -> None:
    rates = (0.0, 0.0, 0.1, 0.1, 0.4, 0.0)
    moved = effect(reference(rates), day((0, 0, 100, 400, 500, 0), rates))
    assert moved is not None
    # 20 points of the events moved from 10 % to 40 %
    assert moved.positive_rate == pytest.approx(0.2 * 0.3, abs=0.002)
    assert moved.at_stake >= moved.positive_rate
    assert 0 < moved.surely < moved.at_stake
    assert effect(reference(), day(ORDINARY)) is None  # no verdicts, no word


def test_a_feature_that_the_model_ignores_is_not_blamed_for_what_others_do() -> None:
    even = (0.2,) * 6
    # all its values are new, and the model happens to act on half of today's events
    moved = effect(reference(even), day((0, 0, 0, 0, 0, 1000), (0.5,) * 6))
    assert moved is not None
    assert moved.at_stake == moved.surely == 0.0


def test_a_feature_gone_null_counts_by_what_the_model_says_of_nulls() -> None:
    rates = (0.05, 0.0, 0.1, 0.1, 0.4, 0.0)
    moved = effect(reference(rates), day((1000, 0, 0, 0, 0, 0), (0.05,) * 6))
    assert moved is not None
    assert moved.positive_rate == pytest.approx(0.05 - 0.19, abs=0.01)
    assert moved.surely > 0.05


def test_causes_are_named() -> None:
    usual = day(ORDINARY)
    cause = likely_cause(LENGTH, usual, day((990, 0, 3, 4, 3, 0)), None)
    assert cause.startswith("feature gone null: missing in 99.0%")
    assert "above all values before" in likely_cause(LENGTH, usual, day((0, 0, 0, 0, 0, 9)), None)
    assert "moved up" in likely_cause(LENGTH, usual, day((0, 0, 0, 400, 600, 0)), None)
    assert "unit change: values are about ×1000" in likely_cause(
        LENGTH, usual, day((0, 0, 0, 0, 0, 1000)), 1000.0
    )
    told = likely_cause(LENGTH, day((1000, 0, 0, 0, 0, 0)), day((250, 0, 0, 750, 0, 0)), None)
    assert told == "values where there were none: in 75.0% of the events"
    language = CategoryBins("language", ("en", "<b>"))
    cause = likely_cause(language, day((0, 5, 5, 0)), day((0, 5, 2, 3)), None)
    assert cause.startswith("new category: 30.0%")
    assert "<b>" not in cause  # users write categories


def test_a_factor_is_a_unit_only_where_all_quantiles_agree() -> None:
    usual = day(ORDINARY)
    now = [3.33, 8.33, 21.7, 26.7]
    assert scale_factor(LENGTH, usual, [1000 * one for one in now]) == 1000.0
    assert scale_factor(LENGTH, usual, [one / 60 for one in now]) == pytest.approx(1 / 60)
    assert scale_factor(LENGTH, usual, [now[0], now[1], 1000 * now[2], 1000 * now[3]]) is None
    assert scale_factor(LENGTH, usual, [1.3 * one for one in now]) is None
    assert scale_factor(LENGTH, usual, [-one for one in now]) is None


def test_harmful_drift_ranks_first_and_the_rest_is_no_alarm(settings: Drift) -> None:
    bins = Bins((LENGTH, NumberBins("unused", LENGTH.edges), NumberBins("calm", LENGTH.edges)), ())
    rates, even = (0.0, 0.0, 0.1, 0.1, 0.4, 0.0), (0.19,) * 6
    days = [
        {"length": one, "unused": other, "calm": other}
        for one, other in zip(reference(rates), reference(even), strict=True)
    ]
    current = {
        "length": day((0, 0, 100, 400, 500, 0), rates),
        "unused": day((0, 0, 0, 0, 0, 1000), even),
        "calm": day(ORDINARY, even),
    }
    found = compared(bins, days, current, settings, no_quantiles)
    assert [one.feature for one in found] == ["length", "unused", "calm"]
    assert [one.drifted for one in found] == [True, True, False]
    assert [one.matters for one in found] == [True, False, False]
    assert compared(bins, days[:1], current, settings, no_quantiles) == []


def test_events_without_a_verdict_say_nothing_of_the_scores(settings: Drift) -> None:
    bins = Bins((NumberBins(SCORE, LENGTH.edges), LENGTH), ())
    none, all_now = day((1000, 0, 0, 0, 0, 0)), day(ORDINARY)
    before = [{SCORE: none, "length": one} for one in reference()]
    first = compared(bins, before, {SCORE: all_now, "length": all_now}, settings, no_quantiles)
    assert [(one.feature, one.drifted) for one in first] == [("length", False)]
    few = [{SCORE: day((700, *(n // 3 for n in one.rows[1:].tolist()))), "length": one}
           for one in reference()]  # fmt: skip
    for scores, drifted in ((ORDINARY, False), ((0, 0, 0, 0, 0, 1000), True)):
        now = {SCORE: day(scores), "length": all_now}
        found = {one.feature: one for one in compared(bins, few, now, settings, no_quantiles)}
        assert found[SCORE].drifted == drifted


def test_a_window_is_the_sum_of_its_days() -> None:
    whole = summed([{"a": one} for one in reference()])["a"]
    assert whole.rows.tolist() == [0, 0, 2400, 3200, 2400, 0]


def test_bins_come_back_from_their_file_and_keep_their_version() -> None:
    bins = Bins((LENGTH, CategoryBins("language", ("en",))), ("2026-01-01",))
    assert Bins.from_json(bins.as_json()) == bins
    assert Bins.from_json(bins.as_json()).version == bins.version
    with pytest.raises(ValueError, match="ascend"):
        NumberBins("length", (1.0, 1.0))


def test_the_error_of_an_auc_grows_where_rows_are_copies() -> None:
    rng = np.random.default_rng(0)
    target = np.arange(400) < 200
    scores = rng.standard_normal(100).repeat(4) + 0.5 * target
    alone = clustered_auc(scores, target, np.arange(400))
    copies = clustered_auc(scores, target, np.arange(400) // 4)
    assert copies[0] == alone[0]
    assert copies[1] == pytest.approx(2 * alone[1], rel=0.1)  # a quarter of the evidence


def samples(count: int, rng: np.random.Generator, shift: float = 0.0) -> list[DaySample]:
    found = []
    for number in range(count):
        vectors = rng.standard_normal((80, 8)).astype(np.float32)
        vectors[:, 0] += shift
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        found.append(DaySample(f"day {number}", vectors, (vectors[:, 0] > 0.2).astype(float)))
    return found


def test_embeddings_drift_where_a_classifier_tells_the_day(settings: Drift) -> None:
    rng = np.random.default_rng(3)
    usual = samples(6, rng)
    calm = embedding_drift(samples(1, rng)[0], usual, settings, np.random.default_rng(0))
    moved = embedding_drift(samples(1, rng, 2.0)[0], usual, settings, np.random.default_rng(0))
    assert calm is not None
    assert moved is not None
    assert not calm.drifted
    assert moved.drifted
    assert moved.auc.low > calm.auc.value
    assert moved.effect is not None
    assert moved.effect.positive_rate > 0.1  # the model acts on the first coordinate
    assert embedding_drift(usual[0], usual[:2], settings, rng) is None
