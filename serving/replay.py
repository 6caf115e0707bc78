"""The verb `replay`: decide recorded events again, and compare the verdicts byte for byte.

A verdict is computed from the event in the record and the budget decisions beside it, never from
the stored score. Its bytes are `orjson.dumps(verdict)`. Timings are not compared.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from typing import Any, NamedTuple, cast

import orjson

from data_contracts.config import Settings
from data_contracts.errors import ContractViolation, NothingToDo
from data_contracts.events import Event, parse_event
from data_contracts.protocols import Assessor
from data_contracts.verdicts import (
    Assessment,
    Budget,
    DecisionRecord,
    Verdict,
    fitted_thresholds,
)
from serving.decision_records import (
    StoredRecord,
    UnreadableLine,
    artefact_of,
    event_sha256,
    lines_of,
    record_files,
)
from serving.enrichment import missing_past
from serving.stage_bounds import VersionedAssessor, WithholdingAssessor

BATCH_RECORDS = 256
PROGRESS_SECONDS = 5.0
SHOWN = 20  # differences in the result; all are counted


class Versions(NamedTuple):
    """What a model is known by: its artefact's own id, its number, the id of its thresholds."""

    artefact: str | None
    model: str
    thresholds: str

    def decided(self, record: DecisionRecord) -> bool:
        """Whether this model made the verdict. Records of format 1 name only the number."""
        then = record.verdict
        if fitted_thresholds(then.threshold_version) != self.thresholds:
            return False
        if record.artefact is not None:
            return record.artefact == self.artefact
        return then.model_version in (self.model, self.artefact)


class Difference(NamedTuple):
    """A verdict that came out another one, and the fields that differ."""

    event_id: str
    revision: int
    where: str
    fields: Mapping[str, str]


@dataclass
class Tally:
    """What a replay found; `different` are the first SHOWN of `differing`."""

    replayed: int = 0
    equal: int = 0
    skipped_other_version: int = 0
    unreadable: int = 0
    different: list[Difference] = field(default_factory=list)

    @property
    def differing(self) -> int:
        return self.replayed - self.equal

    def as_result(self) -> dict[str, Any]:
        return {
            "replayed": self.replayed,
            "equal": self.equal,
            "differing": self.differing,
            "different": [one._asdict() for one in self.different],
            "skipped_other_version": self.skipped_other_version,
            "unreadable": self.unreadable,
        }


def run(arguments: argparse.Namespace, settings: Settings) -> dict[str, Any]:
    """Replay `--records` with `--model`. A difference is data; NothingToDo without any record."""
    from serving.artefact import load_cascade

    files = record_files(arguments.records)
    cascade = load_cascade(arguments.model, settings)
    assessor = WithholdingAssessor(cast(VersionedAssessor, cascade.assessor))
    versions = Versions(
        artefact_of(cascade.assessor), cascade.model_version, cascade.threshold_version
    )
    began = time.perf_counter()
    lines = chain.from_iterable(lines_of(path) for path in files)
    tally = replay_all(lines, assessor, versions, _progress())
    if not (tally.replayed or tally.skipped_other_version or tally.unreadable):
        raise NothingToDo("no decision records in " + ", ".join(map(str, arguments.records)))
    _say_result(tally, versions)
    seconds = round(time.perf_counter() - began, 3)
    return {**tally.as_result(), "seconds": seconds, "model": versions._asdict()}


def replay_all(
    lines: Iterable[StoredRecord | UnreadableLine],
    assessor: Assessor,
    versions: Versions,
    progress: Callable[[Tally], None] = lambda _tally: None,
) -> Tally:
    """Replay those records that `versions` decided, in batches."""
    tally = Tally()
    decided = _decided_by(versions, lines, tally)
    while batch := list(islice(decided, BATCH_RECORDS)):
        stored, events = zip(*batch, strict=True)
        again = _decide_again([one.record for one in stored], events, assessor)
        for before, verdict in zip(stored, again, strict=True):
            _compare(before, verdict, tally)
        progress(tally)
    return tally


def replay(records: Sequence[DecisionRecord], assessor: Assessor) -> list[Verdict]:
    """The verdicts anew, in order, from events and budget decisions alone.

    The account in a record is the keyed hash, which is also all that the assessor saw at the
    time. Versions, arm and revision are those of the record: they are given, not computed.
    """
    return _decide_again(records, [parse_event(one.event) for one in records], assessor)


