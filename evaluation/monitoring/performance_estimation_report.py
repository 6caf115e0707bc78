"""What the hourly report says of the live model: audited by slice and day, and estimated by day.

The reference is the first day of the period whose audit has enough labels; later days are the
windows. Features of events are not read: what is unseen shows in scores and languages only.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from data_contracts.alerts import Alert
from data_contracts.verdicts import ACTIONS
from evaluation.audit import Draws, estimate_quality
from evaluation.metrics import Estimate
from evaluation.monitoring.calibration_drift import calibration_window
from evaluation.monitoring.confusion import (
    as_rows,
    confusion_over_time,
    response_weights,
    take,
)
from evaluation.monitoring.performance_estimation_alerts import (
    Bounds,
    audited_alerts,
    estimated_alerts,
)
from evaluation.monitoring.performance_estimation_calibration import Labelled, Scored
from evaluation.monitoring.performance_estimation_windows import (
    Observed,
    WindowEstimate,
    estimate_window,
)
from evaluation.monitoring.slices import UNKNOWN, SliceQuality, quality_by_slice, slices_of
from evaluation.monitoring.stage_disagreement import StageScores, stage_disagreements
from pipelines import lake
from pipelines.labelling.draws import AuditDraw
from training.logistic import logit

FEWEST_LABELS = 100  # of the reference's audit
MOST_EVENTS = 20_000  # of a day, the first by event id: ids say nothing of content
SEED = 20_260_105


def performance_report(
    lake_folder: Path,
    days: Sequence[str],
    drawn: Iterable[AuditDraw],
    bounds: Bounds,
    at: datetime,
) -> dict[str, Any] | None:
    """Of the version that decided most on the last of `days`; None without a decision there."""
    verdicts = _latest_verdicts(lake_folder, days)
    release = _live(verdicts, days)
    if release is None:
        return None
    own = {key: row for key, row in verdicts.items() if row["model_version"] == release}
    audit = _Audit(lake_folder, days, drawn, own)
    estimates = _estimates(days, own, audit)
    slices = quality_by_slice(audit.draws, audit.slices) if audit.rows else []
    alerts = _alerts(release, audit, slices, estimates, bounds, at)
    return {
        "release": release,
        "slices": [_slice(one) for one in slices],
        "confusion": as_rows(confusion_over_time(audit.draws)) if audit.rows else [],
        "calibration": _calibration(audit),
        "stages": [
            {"stage": one.stage, "ran": one.ran, "would_act": one.would_act, **_plain(one.share)}
            for one in stage_disagreements(_stages(own))
        ],
        "estimates": [_estimate(day, one, audit) for day, one in estimates.items()],
        "alerts": [alert.as_record() for alert in alerts],
    }


class _Audit:
    """The draws that the release decided on, as columns, each with its verdict and slices."""

    def __init__(
        self,
        lake_folder: Path,
        days: Sequence[str],
        drawn: Iterable[AuditDraw],
        verdicts: Mapping[str, Mapping[str, Any]],
    ) -> None:
        labels = {
            row["event_id"]: row
            for row in lake.read(lake_folder, "labels", days).sort_by("observed_at").to_pylist()
            if row["inclusion_probability"]
        }
        draws = {one.event_id: one for one in drawn}
        known = [key for key in verdicts if key in draws or key in labels]
        self.rows = [verdicts[key] for key in known]
        chances = [
            draws[key].inclusion_probability
            if key in draws
            else labels[key]["inclusion_probability"]
            for key in known
        ]
        self.slices = _slices(lake_folder, days, known)
        actions = [row["action"] for row in self.rows]
        self.draws = Draws(
            days=np.array([row["day"] for row in self.rows], dtype=np.str_),
            positive=np.array([action != "allow" for action in actions], bool),
            chances=np.array(chances, np.float64),
            labelled=np.array([key in labels for key in known], bool),
            is_spam=np.array(
                [key in labels and labels[key]["label"] == "spam" for key in known], bool
            ),
            bands=np.array([ACTIONS.index(action) for action in actions], np.int64),
        )

    def labelled(self, day: str) -> Labelled:
        """The labelled draws of a day."""
        rows = np.flatnonzero(self.draws.labelled & (self.draws.days == day))
        return Labelled(_scored([self.rows[row] for row in rows]), self.draws.is_spam[rows])


def _latest_verdicts(lake_folder: Path, days: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Event to its latest verdict that counted, with its day and the event's language."""
    found: dict[str, dict[str, Any]] = {}
    for day in days:
        events = lake.read(lake_folder, "events", [day], ["event_id", "language"])
        languages = dict(zip(*(column.to_pylist() for column in events.columns), strict=True))
        table = lake.read(lake_folder, "verdicts", [day])
        table = table.filter(pc.invert(table["mirrored"])).sort_by("event_id")[:MOST_EVENTS]
        for row in table.to_pylist():
            held = found.get(row["event_id"])
            if held is None or held["revision"] <= row["revision"]:
                tag = languages.get(row["event_id"]) or UNKNOWN
                found[row["event_id"]] = row | {"day": day, "language": tag.split("-")[0].lower()}
    return found


