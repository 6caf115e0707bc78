"""The last window of live decisions: how many, what they said, how long they took, what failed.

Reads `{home}/decisions/*.jsonl` and the gateway's access log as files.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from evaluation.metrics import wilson

PERCENTILES = (50, 95, 99)
FIRST_SERVER_ERROR = 500
SHADOW = "shadow"
WARM_UP = "weir-warm-up-"  # the events that a rollout warms a new server with


@dataclass(frozen=True)
class Decision:
    """What monitoring needs of one decision record."""

    event_id: str
    action: str
    arm: str
    model_version: str
    milliseconds: float
    mirrored: bool
    decided_at: datetime

    @property
    def is_positive(self) -> bool:
        return self.action != "allow"

    @property
    def is_of_users(self) -> bool:
        copied = self.mirrored and self.arm != SHADOW
        return not copied and not self.event_id.startswith(WARM_UP)


def decisions_since(folder: Path, start: datetime, end: datetime) -> list[Decision]:
    """Decisions about users' events in [start, end), and the shadow's on the same events.

    Left out: warm-ups, stored events that were scored again in bulk (mirrored, but of no shadow),
    unfinished lines, and files that nobody touched since.
    """
    files = sorted(folder.glob("*.jsonl"))
    recent = [path for path in files if path.stat().st_mtime >= start.timestamp()]
    found = (_decision(record) for path in recent for record in _records(path))
    return [one for one in found if start <= one.decided_at < end and one.is_of_users]


def traffic(decisions: Sequence[Decision]) -> dict[str, Any]:
    """Counts by action, positive rate, and latency by arm; mirrored decisions only by arm."""
    real = [decision for decision in decisions if not decision.mirrored]
    by_arm: dict[str, list[Decision]] = defaultdict(list)
    for decision in decisions:
        by_arm[decision.arm].append(decision)
    return {
        "decisions": len(real),
        "mirrored": len(decisions) - len(real),
        "actions": dict(Counter(decision.action for decision in real).most_common()),
        "positive_rate": _rate(real),
        "arms": {arm: _arm(rows) for arm, rows in sorted(by_arm.items())},
        "disagreement": disagreement(decisions),
    }


def disagreement(decisions: Iterable[Decision]) -> dict[str, Any] | None:
    """How often the shadow's decision about an event differs from the one that counted.

    None where no event has both.
    """
    counted: dict[str, bool] = {}
    shadowed: dict[str, bool] = {}
    for decision in decisions:
        side = shadowed if decision.mirrored else counted
        side[decision.event_id] = decision.is_positive
    both = counted.keys() & shadowed.keys()
    if not both:
        return None
    return _estimate(sum(counted[event] != shadowed[event] for event in both), len(both))


def gateway_errors(access_log: Path, start: datetime, end: datetime) -> dict[str, Any] | None:
    """Requests and server errors that the gateway saw, by arm; None where it keeps no log."""
    if not access_log.is_file():
        return None
    requests: Counter[str] = Counter()
    errors: Counter[str] = Counter()
    for entry in _records(access_log):
        if start <= datetime.fromisoformat(entry["time"]) < end:
            arm = entry.get("arm") or "none"
            requests[arm] += 1
            status = int(entry.get("status") or 0)
            errors[arm] += status == 0 or status >= FIRST_SERVER_ERROR
    total = requests.total()
    return {
        "requests": total,
        "errors": errors.total(),
        "share": _estimate(errors.total(), total) if total else None,
        "arms": {
            arm: {"requests": n, "errors": errors[arm]} for arm, n in sorted(requests.items())
        },
    }


def _arm(rows: Sequence[Decision]) -> dict[str, Any]:
    values = np.percentile([row.milliseconds for row in rows], PERCENTILES)
    latency = {f"p{rank}": round(float(v), 3) for rank, v in zip(PERCENTILES, values, strict=True)}
    versions = Counter(row.model_version for row in rows)
    return {
        "decisions": len(rows),
        "positive_rate": _rate(rows),
        "latency_ms": latency,
        "model_versions": dict(versions.most_common()),
    }


def _rate(rows: Sequence[Decision]) -> dict[str, Any] | None:
    return _estimate(sum(row.is_positive for row in rows), len(rows)) if rows else None


def _estimate(hits: int, count: int) -> dict[str, Any]:
    estimate = wilson(hits, count)
    return {"value": estimate.value, "low": estimate.low, "high": estimate.high, "of": count}


def _records(path: Path) -> Iterator[Mapping[str, Any]]:
    with path.open("rb") as file:
        for line in file:
            if line.endswith(b"\n"):  # the last line may still be being written
                try:
                    yield orjson.loads(line)
                except orjson.JSONDecodeError:
                    continue


def _decision(record: Mapping[str, Any]) -> Decision:
    verdict = record["verdict"]
    return Decision(
        event_id=verdict["event_id"],
        action=verdict["action"],
        arm=verdict["arm"],
        model_version=verdict["model_version"],
        milliseconds=float(record["milliseconds"]),
        mirrored=bool(record["mirrored"]),
        decided_at=datetime.fromisoformat(record["decided_at"]),
    )