def _decide_again(
    records: Sequence[DecisionRecord], events: Sequence[Event], assessor: Assessor
) -> list[Verdict]:
    """Events under the same budget go to the assessor together."""
    by_budget: dict[Budget, list[int]] = defaultdict(list)
    for at, record in enumerate(records):
        by_budget[record.budget].append(at)
    found: dict[int, Verdict] = {}
    for budget, places in by_budget.items():
        assessments = _assessed([events[at] for at in places], budget, assessor)
        for at, assessment in zip(places, assessments, strict=True):
            found[at] = _verdict(records[at], events[at], assessment)
    return [found[at] for at in range(len(records))]


def _assessed(events: Sequence[Event], budget: Budget, assessor: Assessor) -> Sequence[Assessment]:
    assess: Callable[..., Sequence[Assessment]] = assessor.assess
    return assess(events, **budget.as_arguments())


def _verdict(record: DecisionRecord, event: Event, assessment: Assessment) -> Verdict:
    then = record.verdict
    verdict = Verdict.of(
        event.event_id,
        assessment,
        model_version=then.model_version,
        threshold_version=then.threshold_version,
        arm=then.arm,
    )
    reasons = (*verdict.reasons, *missing_past(record.budget))
    return replace(verdict, reasons=reasons, revision=then.revision)


def _decided_by(
    versions: Versions, lines: Iterable[StoredRecord | UnreadableLine], tally: Tally
) -> Iterator[tuple[StoredRecord, Event]]:
    for line in lines:
        if isinstance(line, UnreadableLine):
            tally.unreadable += 1
        elif not versions.decided(line.record):
            tally.skipped_other_version += 1
        else:
            try:
                yield line, parse_event(line.record.event)
            except ContractViolation:
                tally.unreadable += 1


def _compare(stored: StoredRecord, again: Verdict, tally: Tally) -> None:
    tally.replayed += 1
    is_altered = stored.record.event_sha256 not in (None, event_sha256(stored.record))
    if orjson.dumps(again) == stored.verdict and not is_altered:
        tally.equal += 1
        return
    if len(tally.different) < SHOWN:
        tally.different.append(_difference(stored, again, is_altered))


def _difference(stored: StoredRecord, again: Verdict, is_altered: bool) -> Difference:
    then = stored.record.verdict
    before, now = _by_field(then), _by_field(again)
    said = {
        name: f"stored {_shown(before.get(name))}, now {_shown(now.get(name))}"
        for name in {**before, **now}
        if before.get(name) != now.get(name)
    }
    if is_altered:
        said["event"] = "its sha256 is not the recorded one: the record was altered"
    if not said:
        said["verdict"] = "the same values in other bytes"
    return Difference(then.event_id, then.revision, stored.where, said)


def _by_field(verdict: Verdict) -> dict[str, object]:
    """Every field by name, those of stages as `stages.ocr.score`."""
    record = verdict.as_record()
    stages = record.pop("stages")
    parts = {
        f"stages.{stage['name']}.{name}": value
        for stage in stages
        for name, value in stage.items()
        if name != "name"
    }
    return {**record, **parts, "stages": [stage["name"] for stage in stages]}


def _shown(value: object) -> str:
    return orjson.dumps(value).decode()


def _progress(clock: Callable[[], float] = time.monotonic) -> Callable[[Tally], None]:
    """A line to people every PROGRESS_SECONDS."""
    began = clock()
    reported = began

    def say(tally: Tally) -> None:
        nonlocal reported
        if clock() - reported > PROGRESS_SECONDS:
            reported = clock()
            rate = tally.replayed / (reported - began)
            _say(f"replayed {tally.replayed:,} verdicts ({rate:,.0f}/s), {tally.differing} differ")

    return say


def _say_result(tally: Tally, versions: Versions) -> None:
    for one in tally.different:
        _say(f"{one.event_id} revision {one.revision} ({one.where}) differs")
        for name, said in one.fields.items():
            _say(f"  {name}: {said}")
    if tally.differing > len(tally.different):
        _say(f"{tally.differing - len(tally.different)} more differ")
    if tally.skipped_other_version:
        _say(f"{tally.skipped_other_version:,} records are of another version than "
             f"{versions.artefact or versions.model} with {versions.thresholds}")  # fmt: skip
    if tally.unreadable:
        _say(f"{tally.unreadable:,} lines are no readable records")
    _say(f"{tally.equal:,} of {tally.replayed:,} verdicts are equal to the byte")


def _say(message: str) -> None:
    print(f"replay: {message}", file=sys.stderr, flush=True)
