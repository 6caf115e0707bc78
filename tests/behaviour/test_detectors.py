"""What every detector of anomalies promises, run over each one of DETECTORS."""

from __future__ import annotations

import numpy as np
import pytest

from evaluation.monitoring.anomaly import DETECTORS, MULTIVARIATE, UNIVARIATE
from evaluation.monitoring.anomaly.base import Detector
from evaluation.monitoring.anomaly.series import Series
from evaluation.monitoring.anomaly.tail import Surprising
from tests.performance import anomaly_planted as planted

ROWS, ODD, ODD_HOURS = 700, 650, 12
HOUR = 3600.0
SUITE: dict[str, Detector] = {
    **DETECTORS,
    "three sigma by rarity": Surprising(UNIVARIATE["three_sigma"]),
}
every_detector = pytest.mark.parametrize("detector", SUITE.values(), ids=SUITE)
every_univariate = pytest.mark.parametrize("detector", UNIVARIATE.values(), ids=UNIVARIATE)
every_multivariate = pytest.mark.parametrize("detector", MULTIVARIATE.values(), ids=MULTIVARIATE)


def hours(columns: int = 2, rows: int = ROWS, seed: int = 5) -> Series:
    """Hourly rows with a season and noise; a day is missing."""
    times = np.arange(rows) * HOUR
    times[rows // 2 :] += 24 * HOUR
    season = np.sin(2 * np.pi * times / (24 * HOUR))[:, None]
    noise = np.random.default_rng(seed).normal(0, 0.3, (rows, columns))
    return Series(times, 5 + season + noise, tuple(f"c{i}" for i in range(columns)))


def with_values(series: Series, values: np.ndarray) -> Series:
    return Series(series.times, values, series.columns)


@every_detector
def test_a_row_has_one_finite_score_that_is_not_negative(detector: Detector) -> None:
    scores = detector.scores(hours())
    assert scores.shape == (ROWS,)
    assert np.isfinite(scores).all()
    assert scores.min() >= 0
    assert scores.max() > 0


@every_detector
def test_what_comes_later_changes_no_score(detector: Detector) -> None:
    series, known = hours(), 600
    later = series.values.copy()
    later[known:] = 1000.0
    whole, changed = detector.scores(series), detector.scores(with_values(series, later))
    np.testing.assert_array_equal(whole[:known], changed[:known])
    np.testing.assert_allclose(detector.scores(series.until(known)), whole[:known], atol=1e-9)


@every_detector
@pytest.mark.parametrize("rows", [0, 1, 15])
def test_of_too_little_past_nothing_is_said(detector: Detector, rows: int) -> None:
    assert detector.scores(hours().until(rows)).tolist() == [0.0] * rows


@every_detector
def test_a_series_that_stands_still_is_not_abnormal(detector: Detector) -> None:
    series = hours()
    scores = detector.scores(with_values(series, np.full_like(series.values, 7.0)))
    assert np.ptp(scores[200:]) == 0  # a forest calls everything equally ordinary, others 0


@every_detector
def test_missing_values_are_not_scored_and_stop_nothing(detector: Detector) -> None:
    series = hours()
    values = series.values.copy()
    values[560:580] = np.nan
    scores = detector.scores(with_values(series, values))
    assert not scores[560:580].any()
    assert scores[620:].any()


@every_detector
def test_the_unit_does_not_matter(detector: Detector) -> None:
    series = hours()
    seconds, milliseconds = series, with_values(series, series.values * 1000)
    np.testing.assert_allclose(
        detector.scores(milliseconds), detector.scores(seconds), rtol=0.02, atol=0.02
    )


@every_univariate
@pytest.mark.parametrize("column", [0, 1])
def test_half_a_day_far_off_in_any_column_scores_highest(detector: Detector, column: int) -> None:
    series = hours()
    values = series.values.copy()
    values[ODD : ODD + ODD_HOURS, column] += 8.0
    scores = detector.scores(with_values(series, values))
    assert scores[ODD : ODD + ODD_HOURS].max() > scores[ROWS // 2 + 50 : ODD].max()


@every_multivariate
def test_what_no_single_column_shows_is_found_together(detector: Detector) -> None:
    found = planted.caught({"one": detector}, seeds=range(2))[0]
    assert found.found == found.trials


@every_univariate
def test_what_no_single_column_shows_is_not_found_alone(detector: Detector) -> None:
    """At the same share of false alarms as the multivariate ones have."""
    assert planted.caught({"one": detector}, seeds=range(1))[0].found == 0
