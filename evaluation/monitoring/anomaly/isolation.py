"""Isolation forest: rows that a few random cuts set apart from the past."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from evaluation.monitoring.anomaly.base import by_column
from evaluation.monitoring.anomaly.series import Floats, Series


@dataclass(frozen=True)
class Isolation:
    """scikit-learn's forest (Liu, Ting & Zhou 2008), fitted again every `refit_rows` rows.

    Each fit sees the last `window` rows before those that it scores. A row is judged with the
    `lags - 1` rows before it, as one vector. Scores are in [0, 1]; a half is ordinary. Its cuts are
    along one axis each, so columns that break their ties stay inside: it is no multivariate one.
    """

    lags: int = 12
    window: int = 2000
    refit_rows: int = 1000
    least_past: int = 100
    trees: int = 50
    seed: int = 7

    def scores(self, series: Series) -> Floats:
        return by_column(series, self._isolated)

    def _isolated(self, column: Floats) -> Floats:
        from sklearn.ensemble import IsolationForest

        scores = np.zeros(len(column))
        if len(column) <= self.least_past:
            return scores
        rows = _with_lags(column, self.lags)
        known = np.asarray(~np.isnan(rows).any(axis=1))
        starts = list(range(self.least_past, len(rows), self.refit_rows))
        for start, end in zip(starts, [*starts[1:], len(rows)], strict=True):
            past = rows[max(0, start - self.window) : start]
            past = past[known[max(0, start - self.window) : start]]
            judged = np.flatnonzero(known[start:end]) + start
            if len(past) >= self.least_past // 2 and len(judged):
                forest = IsolationForest(n_estimators=self.trees, random_state=self.seed).fit(past)
                scores[judged] = -forest.score_samples(rows[judged])
        return scores


def _with_lags(column: Floats, lags: int) -> Floats:
    """float64[n, lags]: each row after the ones before it; NaN where there are none.

    >>> _with_lags(np.array([1.0, 2.0, 3.0]), 2).tolist()
    [[nan, 1.0], [1.0, 2.0], [2.0, 3.0]]
    """
    padded = np.concatenate([np.full(lags - 1, np.nan), column])
    return np.array(sliding_window_view(padded, lags))
