"""Alerts where precision or recall, audited or estimated, is surely below its bound.

Surely: the whole interval is. An audited figure pages where precision is too low, for there real
people are silenced now; what is only estimated is a ticket, and an estimate that is itself
unreliable raises nothing but a notice that it is. The cause names slice and release, and begins
with the slice: a low figure alone does not prove that the release is to blame.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from data_contracts.alerts import Alert, SeverityHint
from evaluation.metrics import Estimate
from evaluation.monitoring.performance_estimation_windows import WindowEstimate
from evaluation.monitoring.slices import SliceQuality

Bounds = Mapping[str, float]  # figure to the least that is allowed


def audited_alerts(
    release: str,
    whole: Mapping[str, Estimate | None],
    slices: Iterable[SliceQuality],
    bounds: Bounds,
    at: datetime,
) -> list[Alert]:
    """Of a release's audit: `whole` by figure, then slice by slice."""
    found = [
        _below("audited", figure, estimate, bounds[figure], release, {}, at)
        for figure, estimate in whole.items()
    ]
    for one in slices:
        subject = {"slice": f"{one.by}={one.name}"}
        for figure, measured in (("precision", one.precision), ("recall", one.recall)):
            found.append(
                _below("audited", figure, measured.estimate, bounds[figure], release, subject, at)
            )
    return [alert for alert in found if alert is not None]


def estimated_alerts(
    release: str, window: str, estimate: WindowEstimate, bounds: Bounds, at: datetime
) -> list[Alert]:
    """Of the estimate of one window, `window` is its day."""
    if estimate.unreliable:
        return [_unreliable(release, window, estimate.reasons, at)]
    figures = {"precision": estimate.precision, "recall": estimate.recall}
    found = [
        _below("estimated", figure, value, bounds[figure], release, {"window": window}, at)
        for figure, value in figures.items()
    ]
    return [alert for alert in found if alert is not None]


def _below(
    source: str,
    figure: str,
    estimate: Estimate | None,
    bound: float,
    release: str,
    subject: Mapping[str, str],
    at: datetime,
) -> Alert | None:
    if estimate is None or estimate.high >= bound:
        return None
    urgent = source == "audited" and figure == "precision"
    severity: SeverityHint = "page" if urgent else "ticket"
    return Alert(
        name=f"{source.capitalize()}{figure.capitalize()}Low",
        severity_hint=severity,
        subject={"model_version": release, **subject},
        value=estimate.value,
        expected=bound,
        low=estimate.low,
        high=estimate.high,
        at=at,
        reason=f"{source} {figure} {estimate.value:.1%} ({estimate.low:.1%} to "
        f"{estimate.high:.1%}) is surely below {bound:.1%}",
        likely_cause=f"{subject.get('slice', 'all traffic')} under release {release}",
    )


def _unreliable(release: str, window: str, reasons: Sequence[str], at: datetime) -> Alert:
    return Alert(
        name="EstimateUnreliable",
        severity_hint="info",
        subject={"model_version": release, "window": window},
        value=float(len(reasons)),
        expected=0.0,
        low=None,
        high=None,
        at=at,
        reason="; ".join(reasons),
        likely_cause="scores no longer mean what they did, or content is new, under release "
        f"{release}",
    )
