"""The audit's intervals hold the truth as often as they say; the bench does it at length."""

from __future__ import annotations

import numpy as np
import pytest

from evaluation.metrics import Estimate
from tests.performance import bench_audit_estimates as bench
from tests.performance.audit_simulation import FIGURES, SCENARIOS, Scenario, simulate, truth

SLOW = SCENARIOS[1]


@pytest.fixture(scope="module")
def rows() -> dict[tuple[str, str], dict]:
    found = bench.rows_of(SLOW, further=0)
    return {(row["method"], row["figure"]): row for row in found}


@pytest.mark.parametrize("figure", FIGURES)
def test_intervals_cover_the_truth_although_blocked_events_are_labelled_late(
    rows: dict, figure: str
) -> None:
    row = rows[bench.WEIGHTED, figure]
    assert bench.LOWEST <= row["coverage"]["value"] <= bench.HIGHEST
    # an unbiased estimate: the mean error of 200 runs is within three standard errors of zero
    assert abs(row["bias"]) < 3 * row["root_mean_square_error"] / np.sqrt(bench.SIMULATIONS)


@pytest.mark.parametrize("method", ["audit labels, unweighted", "all labels, unweighted"])
def test_labels_counted_once_each_mislead_about_recall(rows: dict, method: str) -> None:
    row = rows[method, "recall"]
    assert row["bias"] < -0.1
    assert row["coverage"]["value"] < 0.5


def test_goals_are_met_by_coverage_within_the_band_alone() -> None:
    def row(value: float, method: str = bench.WEIGHTED) -> dict:
        return {
            "scenario": "a day", "figure": "recall", "method": method,
            "coverage": {"value": value, "low": 0.0, "high": 1.0},
        }  # fmt: skip

    judged = bench.goals([row(0.915), row(0.92), row(0.98), row(0.985), row(0.95, "another")])
    assert [goal["met"] for goal in judged] == [False, True, True, False]
    assert judged[0]["id"] == "a_day.recall"


def test_a_run_without_an_estimate_covers_nothing() -> None:
    runs = [
        bench.Run({"recall": 0.5}, {"m": {"recall": said}})
        for said in (Estimate(0.5, 0.4, 0.6), Estimate(0.9, 0.8, 1.0), None, None)
    ]
    coverage = bench._coverage(runs, "m", "recall")
    assert coverage is not None
    assert (coverage["value"], coverage["of"]) == (0.25, 4)


def test_simulated_truth_is_that_of_all_events_and_the_arms_do_not_overlap() -> None:
    days = simulate(Scenario("made", days=2, events=4000), np.random.default_rng(0))
    spam = np.concatenate([day.is_spam for day in days])
    assert truth(days)["prevalence"] == spam.mean() == pytest.approx(0.03, abs=0.01)
    for day in days:
        assert not set(day.audited.tolist()) & set(day.chosen.tolist())
        assert len(day.audited) == len(day.chosen) == 500
    assert days[0].labelled.mean() > days[1].labelled.mean()
