"""A seasonality-aware baseline: what this hour of the week was in the weeks before."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from evaluation.monitoring.anomaly.base import by_column
from evaluation.monitoring.anomaly.forecasts import DAY, WEEK, same_time
from evaluation.monitoring.anomaly.robust_deviation import NORMAL, least_deviation
from evaluation.monitoring.anomaly.series import Floats, Series


@dataclass(frozen=True)
class SeasonalDeviation:
    """Deviations from the median of the same time of `weeks` past weeks, in units of their size.

    Where there is no week of past yet, the same time of as many past days stands in.
    """

    weeks: int = 4
    window: int = 1000
    least_past: int = 20

    def scores(self, series: Series) -> Floats:
        return by_column(series, lambda column: self._deviations(series, column))

    def _deviations(self, series: Series, column: Floats) -> Floats:
        weekly = same_time(series, column, WEEK, self.weeks)
        expected = np.where(np.isnan(weekly), same_time(series, column, DAY, self.weeks), weekly)
        away = pd.Series(np.abs(column - expected))
        usual = away.shift(1).rolling(self.window, min_periods=self.least_past).median()
        least = least_deviation(pd.Series(column))
        return np.asarray(away / np.maximum(NORMAL * usual, least), dtype=np.float64)
