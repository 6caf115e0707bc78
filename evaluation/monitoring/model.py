"""Precision and recall of what was decided, from audit labels.

Audit labels were drawn by chance, whatever the filter decided, so what it blocked and what it let
through are both seen. Each counts as often as one over its chance (Horvitz & Thompson 1952).
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from evaluation.metrics import Booleans, Floats, weighted_share
from pipelines import lake

Rows = list[tuple[bool, bool, float]]  # was positive, is spam, weight


def audit_quality(lake_folder: Path, days: int, minimum: int) -> dict[str, Any]:
    """Quality by model version over the last `days` days that have labels.

    A figure with fewer than `minimum` rows in its denominator is not enough evidence: its value
    is None and the number of rows is said.
    """
    chosen = lake.days(lake_folder, "labels")[-days:]
    by_version = _decided_and_labelled(lake_folder, chosen)
    return {
        "days": chosen,
        "versions": {name: _quality(rows, minimum) for name, rows in sorted(by_version.items())},
    }


def _decided_and_labelled(lake_folder: Path, days: list[str]) -> dict[str, Rows]:
    labels = _audit_labels(lake_folder, days)
    latest: dict[tuple[str, str], tuple[int, bool]] = {}
    for row in lake.read(lake_folder, "verdicts", days).to_pylist():
        if not row["mirrored"] and row["event_id"] in labels:
            key = row["model_version"], row["event_id"]
            decided = row["revision"], row["action"] != "allow"
            latest[key] = max(latest.get(key, decided), decided)
    found: dict[str, Rows] = defaultdict(list)
    for (version, event_id), (_, positive) in latest.items():
        is_spam, weight = labels[event_id]
        found[version].append((positive, is_spam, weight))
    return found


def _audit_labels(lake_folder: Path, days: list[str]) -> dict[str, tuple[bool, float]]:
    """Event id to (is spam, weight) of every label whose chance is known; the latest counts."""
    rows = lake.read(lake_folder, "labels", days).sort_by("observed_at").to_pylist()
    return {
        row["event_id"]: (row["label"] == "spam", 1 / row["inclusion_probability"])
        for row in rows
        if row["inclusion_probability"]
    }


def _quality(rows: Rows, minimum: int) -> dict[str, Any]:
    positive, is_spam, weights = (np.array(column) for column in zip(*rows, strict=True))
    return {
        "audit_labels": len(rows),
        "precision": _figure(is_spam, positive, weights, minimum),
        "recall": _figure(positive, is_spam, weights, minimum),
        "false_positive_rate": _figure(positive, ~is_spam, weights, minimum),
    }


def _figure(hits: Booleans, among: Booleans, weights: Floats, minimum: int) -> dict[str, Any]:
    size = int(among.sum())
    if size < minimum:
        return {"value": None, "of": size, "verdict": "not_enough_evidence"}
    estimate = weighted_share(hits[among], weights[among])
    return {"value": estimate.value, "low": estimate.low, "high": estimate.high, "of": size}
