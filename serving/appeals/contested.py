"""The verdict that stands about an event, as an appeal contests it: from records, then the lake.

It reads what servers wrote and what was ingested, so that an appeal a minute after the verdict is
heard, and one months later as well. Days of the lake outside the window are not opened.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pyarrow.compute as pc

from data_contracts.events import Event, parse_event
from data_contracts.verdicts import Verdict
from pipelines import lake
from pipelines.labelling.appeal_records import Contested
from serving.decision_records import StoredRecord, lines_of

UNDETERMINED = "und"  # BCP 47
TEXT = "text"


@dataclass(frozen=True)
class Standing:
    """What was decided last about an event by live traffic, and the event itself."""

    contested: Contested
    event: Event


@dataclass(frozen=True)
class Verdicts:
    """Of one home: the folder of decision records and the lake."""

    decisions: Path
    lake: Path
    window: timedelta

    def standing(self, event_id: str, now: datetime) -> Standing | None:
        """The highest revision, then the latest, of verdicts that counted; None for no account."""
        found = [*self._records(event_id), *self._rows(event_id, now)]
        if not found:
            return None
        verdict, decided_at, event = max(found, key=lambda one: (one[0].revision, one[1]))
        event = event or next((one for _, _, one in found if one), None) or self.event(event_id)
        if event is None or event.account is None:
            return None
        return Standing(contest(verdict, decided_at, event), event)

    def event(self, event_id: str) -> Event | None:
        """As the lake has it."""
        found = self.day_and_event(event_id)
        return None if found is None else found[1]

    def day_and_event(self, event_id: str) -> tuple[str, Event] | None:
        """The lake's day of an event, and the event; None where it was not ingested yet."""
        for day in reversed(lake.days(self.lake, "events")):
            for row in _rows_of(self.lake, "events", day, event_id):
                return day, lake.event_of(row)
        return None

    def _records(self, event_id: str) -> Iterator[tuple[Verdict, datetime, Event | None]]:
        mentioning = orjson.dumps(event_id)
        for path in sorted(self.decisions.glob("*.jsonl")):
            for found in lines_of(path, mentioning=mentioning):
                if isinstance(found, StoredRecord) and found.record.verdict.event_id == event_id:
                    record = found.record
                    if counts(record.verdict, mirrored=record.mirrored):
                        yield record.verdict, moment(record.decided_at), parse_event(record.event)

    def _rows(
        self, event_id: str, now: datetime
    ) -> Iterator[tuple[Verdict, datetime, Event | None]]:
        first = (now - self.window - timedelta(days=1)).date().isoformat()
        for day in reversed(lake.days(self.lake, "verdicts")):
            if day < first:
                return
            for row in _rows_of(self.lake, "verdicts", day, event_id):
                verdict = verdict_of(row)
                if counts(verdict, mirrored=row["mirrored"]):
                    yield verdict, row["decided_at"], None


def contest(verdict: Verdict, decided_at: datetime, event: Event) -> Contested:
    """What an appeal keeps of a verdict; an event without an account leaves it empty."""
    return Contested(
        event_id=verdict.event_id,
        revision=verdict.revision,
        account=event.account or "",
        action=verdict.action,
        score=verdict.score,
        reasons=verdict.reasons,
        language=(event.language or UNDETERMINED).split("-")[0].lower(),
        modality="+".join(sorted({one.kind for one in event.media})) or TEXT,
        model_version=verdict.model_version,
        threshold_version=verdict.threshold_version,
        decided_at=decided_at,
    )


def counts(verdict: Verdict, *, mirrored: bool) -> bool:
    """Whether a verdict was one about live traffic: copies never act on anybody."""
    return not mirrored and verdict.arm != "shadow"


def verdict_of(row: dict[str, Any]) -> Verdict:
    """Of a row of the lake's `verdicts`."""
    record = {name: row[name] for name in Verdict.__dataclass_fields__}
    return Verdict.from_record(record | {"stages": orjson.loads(row["stages"])})


def moment(text: str) -> datetime:
    """The aware UTC time that a decision record says; one without a zone is in UTC."""
    at = datetime.fromisoformat(text)
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


def _rows_of(folder: Path, table: str, day: str, event_id: str) -> list[dict[str, Any]]:
    """Reads the ids first: most days do not know the event."""
    ids = lake.read(folder, table, [day], ["event_id"])["event_id"]
    chosen = pc.equal(ids, event_id)
    if not pc.any(chosen).as_py():
        return []
    rows: list[dict[str, Any]] = lake.read(folder, table, [day]).filter(chosen).to_pylist()
    return rows
