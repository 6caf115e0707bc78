"""What the decision log says of the last window and of those before it, in bounded memory.

The log is read once, line by line, and never held: counts by slice are kept of every decision,
features and stages of a random sample of each window, texts and verdicts of the latest decisions
of the last one, and of versions the first decision of each minute. So memory does not grow with
the log; the time does, with the lines of the files that were written to since the first window.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from heapq import heappush, heappushpop
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from data_contracts.verdicts import DecisionRecord
from evaluation.monitoring.anomaly.causes import Cell, Tally
from evaluation.monitoring.anomaly.consistency import Decided
from evaluation.monitoring.anomaly.series import Floats

DAY = timedelta(days=1)
MINUTE_CHARACTERS = len("2026-01-05T09:30")
SAMPLED = 2_000  # decisions of a window: distances of distributions are then known to .05
LATEST = 20_000  # decisions of the last window that are searched for contradictions
TEXT_CHARACTERS = 4_000  # of each of them: enough to tell near-duplicates
MOST_VALUES = 200  # of a dimension: a language is what a client says it is
UNKNOWN, OTHER = "unknown", "other"
WARM_UP = "weir-warm-up-"
SEED = 20_260_105
Row = tuple[Mapping[str, float], Mapping[str, float]]  # numbers of the context, scores of stages


@dataclass
class Window:
    """Decisions in [start, end): all of them counted, a random `SAMPLED` of them kept as rows."""

    start: datetime
    end: datetime
    decisions: int = 0
    rows: list[Row] = field(default_factory=list)
    _counted: dict[str, Counter[tuple[str, bool]]] = field(default_factory=dict)

    def holds(self, at: datetime) -> bool:
        return self.start <= at < self.end

    def add(self, record: DecisionRecord, rng: np.random.Generator) -> None:
        """Count it, and keep it with the chance that every decision of the window has."""
        positive = record.verdict.action != "allow"
        for dimension, value in slices_of(record).items():
            counts = self._counted.setdefault(dimension, Counter())
            known = (value, True) in counts or (value, False) in counts
            counts[value if known or len(counts) < MOST_VALUES else OTHER, positive] += 1
        self.decisions += 1
        if len(self.rows) < SAMPLED:
            self.rows.append(_row(record))
        elif (place := int(rng.integers(self.decisions))) < SAMPLED:
            self.rows[place] = _row(record)  # Vitter 1985, algorithm R

    @property
    def tally(self) -> Tally:
        return {
            dimension: {
                value: Cell(counts[value, True] + counts[value, False], counts[value, True])
                for value in sorted({value for value, _ in counts})
            }
            for dimension, counts in self._counted.items()
        }


@dataclass
class Recent:
    """The last window, the one a day before it, the one right before it, and what else is known.

    `latest` are decisions of the last window, in order of time; `versions` when which model and
    thresholds decided; `enforced` counts the last window's actions by dimension and value.
    """

    current: Window
    day_before: Window
    just_before: Window
    latest: list[Decided] = field(default_factory=list)
    versions: list[tuple[datetime, Mapping[str, str]]] = field(default_factory=list)
    enforced: dict[str, Counter[str]] = field(default_factory=dict)

    @property
    def before(self) -> Window:
        """The same time yesterday, or where nothing is known of it the window before this one."""
        return self.day_before if self.day_before.decisions else self.just_before


def read_recent(folder: Path, now: datetime, window: timedelta) -> Recent:
    """The decisions about users' events in `folder`'s files.

    Mirrored ones, warm-ups and lines that are no records are left out.
    """
    ends = (now, now - DAY, now - window)
    current, day_before, just_before = (Window(end - window, end) for end in ends)
    versions: dict[tuple[str, str, str], datetime] = {}
    latest: list[tuple[datetime, int, Decided]] = []
    enforced: dict[str, Counter[str]] = {}
    rng, start = np.random.default_rng(SEED), now - DAY - window
    for number, (at, line) in enumerate(_lines(folder, start, now)):
        _note_versions(versions, at, line["verdict"])
        into = [one for one in (current, day_before, just_before) if one.holds(at)]
        record = _record(line) if into else None
        if record is None:
            continue
        for one in into:
            one.add(record, rng)
        if current.holds(at):
            _note_enforced(enforced, record)
            text = str(record.event.get("text", ""))[:TEXT_CHARACTERS]
            kept = at, number, Decided(record.verdict, text)
            (heappush if len(latest) < LATEST else heappushpop)(latest, kept)
    return Recent(
        current,
        day_before,
        just_before,
        latest=[decided for _, _, decided in sorted(latest, key=lambda one: one[:2])],
        versions=sorted(
            ((at, {"model_version": model, "threshold_version": thresholds})
             for (_, model, thresholds), at in versions.items()),
            key=lambda one: one[0],
        ),
        enforced=enforced,
    )  # fmt: skip


def slices_of(record: DecisionRecord) -> dict[str, str]:
    """The slices that a decision belongs to; no value is what a user wrote."""
    event, verdict = record.event, record.verdict
    media: Sequence[Mapping[str, Any]] = event.get("media") or ()
    kinds = sorted({str(one.get("kind", UNKNOWN)) for one in media})
    return {
        "language": str(event.get("language") or UNKNOWN),
        "modality": "+".join(("text", *kinds)),
        "country": str((event.get("context") or {}).get("country") or UNKNOWN),
        "arm": verdict.arm,
    }


def columns(
    before: Window, after: Window, kind: int
) -> tuple[dict[str, Floats], dict[str, Floats]]:
    """float64[n] by name of both windows, NaN where a row has no such number.

    `kind`: 0 the numbers of the context, 1 the scores of the stages. Both have every name, so that
    what is gone altogether is seen to be missing.
    """
    sides = [[row[kind] for row in window.rows] for window in (before, after)]
    names = sorted({name for rows in sides for row in rows for name in row})
    first, second = (
        {name: np.array([row.get(name, np.nan) for row in rows]) for name in names}
        for rows in sides
    )
    return first, second


def _lines(
    folder: Path, start: datetime, end: datetime
) -> Iterator[tuple[datetime, Mapping[str, Any]]]:
    """Time and JSON of every decision about a user's event in [start, end)."""
    for path in sorted(folder.glob("*.jsonl")):
        if path.stat().st_mtime < start.timestamp():
            continue
        with path.open("rb") as file:
            for raw in file:
                found = _line(raw)
                if found is not None and start <= found[0] < end:
                    yield found


