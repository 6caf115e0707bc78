"""What a row is expected to be, from earlier ones; of several forecasts the one that errs least."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
import pandas as pd

from evaluation.monitoring.anomaly.series import Floats, Series, rows_before, step_seconds

DAY, WEEK = 86_400.0, 604_800.0
LEVEL_ROWS, LEAST_LEVEL = 1000, 20
TRACK_ROWS, LEAST_TRACK = 100, 24  # errors of at least so many rows choose a forecast
LEAST_STEPS = 4  # in a period, or it is too short for this series


def level(column: Floats) -> Floats:
    """float64[n]: the median of the past, NaN for the first rows."""
    past = pd.Series(column).shift(1).rolling(LEVEL_ROWS, min_periods=LEAST_LEVEL)
    return np.asarray(past.median(), dtype=np.float64)


def same_time(series: Series, column: Floats, period: float, count: int) -> Floats:
    """float64[n]: the median of the same time of up to `count` past periods (seconds).

    NaN before the second period, and where a period has no more than a few rows.
    """
    step = step_seconds(series)
    if not _fits(period, step):
        return np.full(len(series), np.nan)
    past = []
    for back in range(1, count + 1):
        rows = rows_before(series.times, back * period, step)
        past.append(np.where(rows >= 0, column[rows], np.nan))
    with warnings.catch_warnings():  # rows of which no period is known yet
        warnings.filterwarnings("ignore", "All-NaN slice encountered", RuntimeWarning)
        return np.asarray(np.nanmedian(past, axis=0), dtype=np.float64)


def expected(series: Series, column: Floats) -> Floats:
    """float64[n]: the forecast whose errors were smallest of late, out of level, day and week.

    So a series without seasons is not compared with yesterday, and one with them is. NaN until
    it is known whether the days are alike: the errors of a level that knows of no day, in a
    series that has them, would make every later error look small.
    """
    daily = same_time(series, column, DAY, 3)
    forecasts = [level(column), daily, same_time(series, column, WEEK, 3)]
    step = step_seconds(series)
    rows = max(TRACK_ROWS, round(DAY / step) if step > 0 else TRACK_ROWS)
    errors = [_recent_error(column - one, rows) for one in forecasts]
    chosen = _least_wrong(forecasts, errors)
    if _fits(DAY, step):
        chosen[~np.maximum.accumulate(~np.isnan(errors[1]))] = np.nan
    return chosen


def _least_wrong(forecasts: Sequence[Floats], errors: Sequence[Floats]) -> Floats:
    known, wrong = np.column_stack(forecasts), np.column_stack(errors)
    wrong[np.isnan(wrong) | np.isnan(known)] = np.inf
    return np.asarray(known[np.arange(len(known)), wrong.argmin(axis=1)], dtype=np.float64)


def _fits(period: float, step: float) -> bool:
    """Whether a period has more than a few rows."""
    return step > 0 and period >= LEAST_STEPS * step


def _recent_error(errors: Floats, rows: int) -> Floats:
    past = pd.Series(np.abs(errors)).shift(1).rolling(rows, min_periods=LEAST_TRACK)
    return np.asarray(past.mean(), dtype=np.float64)
