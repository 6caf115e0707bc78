"""What the judge is told: samples read from the gateway's access log, decision records, labels.

The first two are files that grow while they are read; labels come to the lake later, or never.
What is kept is counts, histograms, and ids of events that were acted on.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from serving.rollout.decided_events import ArmEvents, PairedEvents, Side, slices_of
from serving.rollout.late_labels import LateLabel, LateLabels
from serving.rollout.latency_histogram import LatencyHistogram
from serving.rollout.measurements import ALL, SCORE_CUTS, ArmSlice, Pairs, Sample
from serving.rollout.tails import Tail
from serving.rollout.targets.base import Counters
from serving.rollout.targets.envoy_config import PREDICT_ROUTE

CLIENT_GONE = "DC"
FIRST_ERROR_STATUS = 400
_SIDES: Mapping[str, Side] = {
    "shadow": "canary",
    "canary": "canary",
    "stable": "reference",
    "baseline": "reference",
}
# Business counts of an arm (canary or baseline) since a moment, by the name of the guardrail.
Guardrails = Callable[[str, datetime], Mapping[str, int]]


class _Arm:
    """What one arm answered, as the gateway saw it or as its server decided it."""

    def __init__(self) -> None:
        self.requests = 0
        self.errors = 0
        self.latencies = LatencyHistogram()
        self.scores = [0] * (len(SCORE_CUTS) + 1)
        self.events = ArmEvents()

    @property
    def seen_scores(self) -> tuple[int, ...] | None:
        return tuple(self.scores) if any(self.scores) else None


class PhaseEvidence:
    """What was seen since a phase was applied, of the candidate and its reference.

    In shadow, errors of the copies come from the gateway's counters, latencies and decisions from
    decision records; in canary errors and latencies come from the access log. A canary request
    counts as an error when it failed, was tried again, or was answered by another version.
    `lake`: where labels arrive, None for a platform without any.
    """

    def __init__(
        self,
        access_log: Path,
        decisions: Path,
        since: datetime,
        candidate: str,
        lake: Path | None = None,
        guardrails: Guardrails | None = None,
    ) -> None:
        self.since = since
        self._candidate = candidate
        self._log = Tail(access_log.parent, f"{access_log.name}*", since)
        self._decisions = Tail(decisions, "*.jsonl", since)
        self._labels = None if lake is None else LateLabels(lake, since)
        self._guardrails = guardrails
        self._answering: dict[str, _Arm] = {}
        self._deciding = {arm: _Arm() for arm in _SIDES}
        self._pairs = PairedEvents()

    def live(self) -> tuple[Sample, Sample]:
        """Canary and baseline, as clients had them."""
        self._read()
        labels = self._known_labels()
        return self._live("canary", labels), self._live("baseline", labels)

    def mirrored(self, copies: Counters) -> tuple[Sample, Sample, Pairs]:
        """Shadow and stable on the same traffic; `copies` as the gateway counted them."""
        self._read()
        stable = self._arm("stable")
        slices = self._pairs.slices(self._known_labels())
        disputed = events = 0
        if ALL in slices:
            whole = slices[ALL]
            events = whole.events
            disputed = whole.only_canary.events + whole.only_reference.events
        return (
            self._decided("shadow", copies.requests, copies.errors),
            self._decided("stable", stable.requests, stable.errors),
            Pairs(events, disputed, slices),
        )

    def _live(self, name: str, labels: Mapping[str, LateLabel]) -> Sample:
        answering, deciding = self._arm(name), self._deciding[name]
        slices: dict[str, ArmSlice] = deciding.events.slices(labels)
        counted = {} if self._guardrails is None else self._guardrails(name, self.since)
        return Sample(
            answering.requests,
            answering.errors,
            answering.latencies,
            deciding.seen_scores,
            slices=slices,
            guardrails=counted,
        )

    def _decided(self, name: str, requests: int, errors: int) -> Sample:
        arm = self._deciding[name]
        return Sample(requests, errors, arm.latencies, arm.seen_scores)

    def _known_labels(self) -> Mapping[str, LateLabel]:
        return {} if self._labels is None else self._labels.read()

    def _read(self) -> None:
        for entry in self._log.records():
            self._take_request(entry)
        for record in self._decisions.records():
            self._take_decision(record)

    def _take_request(self, entry: Mapping[str, Any]) -> None:
        arm, status = entry.get("arm"), entry.get("status") or 0
        if arm is None or entry.get("route") != PREDICT_ROUTE or not self._is_recent(entry["time"]):
            return
        if status < 100 or CLIENT_GONE in str(entry.get("flags")):
            return  # the client went away: nobody's fault here
        seen = self._arm(arm)
        seen.requests += 1
        if status >= FIRST_ERROR_STATUS or self._was_rescued(arm, entry):
            seen.errors += 1
        else:
            seen.latencies.add(entry["microseconds"] / 1000)

    def _was_rescued(self, arm: str, entry: Mapping[str, Any]) -> bool:
        if (entry.get("attempts") or 1) > 1:
            return True
        return arm == "canary" and entry.get("model_version") != self._candidate

    def _take_decision(self, record: Mapping[str, Any]) -> None:
        verdict = record["verdict"]
        name = verdict["arm"]
        side = _SIDES.get(name)
        of_candidate = verdict["model_version"] == self._candidate
        if side is None or of_candidate != (side == "canary"):
            return
        if not self._is_recent(record["decided_at"]):
            return
        arm = self._deciding[name]
        arm.latencies.add(record["milliseconds"])
        if (score := verdict.get("score")) is not None:
            arm.scores[bisect_right(SCORE_CUTS, score)] += 1
        acted, slices = verdict["action"] != "allow", slices_of(record.get("event") or {})
        if name in ("shadow", "stable"):
            self._pairs.take(side, verdict["event_id"], acted, slices)
        else:
            arm.events.take(verdict["event_id"], acted, slices)

    def _arm(self, name: str) -> _Arm:
        return self._answering.setdefault(name, _Arm())

    def _is_recent(self, moment: str) -> bool:
        """Requests that began before the phase was applied belong to the one before."""
        return datetime.fromisoformat(moment) >= self.since
