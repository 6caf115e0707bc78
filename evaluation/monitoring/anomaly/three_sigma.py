"""The plain rule: standard deviations from the mean of all the past."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from evaluation.monitoring.anomaly.base import by_column
from evaluation.monitoring.anomaly.series import Floats, Series

_TINY = 1e-9


@dataclass(frozen=True)
class ThreeSigma:
    """Shewhart's chart (1931) without its knowledge of the process; the baseline of the others."""

    least_past: int = 20

    def scores(self, series: Series) -> Floats:
        return by_column(series, self._deviations)

    def _deviations(self, column: Floats) -> Floats:
        values = pd.Series(column)
        past = values.shift(1).expanding(self.least_past)
        spread = past.std().clip(lower=_TINY)
        return np.asarray((values - past.mean()).abs() / spread, dtype=np.float64)
