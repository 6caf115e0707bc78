"""A state-space forecast: statsmodels' local level model and the error of its next step."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np

from evaluation.monitoring.anomaly.base import by_column
from evaluation.monitoring.anomaly.series import Floats, Series


@dataclass(frozen=True)
class LocalLevel:
    """Standardised one-step errors of a random walk seen through noise.

    Exponential smoothing with its best factor, in other words (Durbin & Koopman 2012, chapter 2).
    The variances are fitted once, on the first `fit_rows`, which are not scored; from there on the
    Kalman filter follows. The one door to statsmodels.
    """

    fit_rows: int = 500

    def scores(self, series: Series) -> Floats:
        return by_column(series, self._errors)

    def _errors(self, column: Floats) -> Floats:
        scores = np.zeros(len(column))
        first = column[: self.fit_rows]
        if len(column) <= self.fit_rows or np.nanstd(first) == 0 or np.all(np.isnan(first)):
            return scores
        with warnings.catch_warnings():  # of convergence: the best that was found is used
            warnings.simplefilter("ignore")
            from statsmodels.tsa.statespace.structural import UnobservedComponents

            scale = float(np.nanstd(first))
            fitted = UnobservedComponents(first / scale, "local level").fit(disp=False)
            filtered = fitted.apply(column / scale).filter_results
        errors = np.abs(filtered.standardized_forecasts_error[0])
        scores[self.fit_rows :] = errors[self.fit_rows :]
        return scores
