"""How rare a statistic is beside its own past: `-log10` of the chance to exceed it.

Heavy tails are what makes a threshold in standard deviations useless: some series leave three of
them ten times a day. Here the excesses of the past over a high quantile say how far the tail
reaches, with an exponential tail beyond what was seen (peaks over threshold, Pickands 1975; for
streams Siffer et al. 2017, "Anomaly detection in streams with extreme value theory"). The
exponential is the tail index 0 of that family: its one parameter is a mean, so that it can be kept
over a moving past.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from evaluation.monitoring.anomaly.base import Detector
from evaluation.monitoring.anomaly.series import Floats, Series

QUANTILE = 0.95
WINDOW = 4000  # rows of past
LEAST_PAST = 72
LEAST_SCALE = 0.1  # of the quantile: a tail is never believed to be shorter
_TINY = 1e-9


def surprise(statistic: Floats, resolution: Floats | float = _TINY) -> Floats:
    """float64[n]: 3 where one row in a thousand of the past would be as high; 0 in the bulk.

    `statistic: float64[n]` is at least 0, higher is more abnormal. Excesses smaller than
    `resolution` are rounding and no news. Only rows before a row are its past; NaN is none.
    """
    values = pd.Series(statistic)
    bound = values.shift(1).rolling(WINDOW, min_periods=LEAST_PAST).quantile(QUANTILE)
    excess = (values - bound).clip(lower=0.0)
    exceeds = (excess > 0).astype(np.float64).where(bound.notna()).shift(1)
    past = exceeds.rolling(WINDOW, min_periods=1)
    chance = past.mean().fillna(1 - QUANTILE).clip(lower=1 - QUANTILE)
    mean = excess.shift(1).rolling(WINDOW, min_periods=1).sum() / past.sum().clip(lower=1.0)
    scale = np.maximum(np.maximum(mean.fillna(0.0), LEAST_SCALE * bound.abs()), resolution)
    rare = -np.log10(chance) + excess / scale / np.log(10)
    return np.asarray(rare.where(excess > 0, 0.0).fillna(0.0), dtype=np.float64)


@dataclass(frozen=True)
class Surprising:
    """Any detector on the common scale: how rare its score is beside its own past ones.

    Its zeros at the start are no past: there it could not say anything yet.
    """

    detector: Detector

    def scores(self, series: Series) -> Floats:
        scores = self.detector.scores(series)
        begun = np.maximum.accumulate(scores > 0)
        return surprise(np.where(begun, scores, np.nan))
