"""What one hour of monitoring finds abnormal: in the reports' series, and in decision records.

`anomalies` is what the hourly monitoring calls. Series come from the reports, causes and
contradictions from the decision records of the window and of a window of equal length before it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from data_contracts.alerts import Alert
from data_contracts.config import Anomalies, Settings
from data_contracts.verdicts import DecisionRecord
from evaluation.monitoring.anomaly.alerting import Watch
from evaluation.monitoring.anomaly.causes import (
    Cause,
    Measure,
    Tally,
    moved,
    releases,
    shifted,
    tally,
)
from evaluation.monitoring.anomaly.consistency import (
    Decided,
    alert_of_check,
    differently_decided_duplicates,
    overruled_specialists,
)
from evaluation.monitoring.anomaly.series import Floats, read_reports

ARRIVALS = ("decisions", "requests", "mirrored")  # last words of paths
DAY = timedelta(days=1)
UNKNOWN = "unknown"
WARM_UP = "weir-warm-up-"
Records = Sequence[DecisionRecord]


def anomalies(settings: Settings, now: datetime) -> list[Alert]:
    """Alerts of the hour that ends at `now`: series, groups of series, contradictions."""
    watched = settings.monitoring.anomalies
    window = timedelta(hours=settings.monitoring.window_hours)
    series = read_reports(settings.reports / "monitoring", watched.history_hours)
    records = read_records(settings.home / "decisions", now - DAY - window, now)
    current = _between(records, now - window, now)
    before = _between(records, now - DAY - window, now - DAY) or _between(
        records, now - 2 * window, now - window
    )
    why = lambda path, _: cause(path, before, current, records, now, watched)  # noqa: E731
    return [*Watch(watched).alerts(series, why), *contradictions(current, watched, now)]


def contradictions(records: Records, watched: Anomalies, now: datetime) -> list[Alert]:
    """Decisions of one window that contradict each other."""
    decided = [Decided(one.verdict, str(one.event.get("text", ""))) for one in records]
    checks = (
        *overruled_specialists(one.verdict for one in records),
        differently_decided_duplicates(decided),
    )
    found = (alert_of_check(check, watched.maximum_contradicted_share, now) for check in checks)
    return [alert for alert in found if alert is not None]


def cause(
    path: str, before: Records, after: Records, since: Records, at: datetime, watched: Anomalies
) -> Cause:
    """What moved between two windows; `since` is where releases are looked for.

    No release of ours makes people send more or less, so for arrivals none is named.
    """
    arrivals = path.rsplit(".", 1)[-1] in ARRIVALS
    measure: Measure = "rate" if "rate" in path else "count"
    decided = ((_time(one), _versions(one)) for one in since)
    return Cause(
        slices=moved(_tally(before), _tally(after), measure) if before else (),
        features=shifted(*_columns(before, after, _features)),
        stages=shifted(*_columns(before, after, _stages)),
        releases=() if arrivals else releases(decided, at, timedelta(hours=watched.release_hours)),
    )


def read_records(folder: Path, start: datetime, end: datetime) -> list[DecisionRecord]:
    """Decisions about users' events in [start, end), in order of time.

    Mirrored ones, warm-ups and lines that are no records are left out.
    """
    recent = (
        path for path in sorted(folder.glob("*.jsonl")) if path.stat().st_mtime >= start.timestamp()
    )
    records = (record for path in recent for record in _lines(path))
    counted = (
        one for one in records if not one.mirrored and not one.verdict.event_id.startswith(WARM_UP)
    )
    return sorted((one for one in counted if start <= _time(one) < end), key=_time)


def slices_of(record: DecisionRecord) -> dict[str, str]:
    """The slices that a decision belongs to; no value is what a user wrote."""
    event, verdict = record.event, record.verdict
    media: Sequence[Mapping[str, Any]] = event.get("media") or ()
    kinds = sorted({str(one.get("kind", UNKNOWN)) for one in media})
    return {
        "language": str(event.get("language") or UNKNOWN),
        "modality": "+".join(("text", *kinds)),
        "country": str((event.get("context") or {}).get("country") or UNKNOWN),
        "arm": verdict.arm,
    }


def _lines(path: Path) -> Iterator[DecisionRecord]:
    with path.open("rb") as file:
        for line in file:
            try:
                yield DecisionRecord.from_record(orjson.loads(line))
            except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
                continue  # torn, or no record: ingestion names it


def _time(record: DecisionRecord) -> datetime:
    return datetime.fromisoformat(record.decided_at)


def _between(records: Records, start: datetime, end: datetime) -> list[DecisionRecord]:
    return [one for one in records if start <= _time(one) < end]


def _tally(records: Records) -> Tally:
    return tally((slices_of(one), one.verdict.action != "allow") for one in records)


def _versions(record: DecisionRecord) -> dict[str, str]:
    verdict = record.verdict
    return {
        "model_version": verdict.model_version, "threshold_version": verdict.threshold_version,
    }  # fmt: skip


def _features(record: DecisionRecord) -> dict[str, float]:
    """Numbers of the event's context by name."""
    return _numbers(record.event.get("context") or {})


def _stages(record: DecisionRecord) -> dict[str, float]:
    """Scores of the stages that ran, by name."""
    stages = record.verdict.stages
    return {stage.name: stage.score for stage in stages if stage.score is not None}


def _numbers(context: Mapping[str, Any]) -> dict[str, float]:
    return {
        name: float(value)
        for name, value in context.items()
        if isinstance(value, (int, float)) and not isinstance(value, bool)
    }


def _columns(
    before: Records, after: Records, numbers: Callable[[DecisionRecord], Mapping[str, float]]
) -> tuple[dict[str, Floats], dict[str, Floats]]:
    """float64[n] by name of both windows, NaN where a record has no such number.

    Both have every name, so that what is gone altogether is seen to be missing.
    """
    sides = [[numbers(one) for one in records] for records in (before, after)]
    names = sorted({name for rows in sides for row in rows for name in row})
    first, second = (
        {name: np.array([row.get(name, np.nan) for row in rows]) for name in names}
        for rows in sides
    )
    return first, second
