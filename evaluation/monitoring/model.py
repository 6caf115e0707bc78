"""Precision and recall of what was decided, by model version, from the audit of the last days.

The audit drew by chance, whatever the filter decided, so what it blocked and what it let through
are both seen; draws whose label is still awaited are non-response (see `evaluation.audit`). How
late labels are may depend on the action, so actions are kept apart.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from data_contracts.verdicts import ACTIONS, Action
from evaluation.audit import Draws, Figure, estimate_quality
from pipelines import lake
from pipelines.labelling.draws import AuditDraw

FIGURES = ("precision", "recall", "false_positive_rate", "prevalence")
Decided = list[tuple[AuditDraw, Action, str | None]]  # what the filter did, label


def labelled_days(lake_folder: Path, days: int) -> list[str]:
    """The last `days` days that have labels."""
    return lake.days(lake_folder, "labels")[-days:]


def audit_quality(
    lake_folder: Path, days: Sequence[str], drawn: Iterable[AuditDraw], minimum: int
) -> dict[str, Any]:
    """Quality by model version over `days`; `drawn` is what the audit drew of them.

    A figure with fewer than `minimum` labelled rows in its denominator is not enough evidence:
    its value is None and the number of rows is said.
    """
    by_version = _decided(lake_folder, days, drawn)
    return {
        "days": list(days),
        "versions": {name: _quality(rows, minimum) for name, rows in sorted(by_version.items())},
    }


def _decided(
    lake_folder: Path, days: Sequence[str], drawn: Iterable[AuditDraw]
) -> dict[str, Decided]:
    """Draws that a version decided on, by its latest revision; mirrored rows never count."""
    labels = _audit_labels(lake_folder, days)
    draws = {draw.event_id: draw for draw, _ in labels.values()}
    draws |= {draw.event_id: draw for draw in drawn}
    latest: dict[tuple[str, str], tuple[int, int]] = {}
    for row in lake.read(lake_folder, "verdicts", days).to_pylist():
        if not row["mirrored"] and row["event_id"] in draws:
            key = row["model_version"], row["event_id"]
            decided = row["revision"], ACTIONS.index(row["action"])
            latest[key] = max(latest.get(key, decided), decided)
    found: dict[str, Decided] = defaultdict(list)
    for (version, event_id), (_, action) in latest.items():
        label = labels[event_id][1] if event_id in labels else None
        found[version].append((draws[event_id], ACTIONS[action], label))
    return found


def _audit_labels(lake_folder: Path, days: Sequence[str]) -> dict[str, tuple[AuditDraw, str]]:
    """Event id to its draw and label, where the chance is known; the latest label counts."""
    return {
        row["event_id"]: (AuditDraw(row["event_id"], day, chance), row["label"])
        for day in days
        for row in lake.read(lake_folder, "labels", [day]).sort_by("observed_at").to_pylist()
        if (chance := row["inclusion_probability"])
    }


def _quality(rows: Decided, minimum: int) -> dict[str, Any]:
    actions = [action for _, action, _ in rows]
    found = estimate_quality(
        Draws(
            days=np.array([draw.day for draw, _, _ in rows]),
            positive=np.array([action != "allow" for action in actions], bool),
            chances=np.array([draw.inclusion_probability for draw, _, _ in rows], np.float64),
            labelled=np.array([label is not None for _, _, label in rows], bool),
            is_spam=np.array([label == "spam" for _, _, label in rows], bool),
            bands=np.array([ACTIONS.index(action) for action in actions], np.int64),
        )
    )
    return {
        "audit_draws": found.drawn,
        "audit_labels": found.drawn - found.unlabelled,
        "joined_strata": found.joined,
        "no_label_yet": list(found.silent),
        **{name: _shown(getattr(found, name), minimum) for name in FIGURES},
    }


def _shown(figure: Figure, minimum: int) -> dict[str, Any]:
    estimate = figure.estimate
    if estimate is None or figure.of < minimum:
        return {"value": None, "of": figure.of, "verdict": "not_enough_evidence"}
    return {"value": estimate.value, "low": estimate.low, "high": estimate.high, "of": figure.of}
