"""What a quarantine of labels says to incident response: no training before somebody has looked."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from data_contracts.alerts import Alert
from pipelines.labelling.label_evidence import Judgement

NAME = "LabelsPoisoned"


def poisoning_alerts(day: str, judgements: Sequence[Judgement], now: datetime) -> list[Alert]:
    """One alert a batch that was quarantined; those of a day have one cause: one incident."""
    batches = [one.batch for one in judgements if one.quarantine]
    return [
        Alert(
            name=NAME, severity_hint="ticket", subject={"day": day, "batch": one.batch},
            value=float(len(batches)), expected=0.0, low=None, high=0.0, at=now,
            reason=f"batch {one.batch} is quarantined: {one.reason}",
            likely_cause=f"answers of {day} that disagree beyond chance ({len(batches)} of "
            f"{len(judgements)} batches)",
        )
        for one in judgements if one.quarantine
    ]  # fmt: skip
