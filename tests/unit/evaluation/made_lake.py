"""Days of made events, verdicts and labels for the tests of gates and monitoring."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import orjson

from pipelines import lake


def write_events(folder: Path, day: str, texts: list[str], language: str = "en") -> list[str]:
    """One event a text; returns the ids."""
    records = [
        {
            "event_id": f"{day}-{number}", "text": text, "occurred_at": at(day),
            "account_hash": None, "language": language, "media": "[]", "context": "{}",
            "source": "made",
        }
        for number, text in enumerate(texts)
    ]  # fmt: skip
    lake.write(folder, "events", day, lake.rows("events", records))
    return [record["event_id"] for record in records]


def write_labels(
    folder: Path,
    day: str,
    labels: dict[str, str],
    chance: float | None = 0.5,
    strategy: str = "audit",
) -> None:
    records = [
        {
            "event_id": event_id, "label": label, "source": "oracle", "reviewer": "demo-oracle",
            "strategy": strategy, "inclusion_probability": chance, "observed_at": at(day),
            "batch": f"{day}/ana",
        }
        for event_id, label in labels.items()
    ]  # fmt: skip
    before = lake.read(folder, "labels", [day]).to_pylist()
    lake.write(folder, "labels", day, lake.rows("labels", [*before, *records]))


def write_verdicts(
    folder: Path,
    day: str,
    actions: dict[str, str],
    version: str = "m1",
    revision: int = 0,
    mirrored: bool = False,
) -> None:
    records = [
        {
            "event_id": event_id, "revision": revision, "score": 0.9 if action != "allow" else 0.1,
            "action": action, "reasons": [], "stages": "[]", "model_version": version,
            "threshold_version": "t1", "arm": "shadow" if mirrored else "stable",
            "mirrored": mirrored, "decided_at": at(day),
        }
        for event_id, action in actions.items()
    ]  # fmt: skip
    before = lake.read(folder, "verdicts", [day]).to_pylist()
    lake.write(folder, "verdicts", day, lake.rows("verdicts", [*before, *records]))


def decision_line(
    event_id: str, action: str, decided_at: datetime, arm: str = "stable", milliseconds: float = 5.0
) -> bytes:
    """A line of a server's decision log."""
    record = {
        "verdict": {"event_id": event_id, "action": action, "arm": arm, "model_version": "m1"},
        "event": {},
        "decided_at": decided_at.isoformat(),
        "mirrored": arm == "shadow",
        "milliseconds": milliseconds,
    }
    return orjson.dumps(record) + b"\n"


def at(day: str) -> datetime:
    return datetime.fromisoformat(day).replace(hour=12, tzinfo=UTC)
