"""Decision records as lines: how one is written, how lines are read back, format 1 included.

A line is compact: fields of the event that say nothing are left out, and so is a budget that
bounds nothing. The verdict stands in it in its canonical bytes, `orjson.dumps(verdict)`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from data_contracts.errors import ContractViolation, MissingPart
from data_contracts.events import Event, MediaReference
from data_contracts.protocols import Assessor
from data_contracts.verdicts import RECORD_FORMAT, UNBOUNDED, Budget, DecisionRecord, Verdict

_EVENT = orjson.OPT_UTC_Z | orjson.OPT_SERIALIZE_NUMPY  # features may be NumPy's numbers
_LINE = orjson.OPT_APPEND_NEWLINE


class UnwrittenRecord(NamedTuple):
    """A decision that waits to be written; cheap to make, the work is in `line`.

    `event` is the event as it was decided; `artefact` the artefact's own id, None where the
    assessor has none.
    """

    verdict: Verdict
    event: Event
    decided_at: datetime
    mirrored: bool
    milliseconds: float
    artefact: str | None = None
    budget: Budget = UNBOUNDED

    def line(self) -> bytes:
        """The record as a line of JSON. orjson.JSONEncodeError for numbers JSON cannot hold."""
        event = orjson.dumps(event_fields(self.event), option=_EVENT)
        stored = {
            "format": RECORD_FORMAT,
            "verdict": self.verdict,
            "event": orjson.Fragment(event),
            "event_sha256": hashlib.sha256(event).hexdigest(),
            "decided_at": self.decided_at,
            "mirrored": self.mirrored,
            "milliseconds": self.milliseconds,
            "artefact": self.artefact,
        }
        if self.budget is not UNBOUNDED and (budget := self.budget.as_record()):
            stored["budget"] = budget
        return orjson.dumps(stored, option=_LINE)


def event_fields(event: Event) -> dict[str, Any]:
    """What `Event.model_dump(mode="json", exclude_defaults=True)` says, for orjson to encode.

    pydantic asks of every entry of a context which of its types it is, 20 µs for 60 of them.
    """
    fields: dict[str, Any] = {"event_id": event.event_id, "text": event.text}
    if event.occurred_at is not None:
        fields["occurred_at"] = event.occurred_at
    if event.account is not None:
        fields["account"] = event.account
    if event.language is not None:
        fields["language"] = event.language
    if event.media:
        fields["media"] = [_media_fields(one) for one in event.media]
    if event.context:
        fields["context"] = event.context
    return fields


def artefact_of(assessor: Assessor) -> str | None:
    """The id that an assessor gives itself, if it does."""
    version: str | None = getattr(assessor, "version", None)
    return version


def event_sha256(record: DecisionRecord) -> str:
    """Of the event as the record holds it; another than `record.event_sha256`: it was altered."""
    return hashlib.sha256(orjson.dumps(record.event)).hexdigest()


class StoredRecord(NamedTuple):
    """A record that was read back: `where` is `file:line`, `verdict` its verdict's bytes."""

    record: DecisionRecord
    verdict: bytes
    where: str


class UnreadableLine(NamedTuple):
    """A line that is no decision record: `problem` without anything of what it says."""

    where: str
    size_bytes: int
    problem: str


def lines_of(path: Path, mentioning: bytes = b"") -> Iterator[StoredRecord | UnreadableLine]:
    """The lines of a file as records, those that hold the bytes `mentioning` only."""
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if mentioning in line:
                yield _read(line, f"{path}:{number}")


def read_records(path: Path) -> Iterator[DecisionRecord]:
    """The decision records of a file. Raises ContractViolation that names file and line."""
    for found in lines_of(path):
        if isinstance(found, UnreadableLine):
            raise ContractViolation(
                "line",
                f"{found.size_bytes} bytes",
                f"not a decision record ({found.problem})",
                "remove the line; the server that wrote it was killed in the act",
                where=found.where,
            )
        yield found.record


def record_files(paths: Sequence[Path]) -> list[Path]:
    """The files among `paths`, and those of folders. MissingPart for a path that is neither."""
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            found += sorted(path.glob("*.jsonl"))
        elif path.is_file():
            found.append(path)
        else:
            raise MissingPart(f"--records {path} is neither file nor folder; servers write to "
                              "decisions/ in the Weir home")  # fmt: skip
    return found


def _read(line: bytes, where: str) -> StoredRecord | UnreadableLine:
    try:
        raw = orjson.loads(line)
        record = DecisionRecord.from_record(raw)
        if record.format == RECORD_FORMAT:
            return StoredRecord(record, orjson.dumps(raw["verdict"]), where)
        return StoredRecord(record, orjson.dumps(record.verdict), where)
    except ValueError as error:
        problem = "no JSON" if isinstance(error, orjson.JSONDecodeError) else str(error)
        return UnreadableLine(where, len(line), problem)
    except (KeyError, TypeError, AttributeError) as error:
        return UnreadableLine(where, len(line), type(error).__name__)


def _media_fields(media: MediaReference) -> dict[str, str]:
    fields = {"kind": media.kind, "sha256": media.sha256}
    if media.bytes is not None:
        fields["bytes"] = media.bytes
    if media.path is not None:
        fields["path"] = media.path
    return fields
