"""What one hour of monitoring finds abnormal: in the reports' series, and in decision records.

`anomalies` is what the hourly monitoring calls. Series come from the reports, causes and
contradictions from the decision records of the window and of a window of equal length before it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from itertools import islice
from math import isclose
from pathlib import Path
from typing import Any

import orjson

from data_contracts.alerts import Alert
from data_contracts.config import Anomalies, Settings
from evaluation.monitoring.anomaly.alerting import Watch
from evaluation.monitoring.anomaly.causes import Cause, Measure, moved, releases, shifted
from evaluation.monitoring.anomaly.consistency import (
    alert_of_check,
    differently_decided_duplicates,
    overruled_specialists,
)
from evaluation.monitoring.anomaly.feature_breaks import feature_breaks
from evaluation.monitoring.anomaly.recent import Recent, columns, read_recent
from evaluation.monitoring.anomaly.series import REPORTS, from_reports

ARRIVALS = ("decisions", "requests", "mirrored")  # last words of paths
FEATURES, STAGES = 0, 1
FEWEST_CASES = 20  # of a check: one pair of duplicates is no share
Report = Mapping[str, Any]


def anomalies(
    settings: Settings,
    now: datetime,
    hours: float | None = None,
    current: Report | None = None,
    recent: Recent | None = None,
) -> list[Alert]:
    """Alerts of the window that ends at `now`: series, groups of series, contradictions.

    `hours` (None: as configured) is its length; `current` its report, where that is not written
    yet, or else the latest one that is; `recent` its decisions, where they are read already.
    """
    watched = settings.monitoring.anomalies
    length = hours or settings.monitoring.window_hours
    past = reports(settings.reports / "monitoring", length)
    rows = [*([current] if current else []), *islice(past, watched.history_hours)]
    seen = recent or read_recent(settings.home / "decisions", now, timedelta(hours=length))
    why = lambda path, _: cause(path, seen, now, watched)  # noqa: E731
    found = Watch(watched).alerts(from_reports(rows), why)
    broken = feature_breaks(*columns(seen.before, seen.current, FEATURES), now)
    return [*found, *contradictions(seen, watched, now), *broken]


def reports(folder: Path, hours: float) -> Iterator[dict[str, Any]]:
    """The monitoring reports of windows of so many hours, the latest first.

    What other windows counted is no part of the same series. One that does not say its length is
    taken to be of the usual one; one that cannot be read is left out.
    """
    for path in sorted(folder.glob(REPORTS), reverse=True):
        try:
            report = orjson.loads(path.read_bytes())
            if isclose(report["window"].get("hours", hours), hours):
                yield report
        except (OSError, orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
            continue


def contradictions(recent: Recent, watched: Anomalies, now: datetime) -> list[Alert]:
    """Decisions of the last window that contradict each other."""
    checks = (
        *overruled_specialists(one.verdict for one in recent.latest),
        differently_decided_duplicates(recent.latest),
    )
    enough = [check for check in checks if check.cases >= FEWEST_CASES]
    found = (alert_of_check(check, watched.maximum_contradicted_share, now) for check in enough)
    return [alert for alert in found if alert is not None]


def cause(path: str, recent: Recent, at: datetime, watched: Anomalies) -> Cause:
    """What moved between the window before and the last one.

    No release of ours makes people send more or less, so for arrivals none is named.
    """
    before, after = recent.before, recent.current
    arrivals = path.rsplit(".", 1)[-1] in ARRIVALS
    measure: Measure = "rate" if "rate" in path else "count"
    within = timedelta(hours=watched.release_hours)
    return Cause(
        slices=moved(before.tally, after.tally, measure) if before.decisions else (),
        features=shifted(*columns(before, after, FEATURES)),
        stages=shifted(*columns(before, after, STAGES)),
        releases=() if arrivals else releases(recent.versions, at, within),
    )
