"""Several series at once: rows that break how their columns usually move together."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np

from evaluation.monitoring.anomaly.series import Floats, Series


@dataclass(frozen=True)
class Usual:
    """Where the columns usually lie, `centre: float64[d]`, and how: `precision: float64[d, d]`."""

    centre: Floats
    precision: Floats

    def distances(self, rows: Floats) -> Floats:
        """float64[n]: Mahalanobis' distance of each of `rows: float64[n, d]`."""
        away = rows - self.centre
        squared = np.einsum("ij,jk,ik->i", away, self.precision, away)
        return np.asarray(np.sqrt(squared.clip(min=0.0)), dtype=np.float64)

    def contributions(self, row: Floats) -> Floats:
        """float64[d]: by how much the squared distance falls if a column were as the others imply.

        That is (P a)_j^2 / P_jj for the deviation a and the precision P, since 1 / P_jj is what
        varies in column j once the others are known (Mason, Tracy & Young 1995).
        """
        pull = self.precision @ (row - self.centre)
        return np.asarray(pull**2 / np.diag(self.precision), dtype=np.float64)


@dataclass(frozen=True)
class RobustMahalanobis:
    """Distance under a robust covariance of the last `window` rows, fitted every `refit_rows`.

    The minimum covariance determinant of scikit-learn (Rousseeuw & Van Driessen 1999): anomalies
    of the past do not widen what is usual. Rows with a missing column score 0.
    """

    window: int = 500  # of more rows, the search for the smallest determinant is far slower
    refit_rows: int = 168
    least_past: int = 100
    seed: int = 7

    def scores(self, series: Series) -> Floats:
        scores = np.zeros(len(series))
        known = np.asarray(~np.isnan(series.values).any(axis=1))
        for start in range(self.least_past, len(series), self.refit_rows):
            judged = np.flatnonzero(known[start : start + self.refit_rows]) + start
            usual = self.usual(series.until(start)) if len(judged) else None
            if usual is not None:
                scores[judged] = usual.distances(series.values[judged])
        return scores

    def usual(self, past: Series) -> Usual | None:
        """What the last rows of `past` say; None where they are too few, or nothing varies."""
        from sklearn.covariance import MinCovDet

        rows = past.values[-self.window :]
        rows = rows[~np.isnan(rows).any(axis=1)]
        spread = rows.std(axis=0) if len(rows) else np.zeros(rows.shape[1])
        if len(rows) < self.least_past // 2 or not spread.all():
            return None
        with warnings.catch_warnings():  # of a determinant that rises: the best set is used
            warnings.simplefilter("ignore")
            fitted = MinCovDet(random_state=self.seed).fit(rows / spread)
        precision = fitted.precision_ / np.outer(spread, spread)
        return Usual(fitted.location_ * spread, precision)