def _live(verdicts: Mapping[str, Mapping[str, Any]], days: Sequence[str]) -> str | None:
    last = Counter(
        row["model_version"] for row in verdicts.values() if days and row["day"] == days[-1]
    )
    return last.most_common(1)[0][0] if last else None


def _slices(lake_folder: Path, days: Sequence[str], events: Sequence[str]) -> list[dict[str, str]]:
    """Those of each event; an event that the lake does not hold is in no slice."""
    table = lake.read(lake_folder, "events", days)
    wanted = table.filter(pc.is_in(table["event_id"], pa.array(events, type=pa.string())))
    found = {row["event_id"]: slices_of(lake.event_of(row)) for row in wanted.to_pylist()}
    return [found.get(event, {"language": UNKNOWN}) for event in events]


def _scored(rows: Sequence[Mapping[str, Any]]) -> Scored:
    return Scored(
        log_odds=logit(np.array([row["score"] for row in rows], np.float64)),
        positive=np.array([row["action"] != "allow" for row in rows], bool),
        slices=np.array([row["language"] for row in rows], dtype=np.str_),
        features=np.zeros((len(rows), 0)),
    )


def _estimates(
    days: Sequence[str], verdicts: Mapping[str, Mapping[str, Any]], audit: _Audit
) -> dict[str, WindowEstimate]:
    """Days after the reference, each with the labels that are known now."""
    first = next((day for day in days if len(audit.labelled(day).is_spam) >= FEWEST_LABELS), None)
    if first is None:
        return {}
    reference, windows = audit.labelled(first), []
    found: dict[str, WindowEstimate] = {}
    changes: set[int] = set()
    for day in days[days.index(first) + 1 :]:
        rows = [row for row in verdicts.values() if row["day"] == day]
        if not rows:
            continue
        windows.append(Observed(_scored(rows), audit.labelled(day)))
        found[day] = estimate_window(reference, windows, changes)
        if (changed := found[day].changed) is not None:
            changes.add(changed)
    return found


def _calibration(audit: _Audit) -> list[dict[str, Any]]:
    draws = audit.draws
    found: list[dict[str, Any]] = []
    if not audit.rows:
        return found
    weights = response_weights(draws)
    scores = np.array([row["score"] for row in audit.rows])
    for day in sorted(set(draws.days.tolist())):
        rows = draws.labelled & (draws.days == day)
        rng = np.random.default_rng(SEED)
        one = calibration_window(day, scores[rows], draws.is_spam[rows], weights[rows], rng)
        if one is not None:
            found.append(
                {"window": day, "by_chance": one.by_chance, "gap": one.gap,
                 "drifted": one.drifted, "labels": one.labels, **_plain(one.error)}
            )  # fmt: skip
    return found


def _stages(verdicts: Mapping[str, Mapping[str, Any]]) -> Iterable[StageScores]:
    for row in verdicts.values():
        ran = {
            stage["name"]: stage["score"]
            for stage in orjson.loads(row["stages"])
            if stage["ran"] and stage["score"] is not None
        }
        yield StageScores(row["action"] != "allow", ran)


def _alerts(
    release: str,
    audit: _Audit,
    slices: Sequence[SliceQuality],
    estimates: Mapping[str, WindowEstimate],
    bounds: Bounds,
    at: datetime,
) -> list[Alert]:
    found: list[Alert] = []
    if audit.rows:
        quality = estimate_quality(audit.draws)
        whole = {"precision": quality.precision.estimate, "recall": quality.recall.estimate}
        found += audited_alerts(release, whole, slices, bounds, at)
    if estimates:
        day = list(estimates)[-1]
        found += estimated_alerts(release, day, estimates[day], bounds, at)
    return found


def _slice(one: SliceQuality) -> dict[str, Any]:
    return {
        "by": one.by, "name": one.name, "draws": one.draws,
        "precision": _plain(one.precision.estimate) | {"of": one.precision.of},
        "recall": _plain(one.recall.estimate) | {"of": one.recall.of},
    }  # fmt: skip


def _estimate(day: str, one: WindowEstimate, audit: _Audit) -> dict[str, Any]:
    """With what the audit realised of the day so far, so that the error is tracked."""
    rows = audit.draws.days == day
    realised = estimate_quality(take(audit.draws, rows)) if rows.any() else None
    return {
        "day": day, "unreliable": one.unreliable, "reasons": list(one.reasons),
        "precision": _plain(one.precision), "recall": _plain(one.recall),
        "realised_precision": _plain(realised.precision.estimate if realised else None),
        "realised_recall": _plain(realised.recall.estimate if realised else None),
    }  # fmt: skip


def _plain(estimate: Estimate | None) -> dict[str, float | None]:
    if estimate is None:
        return {"value": None, "low": None, "high": None}
    return {"value": estimate.value, "low": estimate.low, "high": estimate.high}
