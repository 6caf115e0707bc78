"""A rollout as it is told to people: what it was, what it is, what was measured, who decided."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Engine

from pipelines import audit_trail
from pipelines.audit_trail import Entry
from serving.rollout.leadership import Leader, Leadership
from serving.rollout.phases import Rollout, Stable, baseline_weight
from serving.rollout.store import RolloutStore, utc_now

Record = Mapping[str, Any]


@dataclass(frozen=True)
class Span:
    """A phase that was, or is, from its decision to the next one; `weight` is the canary's."""

    name: str
    weight: int
    mirror: bool
    start: datetime
    end: datetime
    verdict: str
    reason: str
    requests: int
    errors: int

    @property
    def seconds(self) -> float:
        return (self.end - self.start).total_seconds()


@dataclass(frozen=True)
class Story:
    """Everything that is shown of one rollout at one moment.

    `measurements` are the judge's words on the way, oldest first, as the store kept them.
    """

    rollout: Rollout
    stable: Stable | None
    spans: tuple[Span, ...]
    measurements: tuple[Record, ...]
    trail: tuple[Entry, ...]
    leader: Leader | None
    now: datetime

    @property
    def shares(self) -> dict[str, int]:
        """Percent of requests that each arm is to answer now."""
        rollout, step = self.rollout, self.rollout.current_step
        if rollout.phase in ("full", "done"):
            return {"canary": 100}
        if step is None or not step.weight:
            return {"stable": 100}
        baseline = baseline_weight(step.weight)
        return {
            "stable": 100 - step.weight - baseline,
            "baseline": baseline,
            "canary": step.weight,
        }

    @property
    def latest(self) -> Record | None:
        """The judge's last word on the phase under way, or on the last one judged."""
        judged = (record for record in reversed(self.measurements) if record["measurements"])
        return next(judged, None)

    @property
    def headline(self) -> str:
        """Which version, beside which, and where it is."""
        rollout, champion = self.rollout, self.stable and self.stable.model.version
        beside = f" beside version {champion}" if champion not in (None, rollout.version) else ""
        return f"Version {rollout.version}{beside}: {rollout.label.replace('_', ' ')}"


def tell(engine: Engine, store: RolloutStore, version: str | None = None) -> Story | None:
    """The story of the newest rollout, of this version if one is named; None without any."""
    rollout = store.latest(version)
    if rollout is None:
        return None
    now = utc_now()
    rows = audit_trail.entries(engine, rollout.model.model_uri)
    return Story(
        rollout,
        store.stable(),
        spans(rollout, store.history(rollout), now),
        tuple(store.measurements(rollout)),
        tuple(row for row in rows if row.what.startswith(f"rollout {rollout.id}:")),
        Leadership(engine).leader(),
        now,
    )


def spans(rollout: Rollout, history: Sequence[Record], now: datetime) -> tuple[Span, ...]:
    """The phases in their order; the one under way ends now."""
    found, start = [], None
    for entry in history:
        end = datetime.fromisoformat(entry["at"])
        begin = start or end - timedelta(seconds=float(entry["seconds"]))
        found.append(
            Span(
                _name(entry), entry["weight"], entry["mirror"], begin, end, entry["verdict"],
                entry["reason"], entry["requests"], entry["errors"],
            )
        )  # fmt: skip
        start = end
    if rollout.active:
        step = rollout.current_step
        weight = 100 if rollout.phase == "full" else step.weight if step else 0
        mirror = step is not None and step.phase == "shadow"
        begin = rollout.entered_at
        found.append(Span(rollout.label, weight, mirror, begin, now, "", "under way", 0, 0))
    return tuple(found)


def _name(entry: Record) -> str:
    phase: str = entry["phase"]
    return f"canary {entry['weight']} %" if phase == "canary" else phase
