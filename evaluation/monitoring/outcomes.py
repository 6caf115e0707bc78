"""Scores against outcomes: what the audit's labels say of the scores of each model version.

Only labels of events that were drawn by chance count; what a sampler or an appeal chose would
belie any score.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import numpy as np

from data_contracts.alerts import Alert
from evaluation.monitoring.anomaly.consistency import alert_of_outcomes
from pipelines import lake

Scored = list[tuple[float, bool]]  # score, whether it was spam


def outcome_alerts(
    lake_folder: Path, days: Sequence[str], minimum: int, at: datetime
) -> list[Alert]:
    """One for each version whose scores at least `minimum` audit labels of `days` surely belie."""
    found = []
    for version, rows in sorted(_scored_by_version(lake_folder, days).items()):
        if len(rows) < minimum:
            continue
        scores = np.array([score for score, _ in rows], np.float64)
        spam = np.array([is_spam for _, is_spam in rows], bool)
        found.append(alert_of_outcomes(scores, spam, at, version))
    return [alert for alert in found if alert is not None]


def _scored_by_version(lake_folder: Path, days: Sequence[str]) -> dict[str, Scored]:
    """The latest revision of each decision that counted, and the latest label of its event."""
    columns = ["event_id", "label", "inclusion_probability", "observed_at"]
    labels = lake.read(lake_folder, "labels", days, columns).sort_by("observed_at").to_pylist()
    is_spam = {
        row["event_id"]: row["label"] == "spam" for row in labels if row["inclusion_probability"]
    }
    latest: dict[tuple[str, str], tuple[int, float]] = {}
    columns = ["event_id", "revision", "score", "model_version", "mirrored"]
    for row in lake.read(lake_folder, "verdicts", days, columns).to_pylist():
        if row["event_id"] in is_spam and not row["mirrored"]:
            key, said = (row["model_version"], row["event_id"]), (row["revision"], row["score"])
            latest[key] = max(latest.get(key, said), said)
    found: dict[str, Scored] = defaultdict(list)
    for (version, event_id), (_, score) in latest.items():
        found[version].append((score, is_spam[event_id]))
    return found
