"""Drift as alerts: a ticket where the model surely decides otherwise, else worth knowing.

Never a page: a drifted input is a reason to look, and what silences people pages by itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from data_contracts.alerts import Alert
from evaluation.monitoring.drift.embeddings import EmbeddingDrift
from evaluation.monitoring.drift.judging import FeatureDrift

FEATURE, EMBEDDING = "FeatureDrift", "EmbeddingDrift"  # names of the alerts


def feature_alerts(found: Iterable[FeatureDrift], day: str, at: datetime) -> list[Alert]:
    """One for each drifted feature, in their order; the value is the Jensen-Shannon distance."""
    return [_of_feature(one, day, at) for one in found if one.drifted]


def embedding_alert(found: EmbeddingDrift, at: datetime) -> Alert | None:
    """Where a classifier tells the day from the days before; the value is its AUC."""
    if not found.drifted:
        return None
    auc = found.auc
    return Alert(
        name=EMBEDDING,
        severity_hint="ticket" if found.matters else "info",
        subject={"feature": "embedding"},
        value=auc.value, expected=found.usual_auc, low=auc.low, high=auc.high, at=at,
        reason=f"a classifier tells the embeddings of {found.day} from {found.reference_days} days "
        f"before with an AUC of {auc.value:.2f}, where those days give {found.usual_auc:.2f}",
        likely_cause="data: new content, a campaign, or another encoder; read a few of the "
        "events that are least like before",
    )  # fmt: skip


def _of_feature(one: FeatureDrift, day: str, at: datetime) -> Alert:
    return Alert(
        name=FEATURE,
        severity_hint="ticket" if one.matters else "info",
        subject={"feature": one.feature},
        value=one.jensen_shannon, expected=0.0, low=None, high=None, at=at,
        reason=f"{one.feature} of {day} is unlike the days before: distance "
        f"{one.jensen_shannon:.2f}, adjusted p {one.adjusted_p_value:.2g}; {_effect(one)}",
        likely_cause=f"data: {one.cause}",
    )  # fmt: skip


def _effect(one: FeatureDrift) -> str:
    if one.effect is None:
        return "no verdicts to say what it does to the model"
    points = 100 * one.effect.positive_rate
    return (
        f"explains {points:+.2f} points of the positive rate, {100 * one.effect.at_stake:.2f} "
        "points of verdicts at stake"
    )