def _line(raw: bytes) -> tuple[datetime, Mapping[str, Any]] | None:
    try:
        line = orjson.loads(raw)
        if line["mirrored"] or str(line["verdict"]["event_id"]).startswith(WARM_UP):
            return None
        at = datetime.fromisoformat(line["decided_at"])
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
        return None  # torn, or no record: ingestion names it
    return (at if at.tzinfo else at.replace(tzinfo=UTC)), line


def _record(line: Mapping[str, Any]) -> DecisionRecord | None:
    try:
        return DecisionRecord.from_record(line)
    except (KeyError, TypeError, ValueError):
        return None


def _note_versions(
    versions: dict[tuple[str, str, str], datetime], at: datetime, verdict: Mapping[str, Any]
) -> None:
    """Once a minute: enough to see which version was usual before another one came."""
    minute = at.isoformat()[:MINUTE_CHARACTERS]
    key = minute, str(verdict.get("model_version")), str(verdict.get("threshold_version"))
    versions[key] = min(versions.get(key, at), at)


def _note_enforced(enforced: dict[str, Counter[str]], record: DecisionRecord) -> None:
    """Count an action against somebody's content by what, why, whose and by which release."""
    verdict = record.verdict
    if verdict.action == "allow":
        return
    one = [("action", verdict.action), ("model_version", verdict.model_version)]
    reasons = [("reason", reason) for reason in set(verdict.reasons)]
    for dimension, value in (*one, *reasons, *slices_of(record).items()):
        counts = enforced.setdefault(dimension, Counter())
        counts[value if value in counts or len(counts) < MOST_VALUES else OTHER] += 1


def _row(record: DecisionRecord) -> Row:
    context: Mapping[str, Any] = record.event.get("context") or {}
    numbers = {
        name: float(value)
        for name, value in context.items()
        if isinstance(value, (int, float)) and not isinstance(value, bool)
    }
    stages = record.verdict.stages
    return numbers, {stage.name: stage.score for stage in stages if stage.score is not None}
