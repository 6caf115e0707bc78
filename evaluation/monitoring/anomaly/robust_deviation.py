"""Statistical outliers: deviations from the rolling median, in units of their usual size."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from evaluation.monitoring.anomaly.base import by_column
from evaluation.monitoring.anomaly.series import Floats, Series

NORMAL = 1.4826  # median absolute deviations of a normal variable are so much smaller than sigma
LEAST_SHARE = 0.1  # of the standard deviation: a smaller usual deviation is not believed
_TINY = 1e-9


@dataclass(frozen=True)
class RobustDeviation:
    """The modified z-score of Iglewicz & Hoaglin (1993) over a moving past of `window` rows.

    Median and deviation stand still while up to half of the past is abnormal.
    """

    window: int = 1000
    least_past: int = 20

    def scores(self, series: Series) -> Floats:
        return by_column(series, self._deviations)

    def _deviations(self, column: Floats) -> Floats:
        values = pd.Series(column)
        middle = self._median(values)
        away = (values - middle).abs()
        usual = NORMAL * self._median(away)
        return np.asarray(away / np.maximum(usual, least_deviation(values)), dtype=np.float64)

    def _median(self, values: pd.Series) -> pd.Series:
        return values.shift(1).rolling(self.window, min_periods=self.least_past).median()


def least_deviation(values: pd.Series) -> pd.Series:
    """The smallest usual deviation that is believed, row by row, from the rows before.

    Of a series that stands still most of the time the median deviation is nothing.
    """
    spread = values.shift(1).expanding(2).std().fillna(0.0)
    return LEAST_SHARE * spread + _TINY
