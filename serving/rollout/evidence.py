"""What the judge is told: samples read from the gateway's access log and decision records.

Both are files that grow while they are read; a `Tail` remembers how far it got, in whatever
file the lines now stand. Nothing that a user wrote is kept: only ids, actions, times, counts.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from serving.rollout.analysis import Pairs, Sample
from serving.rollout.targets.base import Counters
from serving.rollout.targets.envoy_config import PREDICT_ROUTE

CLIENT_GONE = "DC"
FIRST_ERROR_STATUS = 400
MAXIMUM_SAMPLES = 100_000  # an arm; a phase that saw more has long been decided


class Tail:
    """New whole lines of the files that match a pattern, wherever renaming has put them."""

    def __init__(self, folder: Path, pattern: str, since: datetime) -> None:
        self._folder = folder
        self._pattern = pattern
        self._since = since.timestamp() - 1
        self._read_bytes: dict[int, int] = {}

    def records(self) -> Iterator[dict[str, Any]]:
        for path in sorted(self._folder.glob(self._pattern)):
            yield from self._records_of(path)

    def _records_of(self, path: Path) -> Iterator[dict[str, Any]]:
        try:
            with path.open("rb") as file:
                yield from self._new_lines(file)
        except FileNotFoundError:  # moved on between listing and opening
            return

    def _new_lines(self, file: BinaryIO) -> Iterator[dict[str, Any]]:
        status = os.fstat(file.fileno())
        if status.st_mtime < self._since:
            return
        file.seek(self._read_bytes.get(status.st_ino, 0))
        for line in file:
            if not line.endswith(b"\n"):
                return
            self._read_bytes[status.st_ino] = self._read_bytes.get(status.st_ino, 0) + len(line)
            try:
                yield orjson.loads(line)
            except orjson.JSONDecodeError:
                continue  # half a line that a killed server left behind


@dataclass
class _Arm:
    requests: int = 0
    errors: int = 0
    milliseconds: list[float] = field(default_factory=list)

    def sample(self) -> Sample:
        return Sample(self.requests, self.errors, self.milliseconds)


class PhaseEvidence:
    """What was seen since a phase was applied, of the candidate and its reference.

    In shadow, errors of the copies come from the gateway's counters, latencies and decisions from
    decision records; in canary everything comes from the access log. A canary request counts as
    an error when it failed, was tried again, or was answered by another version.
    """

    def __init__(self, access_log: Path, decisions: Path, since: datetime, candidate: str) -> None:
        self.since = since
        self._candidate = candidate
        self._log = Tail(access_log.parent, f"{access_log.name}*", since)
        self._decisions = Tail(decisions, "*.jsonl", since)
        self._arms: dict[str, _Arm] = {}
        self._deciding: dict[str, _Arm] = {"stable": _Arm(), "shadow": _Arm()}
        self._acted: dict[str, dict[str, bool]] = {"stable": {}, "shadow": {}}

    def live(self) -> tuple[Sample, Sample]:
        """Canary and baseline, as clients had them."""
        self._read_log()
        return self._arm("canary").sample(), self._arm("baseline").sample()

    def mirrored(self, copies: Counters) -> tuple[Sample, Sample, Pairs]:
        """Shadow and stable on the same traffic; `copies` as the gateway counted them."""
        self._read_log()
        for record in self._decisions.records():
            self._take_decision(record)
        stable = self._arm("stable")
        candidate = self._deciding["shadow"].milliseconds
        reference = self._deciding["stable"].milliseconds
        return (
            Sample(copies.requests, copies.errors, candidate),
            Sample(stable.requests, stable.errors, reference),
            self._pairs(),
        )

    def _read_log(self) -> None:
        for entry in self._log.records():
            self._take_request(entry)

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
        elif len(seen.milliseconds) < MAXIMUM_SAMPLES:
            seen.milliseconds.append(entry["microseconds"] / 1000)

    def _was_rescued(self, arm: str, entry: Mapping[str, Any]) -> bool:
        if (entry.get("attempts") or 1) > 1:
            return True
        return arm == "canary" and entry.get("model_version") != self._candidate

    def _take_decision(self, record: Mapping[str, Any]) -> None:
        verdict = record["verdict"]
        arm = verdict["arm"]
        of_candidate = verdict["model_version"] == self._candidate
        if arm not in self._acted or of_candidate != (arm == "shadow"):
            return
        if not self._is_recent(record["decided_at"]):
            return
        if len(self._deciding[arm].milliseconds) < MAXIMUM_SAMPLES:
            self._deciding[arm].milliseconds.append(record["milliseconds"])
            self._acted[arm].setdefault(verdict["event_id"], verdict["action"] != "allow")

    def _pairs(self) -> Pairs:
        stable, shadow = self._acted["stable"], self._acted["shadow"]
        both = stable.keys() & shadow.keys()
        return Pairs(len(both), sum(stable[event] != shadow[event] for event in both))

    def _arm(self, name: str) -> _Arm:
        return self._arms.setdefault(name, _Arm())

    def _is_recent(self, moment: str) -> bool:
        """Requests that began before the phase was applied belong to the one before."""
        return datetime.fromisoformat(moment) >= self.since
