"""The arithmetic of bench-anomalies: windows, events and NAB's score worked by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from data_contracts.errors import BadInput
from evaluation.monitoring.anomaly.series import Series
from tests.performance.anomaly_picture import Shown, draw
from tests.performance.anomaly_scoring import (
    best_threshold,
    counted,
    earliness,
    f1_gain,
    figures,
    judged,
    lateness,
)
from tests.performance.anomaly_series import Labelled, is_development, labelled

WINDOWS = ((100, 199), (300, 399))


def sigmoid(position: float) -> float:
    return 2 / (1 + np.exp(5 * position)) - 1


def series(name: str = "a", rows: int = 1000) -> Labelled:
    return Labelled(name, Series.of(name, np.arange(rows) * 60.0, np.zeros(rows)), WINDOWS)


def test_a_perfect_detector_has_a_hundred_and_a_silent_one_nothing() -> None:
    perfect = figures([counted([100, 300], WINDOWS)])
    assert (perfect.f1, perfect.nab) == (1.0, 100.0)
    silent = figures([counted([], WINDOWS)])
    assert (silent.f1, silent.recall, silent.nab) == (0.0, 0.0, 0.0)


def test_only_the_first_alert_of_a_window_counts_and_no_later_one_is_false() -> None:
    found = counted([150, 160, 170], WINDOWS)
    assert (found.found, found.missed, found.false_alerts) == (1, 1, 0)
    assert found.nab == pytest.approx(sigmoid(-0.5) / sigmoid(-1) - 1)


def test_false_alerts_cost_a_ninth_and_less_right_after_a_window() -> None:
    found = counted([50, 200], WINDOWS)
    assert (found.found, found.false_alerts) == (0, 2)
    assert found.nab == pytest.approx(-2 + 0.11 * (-1 + sigmoid(1 / 99)))
    assert lateness(200, WINDOWS) > lateness(290, WINDOWS) > lateness(50, WINDOWS) == -1


def test_an_earlier_alert_earns_more() -> None:
    earned = [earliness(row, (100, 199)) for row in range(100, 200)]
    assert earned[0] == 1.0
    assert all(np.diff(earned) < 0)
    assert earned[-1] > 0


def test_alerts_in_probation_do_not_count_and_constant_noise_is_raised_again() -> None:
    one = series()
    scores = np.ones(1000)
    found = judged(one, scores, 0.5, quiet_seconds=100 * 60.0)
    # from row 150 on, every hundred rows: 150 and 350 are inside of windows
    assert (found.found, found.false_alerts) == (2, 7)


def test_the_threshold_is_the_best_on_the_series_it_is_given() -> None:
    one = series()
    scores = np.linspace(0, 1, 1000) % 0.1  # noise below a tenth
    scores[[160, 310]] = 5.0
    threshold = best_threshold([one], {"a": scores}, 0.0)
    assert 0.1 <= threshold <= 5.0
    assert figures([judged(one, scores, threshold, 0.0)]).f1 == 1.0


def test_a_gain_is_paired_and_its_interval_holds_it() -> None:
    good, bad = [counted([100, 300], WINDOWS)] * 6, [counted([100, 50], WINDOWS)] * 6
    gain = f1_gain(good, bad)
    assert gain.value == gain.low == gain.high == pytest.approx(0.5)


def test_without_windows_there_is_no_figure() -> None:
    with pytest.raises(ValueError, match="no series has an anomaly window"):
        figures([counted([3], ())])


def test_which_series_settle_parameters_depends_on_the_name_alone() -> None:
    assert is_development("artificialWithAnomaly/art_daily_jumpsup.csv")
    names = [f"realTweets/{number}.csv" for number in range(400)]
    assert 150 < sum(map(is_development, names)) < 250


def test_series_are_read_with_their_windows(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_text(
        "series,timestamp,value,in_anomaly_window\n"
        "a.csv,2014-04-01 00:00:00,1.0,0\na.csv,2014-04-01 00:05:00,2.0,1\n"
        "b.csv,2014-04-01 00:00:00,3.0,1\n"
    )
    one, other = labelled(path)
    assert (one.name, one.windows, other.windows) == ("a.csv", ((1, 1),), ((0, 0),))
    assert np.diff(one.series.times).tolist() == [300.0]
    path.write_text("series,value\na,1\n")
    with pytest.raises(BadInput, match="no column timestamp"):
        list(labelled(path))


def test_the_picture_is_written(tmp_path: Path) -> None:
    shown = Shown(series(), np.zeros(1000), 1.0, [120])
    picture = draw([shown], "ours", tmp_path / "picture.svg").read_text()
    assert picture.lstrip().startswith("<?xml")
