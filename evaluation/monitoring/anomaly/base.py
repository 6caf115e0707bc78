"""What every detector of anomalies is: one method, and one promise.

The promise: the score of a row depends on this row and on earlier ones, never on later ones. So a
detector may be asked about a whole recorded series at once, or every hour about the series so far,
and its last score is the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np

from evaluation.monitoring.anomaly.series import Floats, Series


class Detector(Protocol):
    """Says how abnormal each row of a series is, given the rows before it."""

    def scores(self, series: Series) -> Floats:
        """float64[n], at least 0, higher is more abnormal, on the detector's own scale.

        0 where nothing can be said: too little past, or no value. What is abnormal in several
        columns of a series at once is for the detectors of `MULTIVARIATE`; the others judge each
        column by itself and give the highest score of a row.
        """


def by_column(series: Series, scores: Callable[[Floats], Floats]) -> Floats:
    """float64[n]: the highest score of each row, columns scored one by one; 0 for no number."""
    columns = [np.nan_to_num(scores(column), nan=0.0, posinf=0.0) for column in series.values.T]
    return np.asarray(np.max(columns, axis=0).clip(min=0.0), dtype=np.float64)
