"""From scores to alerts: when one is raised, and what it says."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import log10
from typing import Literal

import numpy as np
import pandas as pd

from data_contracts.alerts import Alert
from data_contracts.config import Anomalies
from data_contracts.errors import ConfigurationError
from evaluation.monitoring.anomaly import MULTIVARIATE, UNIVARIATE
from evaluation.monitoring.anomaly.base import Detector
from evaluation.monitoring.anomaly.causes import Cause
from evaluation.monitoring.anomaly.forecast_surprise import ForecastSurprise
from evaluation.monitoring.anomaly.forecasts import expected
from evaluation.monitoring.anomaly.mahalanobis import RobustMahalanobis
from evaluation.monitoring.anomaly.series import Floats, Series, together

ONE, SEVERAL = "Anomaly", "AnomalyTogether"  # names of the alerts
ORDINARY = 0.99  # share of the past errors inside of the band that an alert shows
BULK = 0.75  # of the past errors: an hour inside is over it, whatever the hours before it were
SUDDEN = ForecastSurprise(spans=(1,))  # the last row alone: what means over spans say hours later
WhyAt = Callable[[str, float], Cause]  # series (path), time (seconds since 1970)


@dataclass(frozen=True)
class Watch:
    """The detectors of the configuration. ConfigurationError where it names none that exists."""

    settings: Anomalies

    def __post_init__(self) -> None:
        _named(UNIVARIATE, "detector", self.settings.detector)
        _named(MULTIVARIATE, "together", self.settings.together)

    def alerts(self, series: Mapping[str, Series], why: WhyAt) -> list[Alert]:
        """What is abnormal in the last row of each series, and of each group; the gravest first.

        Asked every hour, an anomaly that lasts is raised every hour, with one fingerprint.
        """
        alone = self._alone(series, why)
        joint = [
            alert
            for name, paths in self.settings.groups.items()
            if all(path in series for path in paths)
            and (alert := self._together(name, together(series, paths), why)) is not None
        ]
        return sorted([*alone, *joint], key=lambda one: (one.severity_hint != "page", one.name))

    def _alone(self, series: Mapping[str, Series], why: WhyAt) -> list[Alert]:
        many = log10(max(len(series), 1))
        rules = (
            (UNIVARIATE[self.settings.detector], self.settings.threshold + many),
            (SUDDEN, self.settings.sudden_threshold + many),
        )
        found = []
        for path, one in series.items():
            scored = ((_last(detector, one), threshold) for detector, threshold in rules)
            above = next((pair for pair in scored if pair[0] >= pair[1]), None)
            if above is not None and is_out(one):
                found.append(self._alert_of(path, one, *above, why))
        return found

    def _alert_of(
        self, path: str, one: Series, score: float, threshold: float, why: WhyAt
    ) -> Alert:
        column = one.values[:, 0]
        forecast = expected(one, column)
        margin = float(pd.Series(np.abs(column - forecast))[:-1].quantile(ORDINARY))
        value, usual = float(column[-1]), float(forecast[-1])
        side = "above" if value > usual else "below"
        hint: Literal["page", "ticket"] = (
            "page" if self.settings.pages.get(path) == side else "ticket"
        )
        return Alert(
            name=ONE, severity_hint=hint, subject={"series": path},
            value=value, expected=usual, low=usual - margin, high=usual + margin,
            at=one.at(-1),
            reason=f"{path} is {value:.4g}, expected {usual:.4g} "
            f"({usual - margin:.4g} to {usual + margin:.4g} in {ORDINARY:.0%} of the past); "
            f"surprise {score:.1f} of {threshold:.1f}",
            likely_cause=why(path, float(one.times[-1])).as_text(),
        )  # fmt: skip

    def _together(self, name: str, group: Series, why: WhyAt) -> Alert | None:
        threshold = self.settings.together_threshold
        score = _last(MULTIVARIATE[self.settings.together], group)
        if score < threshold:
            return None
        most = most_unlike(group)
        return Alert(
            name=SEVERAL, severity_hint="ticket", subject={"group": name},
            value=score, expected=None, low=None, high=threshold, at=group.at(-1),
            reason=f"{', '.join(group.columns)} do not move together as they did; least like the "
            f"others: {most or 'unknown'}; surprise {score:.1f} of {threshold:.1f}",
            likely_cause=why(most or name, float(group.times[-1])).as_text(),
        )  # fmt: skip


def is_out(series: Series) -> bool:
    """Whether the last hour itself errs more than most did.

    Means over spans of hours stay high long after what raised them is over; an alert that says so
    would have a roll-back that worked looked upon as one that did not.
    """
    column = series.values[:, 0]
    errors = np.abs(column - expected(series, column))
    return bool(errors[-1] > np.nanquantile(errors[:-1], BULK))


def raised(
    times: Floats, scores: Floats, threshold: float, quiet_seconds: float, first_row: int = 0
) -> list[int]:
    """The rows at which an alert is raised: abnormal, and the last alert is long enough ago.

    What stays abnormal is raised again after `quiet_seconds`, so that a detector that never
    falls silent counts as the nuisance that it is.

    >>> raised(np.arange(5.0), np.array([0.0, 9.0, 9.0, 0.0, 9.0]), threshold=5.0, quiet_seconds=3)
    [1, 4]
    """
    found: list[int] = []
    for row in np.flatnonzero(scores >= threshold):
        long_ago = not found or times[row] - times[found[-1]] >= quiet_seconds
        if row >= first_row and long_ago:
            found.append(int(row))
    return found


def most_unlike(group: Series) -> str | None:
    """The column of the last row that the other columns would not let one expect."""
    usual = RobustMahalanobis().usual(group.until(len(group) - 1))
    if usual is None or np.isnan(group.values[-1]).any():
        return None
    return group.columns[int(usual.contributions(group.values[-1]).argmax())]


def _last(detector: Detector, series: Series) -> float:
    return float(detector.scores(series)[-1]) if len(series) else 0.0


def _named(known: Mapping[str, Detector], key: str, name: str) -> None:
    if name not in known:
        raise ConfigurationError(
            f"monitoring.anomalies.{key} = {name!r} is no detector; give one of {', '.join(known)}"
        )
