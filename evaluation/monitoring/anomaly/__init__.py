"""Detectors of what is abnormal in series, likely causes, and decisions that contradict each other.

A new detector is one file, one line here, and is then in its behaviour suite and its benchmark.
"""

from __future__ import annotations

from collections.abc import Mapping

from evaluation.monitoring.anomaly.base import Detector
from evaluation.monitoring.anomaly.forecast_surprise import ForecastSurprise
from evaluation.monitoring.anomaly.isolation import Isolation
from evaluation.monitoring.anomaly.local_level import LocalLevel
from evaluation.monitoring.anomaly.mahalanobis import RobustMahalanobis
from evaluation.monitoring.anomaly.principal_residual import PrincipalResidual
from evaluation.monitoring.anomaly.robust_deviation import RobustDeviation
from evaluation.monitoring.anomaly.seasonal_deviation import SeasonalDeviation
from evaluation.monitoring.anomaly.tail import Surprising
from evaluation.monitoring.anomaly.three_sigma import ThreeSigma

UNIVARIATE: Mapping[str, Detector] = {
    "three_sigma": ThreeSigma(),
    "robust_deviation": RobustDeviation(),
    "seasonal_deviation": SeasonalDeviation(),
    "local_level": LocalLevel(),
    "isolation_forest": Isolation(),
    "forecast_surprise": ForecastSurprise(),
}
MULTIVARIATE: Mapping[str, Detector] = {
    "robust_mahalanobis": Surprising(RobustMahalanobis()),
    "principal_residual": Surprising(PrincipalResidual()),
}
DETECTORS: Mapping[str, Detector] = {**UNIVARIATE, **MULTIVARIATE}
