"""The default: how surprising the errors of a forecast are, over short and long spans at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from evaluation.monitoring.anomaly.base import by_column
from evaluation.monitoring.anomaly.forecasts import expected
from evaluation.monitoring.anomaly.series import Floats, Series
from evaluation.monitoring.anomaly.tail import surprise

SPANS = (1, 6, 12, 24, 48, 96)  # rows
RESOLUTION = 1e-6  # of the largest value so far: errors below are those of arithmetic


@dataclass(frozen=True)
class ForecastSurprise:
    """Mean surprise of the forecast's error, averaged over the last rows of each span.

    A spike shows in the shortest span at once, a shift of the level that no single row betrays in
    the longer ones; that short and long averages of errors tell anomalies from noise is the idea
    of the anomaly likelihood (Lavin & Ahmad 2015). Spans, quantile and window were settled on the
    development series of `make bench-anomalies`, never on those that it reports.
    """

    spans: tuple[int, ...] = SPANS

    def scores(self, series: Series) -> Floats:
        return by_column(series, lambda column: self._surprise(series, column))

    def _surprise(self, series: Series, column: Floats) -> Floats:
        errors = pd.Series(column - expected(series, column))
        size = np.asarray(pd.Series(np.abs(column)).cummax().fillna(0.0), dtype=np.float64)
        resolution = RESOLUTION * size + np.finfo(np.float64).tiny
        over_spans = [
            surprise(np.asarray(averaged(errors, rows).abs(), dtype=np.float64), resolution)
            for rows in self.spans
        ]
        return np.where(np.isnan(column), 0.0, np.mean(over_spans, axis=0))


def averaged(errors: pd.Series, rows: int) -> pd.Series:
    """The mean of the last rows where half of them are known: means of fewer vary more."""
    return errors.rolling(rows, min_periods=(rows + 1) // 2).mean()
