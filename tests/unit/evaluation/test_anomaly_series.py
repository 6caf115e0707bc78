"""Series, forecasts and surprise, on inputs whose answers are worked by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import orjson
import pytest

from evaluation.monitoring.anomaly.forecasts import DAY, expected, same_time
from evaluation.monitoring.anomaly.series import (
    Series,
    from_reports,
    read_reports,
    rows_before,
    together,
)
from evaluation.monitoring.anomaly.tail import LEAST_PAST, Surprising, surprise

HOUR = 3600.0


def hourly(values: np.ndarray) -> Series:
    return Series.of("x", np.arange(len(values)) * HOUR, values)


def test_values_need_a_row_a_time_and_a_column_a_name() -> None:
    with pytest.raises(ValueError, match="shape"):
        Series(np.zeros(2), np.zeros((3, 1)), ("x",))


def test_times_that_fall_are_refused() -> None:
    with pytest.raises(ValueError, match="sort the rows"):
        Series.of("x", [2.0, 1.0], [0.0, 0.0])


def test_the_row_of_yesterday_is_found_by_the_clock_when_hours_are_missing() -> None:
    times = np.array([0.0, 1.0, 2.0, 24.0, 26.0, 27.0]) * HOUR
    assert rows_before(times, DAY, HOUR).tolist() == [-1, -1, -1, 0, 2, -1]


def test_the_same_time_is_the_median_of_the_days_before() -> None:
    values = np.concatenate([np.full(24, day) for day in (1.0, 5.0, 9.0, 0.0)])
    forecast = same_time(hourly(values), values, DAY, 3)
    assert np.isnan(forecast[:24]).all()
    assert (forecast[24:48] == 1).all()
    assert (forecast[48:72] == 3).all()
    assert (forecast[72:] == 5).all()


def test_of_several_forecasts_the_one_that_erred_least_is_taken() -> None:
    rng = np.random.default_rng(1)
    hours = np.arange(24 * 14)
    seasonal = 10 + 5 * np.sin(2 * np.pi * hours / 24) + rng.normal(0, 0.1, len(hours))
    flat = 10 + rng.normal(0, 1, len(hours))
    late = slice(24 * 5, None)
    errors = np.abs(seasonal - expected(hourly(seasonal), seasonal))[late]
    assert errors.mean() < 0.3  # a level would be off by 3
    level_errors = np.abs(flat - expected(hourly(flat), flat))[late]
    daily_errors = np.abs(flat - same_time(hourly(flat), flat, DAY, 3))[late]
    assert level_errors.mean() < daily_errors.mean()


def test_surprise_is_the_logarithm_of_how_rare_a_value_is_in_an_exponential_tail() -> None:
    draws = np.random.default_rng(2).exponential(1.0, 4000)
    draws[-1] = 9 * np.log(10) / 3  # one in a thousand is above
    assert surprise(draws)[-1] == pytest.approx(3.0, abs=0.35)


def test_a_heavy_tail_makes_the_same_value_less_surprising() -> None:
    rng = np.random.default_rng(3)
    light, heavy = np.abs(rng.normal(size=3000)), np.abs(rng.standard_t(2, size=3000))
    light[-1] = heavy[-1] = 6.0
    assert surprise(light)[-1] > 4 * surprise(heavy)[-1]


def test_without_past_there_is_no_surprise() -> None:
    draws = np.random.default_rng(4).exponential(1.0, LEAST_PAST)
    draws[-1] = 100.0
    assert not surprise(draws).any()


def test_rows_before_a_detector_could_say_anything_are_no_past() -> None:
    class Late:
        def scores(self, series: Series) -> np.ndarray:
            return np.where(np.arange(len(series)) < 200, 0.0, 2.0)

    assert not Surprising(Late()).scores(hourly(np.zeros(200 + LEAST_PAST))).any()


def test_numbers_of_the_reports_are_series_by_path(tmp_path: Path) -> None:
    hours = [
        {
            "window": {"end": f"2026-01-05T0{hour}:00:00+00:00", "hours": 1},
            "traffic": {"decisions": 10 * hour, "positive_rate": {"value": 0.1, "low": 0, "of": 9}},
            "errors": None if hour == 1 else {"requests": 4},
            "alarms": [],
        }
        for hour in (1, 2, 3)
    ]
    for hour in hours:
        name = hour["window"]["end"][:13].replace("-", "") + "0000Z.json"  # type: ignore[index]
        (tmp_path / name).write_bytes(orjson.dumps(hour))
    (tmp_path / "latest.json").write_bytes(orjson.dumps(hours[-1]))
    found = read_reports(tmp_path, latest=2)
    assert set(found) == {"traffic.decisions", "traffic.positive_rate.value", "errors.requests"}
    assert found["traffic.decisions"].values[:, 0].tolist() == [20.0, 30.0]
    whole = from_reports(hours)["errors.requests"].values[:, 0]
    assert np.isnan(whole[0])
    assert whole[1:].tolist() == [4.0, 4.0]


def test_series_are_only_joined_where_their_times_agree() -> None:
    one, other = Series.of("a", [0.0, 1.0], [1.0, 2.0]), Series.of("b", [0.0, 2.0], [1.0, 2.0])
    assert together({"a": one, "b": one}, ["a", "b"]).values.shape == (2, 2)
    with pytest.raises(ValueError, match="different times"):
        together({"a": one, "b": other}, ["a", "b"])
