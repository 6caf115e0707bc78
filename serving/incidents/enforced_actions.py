"""What a version enforced in a window, from decision records and the lake: one action an event.

A verdict is enforced when live traffic got it and it is any action but allow; copies never are.
The last word about an event counts, whenever and by whom it was said: an action that a later
revision lifted, or that another version took over, is not the version's any more.

Files are read as streams, three times; kept is one verdict for each event that was acted on.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from data_contracts.errors import BadInput, ContractViolation
from data_contracts.events import Event, parse_event
from data_contracts.verdicts import DecisionRecord, Verdict
from pipelines import lake
from serving.appeals.contested import counts, moment, verdict_of
from serving.decision_records import StoredRecord, event_sha256, lines_of

FromWhere = Literal["record", "lake"]


@dataclass(frozen=True)
class Scope:
    """Verdicts by `version` (with `threshold_version`, if one is named) decided from `start`
    (included) to `end`, both aware.
    """

    version: str
    start: datetime
    end: datetime
    threshold_version: str | None = None

    def __post_init__(self) -> None:
        if self.start >= self.end:
            raise BadInput(f"--from {self.start} is not before --to {self.end}; swap them")

    def made(self, verdict: Verdict) -> bool:
        """Whether the version (by these thresholds) decided so."""
        is_ours = self.threshold_version in (None, verdict.threshold_version)
        return is_ours and verdict.model_version == self.version

    def covers(self, verdict: Verdict, at: datetime) -> bool:
        """Whether it is an action of the version within the window."""
        return verdict.action != "allow" and self.start <= at < self.end and self.made(verdict)


@dataclass(frozen=True)
class Enforced:
    """An action that stands, and the event as it was decided.

    An event from the lake lacks the features of the past that its record would hold.
    """

    verdict: Verdict
    decided_at: datetime
    event: Event
    where: FromWhere


@dataclass(frozen=True)
class Standing:
    """The last word about each event that the version acted on in the window: `actions` are still
    the version's; `lifted` by a later revision, or `taken_over` by another version, they are not.
    """

    actions: dict[str, tuple[Verdict, datetime]]
    lifted: int
    taken_over: int

    def has(self, event_id: str, revision: int) -> bool:
        """Whether that verdict is an action that is still the version's."""
        return event_id in self.actions and self.actions[event_id][0].revision == revision


@dataclass(frozen=True)
class EnforcedActions:
    """Of one home and scope."""

    decisions: Path
    lake: Path
    scope: Scope

    def standing(self) -> Standing:
        """Two passes: which events were acted on, and what was said about them last."""
        acted = {
            verdict.event_id
            for verdict, at in self._verdicts(orjson.dumps(self.scope.version))
            if self.scope.covers(verdict, at)
        }
        last: dict[str, tuple[Verdict, datetime]] = {}
        for verdict, at in self._verdicts():
            if verdict.event_id in acted:
                known = last.get(verdict.event_id)
                if known is None or (known[0].revision, known[1]) < (verdict.revision, at):
                    last[verdict.event_id] = verdict, at
        lifted = [one for one, (verdict, _) in last.items() if verdict.action == "allow"]
        others = [
            one
            for one, (verdict, _) in last.items()
            if verdict.action != "allow" and not self.scope.made(verdict)
        ]
        ours = {one: last[one] for one in sorted(last.keys() - {*lifted, *others})}
        return Standing(ours, len(lifted), len(others))

    def read(self, actions: dict[str, tuple[Verdict, datetime]]) -> Iterator[Enforced]:
        """These actions with their events: from records first, the rest from the lake.

        An event that nobody has (altered, erased) is left out.
        """
        wanted = dict(actions)
        for record, at in self._records():
            verdict, event_id = record.verdict, record.verdict.event_id
            known = wanted.get(event_id)
            if known is None or (known[0].revision, known[1]) != (verdict.revision, at):
                continue
            event = _event_of(record)
            if event is not None:
                del wanted[event_id]
                yield Enforced(known[0], at, event, "record")
        for day in lake.days(self.lake, "events") if wanted else ():
            ids = lake.read(self.lake, "events", [day], ["event_id"])["event_id"].to_pylist()
            here = wanted.keys() & set(ids)
            if here:
                rows = lake.read(self.lake, "events", [day])
                rows = rows.filter(
                    pc.is_in(rows["event_id"], value_set=pa.array(sorted(here), pa.string()))
                )
                for row in rows.to_pylist():
                    if row["event_id"] in wanted:
                        verdict, at = wanted.pop(row["event_id"])
                        yield Enforced(verdict, at, lake.event_of(row), "lake")

    def _verdicts(self, mentioning: bytes = b"") -> Iterator[tuple[Verdict, datetime]]:
        """Of live traffic, those that mention it: records, then the rows of the lake."""
        for record, at in self._records(mentioning):
            yield record.verdict, at
        for day in lake.days(self.lake, "verdicts"):
            for row in lake.read(self.lake, "verdicts", [day]).to_pylist():
                verdict = verdict_of(row)
                if counts(verdict, mirrored=row["mirrored"]):
                    yield verdict, row["decided_at"]

    def _records(self, mentioning: bytes = b"") -> Iterator[tuple[DecisionRecord, datetime]]:
        for path in sorted(self.decisions.glob("*.jsonl")):
            for found in lines_of(path, mentioning=mentioning):
                if isinstance(found, StoredRecord):
                    record = found.record
                    if counts(record.verdict, mirrored=record.mirrored):
                        yield record, moment(record.decided_at)


def _event_of(record: DecisionRecord) -> Event | None:
    """None where the record was altered, or its event breaks the contract of today."""
    if record.event_sha256 not in (None, event_sha256(record)):
        return None
    try:
        return parse_event(record.event)
    except ContractViolation:
        return None
