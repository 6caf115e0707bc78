"""Several series at once: what is left of a row beside the main ways in which columns move."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from evaluation.monitoring.anomaly.series import Floats, Series


@dataclass(frozen=True)
class PrincipalResidual:
    """Length of the residual beside the past's principal components (Jackson & Mudholkar 1979).

    As many components are kept as hold `kept` of the variance. For many columns, where a
    covariance has more entries than the past has rows; anomalies of the past count, so this is
    less robust than `RobustMahalanobis`. Rows with a missing column score 0.
    """

    kept: float = 0.9
    window: int = 1000
    refit_rows: int = 168
    least_past: int = 100

    def scores(self, series: Series) -> Floats:
        scores = np.zeros(len(series))
        known = np.asarray(~np.isnan(series.values).any(axis=1))
        for start in range(self.least_past, len(series), self.refit_rows):
            rows = slice(max(0, start - self.window), start)
            past = series.values[rows][known[rows]]
            judged = np.flatnonzero(known[start : start + self.refit_rows]) + start
            if len(past) >= self.least_past // 2:
                scores[judged] = self._residuals(past, series.values[judged])
        return scores

    def _residuals(self, past: Floats, rows: Floats) -> Floats:
        centre, spread = past.mean(axis=0), past.std(axis=0)
        varies = spread > 0
        if not varies.any():
            return np.zeros(len(rows))
        standard = ((past - centre) / np.where(varies, spread, 1.0))[:, varies]
        _, values, axes = np.linalg.svd(standard, full_matrices=False)
        share = np.cumsum(values**2) / np.sum(values**2)
        left = axes[int(np.searchsorted(share, self.kept)) + 1 :]
        judged = ((rows - centre) / np.where(varies, spread, 1.0))[:, varies]
        return np.asarray(np.linalg.norm(judged @ left.T, axis=1), dtype=np.float64)
