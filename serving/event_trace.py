"""Everything that is stored about one event's verdicts: decision records, then the lake.

What a user wrote is not part of it: of a text the length and the sha256 are known, of an entry of
the context that is words its length. `TracedEvent.text` is filled only where it is asked for.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from data_contracts.config import Settings
from data_contracts.errors import BadInput
from data_contracts.events import ENRICHED_PREFIXES
from data_contracts.verdicts import Budget, DecisionRecord, Stage, Verdict
from serving.decision_records import StoredRecord, event_sha256, lines_of

ACCOUNT_SHOWN = 12  # characters of the keyed hash


@dataclass(frozen=True)
class Passage:
    """One verdict about the event. What only a record of format 2 knows is None without it."""

    verdict: Verdict
    decided_at: str
    mirrored: bool
    where: str
    milliseconds: float | None = None
    budget: Budget | None = None
    artefact: str | None = None
    event_sha256: str | None = None
    is_altered: bool = False


@dataclass(frozen=True)
class TracedEvent:
    """The event as it was decided. `signals` are numbers of the context by name, `worded` the
    lengths of its strings; `media` pairs of kind and sha256."""

    text_characters: int
    text_sha256: str
    text: str | None
    occurred_at: str | None
    account: str | None
    language: str | None
    media: tuple[tuple[str, str], ...]
    signals: Mapping[str, float | None]
    worded: Mapping[str, int]

    @property
    def features(self) -> dict[str, int]:
        """How many entries each source of the past wrote, and how many came with the event."""
        return dict(Counter(_source(key) for key in [*self.signals, *self.worded]))


@dataclass(frozen=True)
class Trace:
    """Verdicts in the order in which they were decided."""

    event_id: str
    event: TracedEvent | None
    passages: tuple[Passage, ...]

    @property
    def standing(self) -> Passage | None:
        """The decision that counts: the highest revision, then the latest; never a copy's."""
        counted = [one for one in self.passages if not one.mirrored]
        return max(counted, key=lambda one: (one.verdict.revision, one.decided_at), default=None)


def trace(event_id: str, settings: Settings, *, with_text: bool = False) -> Trace:
    """What is known of an event. Raises BadInput that says where it was looked for."""
    folder = settings.home / "decisions"
    files = sorted(folder.glob("*.jsonl"))
    stored = [one for path in files for one in _records_of(event_id, path)]
    passages = [_passage(one) for one in stored]
    days, rows = _from_lake(event_id, settings.lake, {_identity(one) for one in passages})
    passages = sorted([*passages, *rows], key=lambda one: (one.decided_at, one.verdict.revision))
    if not passages:
        raise BadInput(
            f"no verdict about event {event_id[:80]!r}: looked in {len(files)} files of {folder} "
            f"and {days} days of {settings.lake / 'verdicts'}; check the id, or point WEIR_HOME at "
            "the home of the server that decided it (records are on disk within 0.1 s)"
        )
    raw = stored[-1].record.event if stored else _event_in_lake(event_id, settings.lake)
    return Trace(event_id, traced_event(raw, with_text=with_text) if raw else None, tuple(passages))


def traced_event(raw: Mapping[str, Any], *, with_text: bool) -> TracedEvent:
    """From the event of a record."""
    text, context = raw.get("text", ""), raw.get("context", {})
    account = raw.get("account")
    return TracedEvent(
        text_characters=len(text),
        text_sha256=hashlib.sha256(text.encode()).hexdigest(),
        text=text if with_text else None,
        occurred_at=raw.get("occurred_at"),
        account=f"{account[:ACCOUNT_SHOWN]}…" if account else None,
        language=raw.get("language"),
        media=tuple((one["kind"], one["sha256"]) for one in raw.get("media", ())),
        signals={key: one for key, one in context.items() if not isinstance(one, str)},
        worded={key: len(one) for key, one in context.items() if isinstance(one, str)},
    )


def _source(key: str) -> str:
    return next((one[:-1] for one in ENRICHED_PREFIXES if key.startswith(one)), "context")


def _records_of(event_id: str, path: Path) -> Iterator[StoredRecord]:
    try:
        for found in lines_of(path, mentioning=orjson.dumps(event_id)):
            if isinstance(found, StoredRecord) and found.record.verdict.event_id == event_id:
                yield found
    except FileNotFoundError:  # retention was faster
        return


def _passage(stored: StoredRecord) -> Passage:
    record: DecisionRecord = stored.record
    knows = record.format > 1
    return Passage(
        verdict=record.verdict,
        decided_at=record.decided_at,
        mirrored=record.mirrored,
        where=stored.where,
        milliseconds=record.milliseconds,
        budget=record.budget if knows else None,
        artefact=record.artefact,
        event_sha256=record.event_sha256,
        is_altered=knows and event_sha256(record) != record.event_sha256,
    )


def _identity(passage: Passage) -> tuple[Any, ...]:
    """What the lake keeps once, the earliest (`pipelines.decisions`)."""
    verdict = passage.verdict
    versions = (verdict.model_version, verdict.threshold_version)
    return (*versions, verdict.arm, passage.mirrored, verdict.revision)


def _from_lake(
    event_id: str, folder: Path, known: set[tuple[Any, ...]]
) -> tuple[int, list[Passage]]:
    """How many days were searched, and the verdicts that no record at hand tells of."""
    from pipelines import lake  # Arrow is needed from here on

    days = lake.days(folder, "verdicts")
    found = []
    for day in days:
        for row in _rows(event_id, "verdicts", day, folder):
            passage = _passage_of_row(row, f"lake, verdicts/day={day}")
            if _identity(passage) not in known:
                found.append(passage)
    return len(days), found


def _passage_of_row(row: Mapping[str, Any], where: str) -> Passage:
    names = ("event_id", "score", "action", "model_version", "threshold_version", "arm", "revision")
    verdict = Verdict(
        **{name: row[name] for name in names},
        reasons=tuple(row["reasons"]),
        stages=tuple(Stage(**stage) for stage in orjson.loads(row["stages"])),
    )
    return Passage(verdict, row["decided_at"].isoformat(), row["mirrored"], where)


def _event_in_lake(event_id: str, folder: Path) -> dict[str, Any] | None:
    from pipelines import lake

    for day in lake.days(folder, "events"):
        for row in _rows(event_id, "events", day, folder):
            dumped: dict[str, Any] = lake.event_of(row).model_dump(mode="json")
            return dumped
    return None


def _rows(event_id: str, table: str, day: str, folder: Path) -> list[dict[str, Any]]:
    """Reads the ids first: most days do not know the event."""
    import pyarrow.compute as pc

    from pipelines import lake

    ids = lake.read(folder, table, [day], ["event_id"])["event_id"]
    chosen = pc.equal(ids, event_id)
    if not pc.any(chosen).as_py():
        return []
    rows: list[dict[str, Any]] = lake.read(folder, table, [day]).filter(chosen).to_pylist()
    return rows
