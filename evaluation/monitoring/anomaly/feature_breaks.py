"""Features that broke from one window to another: gone, or on another scale.

Whoever sends events may rename a field or change its unit. Verdicts go on without it, often without
a change in their shares that a series would show, and the next training learns from it. So the
numbers of the events themselves are compared, with the same time of yesterday where it is known.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from math import log10, sqrt

import numpy as np

from data_contracts.alerts import Alert
from evaluation.monitoring.anomaly.causes import Cause, Shift, shifted
from evaluation.monitoring.anomaly.series import Floats

NAME = "FeatureBroken"
LEAST_DISTANCE = 0.3  # of distributions: three values in ten lie elsewhere, or are gone
SURE = 2.7  # critical value of Kolmogorov's statistic: chance alone goes beyond once in a million
LEAST_DECADES = 0.9  # of the medians: what a change of unit does (Hz and kHz, seconds and minutes)


def feature_breaks(
    before: Mapping[str, Floats], after: Mapping[str, Floats], at: datetime
) -> list[Alert]:
    """One alert a feature that surely broke; all have one cause, so they are one incident.

    `float64[n]` by name for each window, NaN where an event has no such number.
    """
    broken = [
        shift
        for shift in shifted(before, after)
        if shift.distance >= max(LEAST_DISTANCE, _chance(before[shift.name], after[shift.name]))
    ]
    cause = Cause(features=tuple(sorted(broken, key=lambda one: one.name))).as_text()
    return [_alert(one, before[one.name], after[one.name], cause, at) for one in broken]


def scale_change(before: Floats, after: Floats) -> float | None:
    """By what the median was multiplied, where that is most of a power of ten, or more.

    >>> scale_change(np.array([100.0, 200.0, 300.0]), np.array([0.1, 0.2, 0.3]))
    0.001
    """
    first, second = (float(np.nanmedian(np.abs(one))) if (~np.isnan(one)).any() else 0.0
                     for one in (before, after))  # fmt: skip
    if min(first, second) <= 0:
        return None
    ratio = second / first
    return float(f"{ratio:.1g}") if abs(log10(ratio)) >= LEAST_DECADES else None


def _alert(shift: Shift, before: Floats, after: Floats, cause: str, at: datetime) -> Alert:
    scale = scale_change(before, after)
    gone = shift.missing_after - shift.missing_before >= LEAST_DISTANCE
    what = f"its values lie elsewhere (distance {shift.distance:.2f})"
    if gone:
        what = f"missing in {shift.missing_after:.0%} of events, {shift.missing_before:.0%} before"
    elif scale is not None:
        what = f"its median is {scale:g} times what it was: a change of unit?"
    return Alert(
        name=NAME, severity_hint="ticket", subject={"feature": shift.name},
        value=shift.distance, expected=0.0, low=None, high=LEAST_DISTANCE, at=at,
        reason=f"feature {shift.name}: {what}", likely_cause=cause,
    )  # fmt: skip


def _chance(first: Floats, second: Floats) -> float:
    """The distance that samples of one distribution hardly ever have.

    Smirnov's asymptotic two-sample bound: 2 exp(-2 c^2) is one in a million for c = 2.7.
    """
    return SURE * sqrt(1 / len(first) + 1 / len(second))
