"""The golden suite: single cases that every release has to answer, with where each comes from.

`{lake}/suites/golden/{kind}.jsonl`, a case a line, versioned by DVC with the lake. Cases grow from
overturned appeals and incidents. Training leaves out whatever resembles one of them.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import orjson
from numpy.typing import NDArray

from data_contracts.errors import BadInput, ContractViolation, MissingPart
from data_contracts.events import Event, decode_line, parse_event
from data_contracts.files import write_atomically
from data_contracts.labels import LABEL_NAMES, LabelledEvent, LabelName, parse_label
from pipelines import lake
from pipelines.near_duplicates import group_near_duplicates

SUITES = "suites"
FOLDER = Path(SUITES) / "golden"
GoldenKind = Literal["must_catch", "must_not_block", "ordinary"]
CaseSource = Literal["appeal", "incident", "dataset", "hand"]
KINDS: tuple[GoldenKind, ...] = get_args(GoldenKind)
SOURCES: tuple[CaseSource, ...] = get_args(CaseSource)
LABEL_OF: Mapping[GoldenKind, LabelName] = {"must_catch": "spam", "must_not_block": "ham"}
LONGEST_CHARACTERS = 250


@dataclass(frozen=True)
class Provenance:
    """Where a case comes from: `reference` is that of the appeal, the incident or the data set."""

    source: CaseSource
    reference: str
    added_by: str
    added_at: datetime
    reason: str

    def __post_init__(self) -> None:
        if self.source not in SOURCES:
            raise BadInput(f"source {self.source!r} is none of {', '.join(SOURCES)}; give one")
        for name in ("reference", "added_by", "reason"):
            value = str(getattr(self, name)).strip()
            if not 0 < len(value) <= LONGEST_CHARACTERS:
                raise BadInput(
                    f"{name} has {len(value)} characters; a case needs one of 1 to "
                    f"{LONGEST_CHARACTERS}, so that a reviewer can see where it comes from"
                )


@dataclass(frozen=True)
class GoldenCase:
    """One question with its right answer. `family`: the campaign that it belongs to, if known."""

    event: Event
    label: LabelName
    kind: GoldenKind
    provenance: Provenance
    family: str | None = None

    @property
    def key(self) -> str:
        """16 hexadecimal digits of the content, whatever the event's id: a case is asked once."""
        event = self.event
        media = sorted(one.sha256 for one in event.media)
        content: dict[str, Any] = {"text": event.text, "language": event.language, "media": media}
        content["context"] = event.context
        encoded = orjson.dumps(content, option=orjson.OPT_SORT_KEYS)
        return hashlib.sha256(encoded).hexdigest()[:16]

    @property
    def is_spam(self) -> bool:
        return self.label == "spam"


def read_cases(folder: Path) -> list[GoldenCase]:
    """Every case of the lake `folder`, by kind and key; without a `family`, that of its group.

    Near-duplicates of a case that names its family belong to it; a group of several that names
    none is a family of its own, `group-…`. BadInput that names file and line for a broken store.
    """
    return _with_families([case for kind in KINDS for case in _read(folder, kind)])


def add_cases(folder: Path, cases: Sequence[GoldenCase]) -> list[GoldenCase]:
    """Add the cases that the lake `folder` does not have yet; these. Atomic by kind, idempotent.

    BadInput, and nothing is written, where a case has another right answer already.
    """
    with lake.only_writer(folder):
        known = {case.key: case for kind in KINDS for case in _read(folder, kind)}
        fresh: dict[str, GoldenCase] = {}
        for case in cases:
            before = known.get(case.key) or fresh.get(case.key)
            if before is not None and (before.kind, before.label) != (case.kind, case.label):
                raise BadInput(
                    f"event_id = {case.event.event_id!r}: this content is {before.kind} "
                    f"({before.label}) since {before.provenance.added_at:%Y-%m-%d} by "
                    f"{before.provenance.added_by}, and cannot be {case.kind} ({case.label}) too; "
                    f"settle which, and remove the other line from {folder / FOLDER}"
                )
            if before is None:
                fresh[case.key] = case
        for kind in sorted({case.kind for case in fresh.values()}):
            whole = [one for one in (*known.values(), *fresh.values()) if one.kind == kind]
            _write(folder, kind, whole)
    return list(fresh.values())


def read_given(path: Path, kind: GoldenKind, provenance: Provenance) -> list[GoldenCase]:
    """The cases of a JSONL file: a line an event, with `family` where it is known.

    An `ordinary` case needs its `label`; the other kinds say it. An account's name is not kept.
    ContractViolation names line, field, value and remedy.
    """
    if not path.is_file():
        raise MissingPart(f"--cases {path}: no such file; give one event a line")
    with path.open("rb") as lines:
        return [
            _given(line, kind, provenance, f"{path} line {number}")
            for number, line in enumerate(lines, 1)
            if line.strip()
        ]


def resembling_cases(
    rows: Sequence[LabelledEvent], cases: Sequence[GoldenCase]
) -> NDArray[np.bool_]:
    """bool[n]: the rows that are near-duplicates of a case, in words or in the bytes of a medium.

    A row that resembles another row that resembles a case is one too.
    """
    if not cases or not rows:
        return np.zeros(len(rows), dtype=bool)
    known = {media.sha256 for case in cases for media in case.event.media}
    by_media = [any(media.sha256 in known for media in row.event.media) for row in rows]
    worded = [case.event.text for case in cases if case.event.text.strip()]
    groups = group_near_duplicates([*(row.event.text for row in rows), *worded])
    by_text = np.isin(groups[: len(rows)], groups[len(rows) :])
    return np.asarray(by_text | np.array(by_media, dtype=bool))


def _given(line: bytes, kind: GoldenKind, provenance: Provenance, where: str) -> GoldenCase:
    raw = decode_line(line, where=where)
    label, family = raw.get("label", LABEL_OF.get(kind)), raw.get("family")
    if label is None:
        raise ContractViolation(
            "label", None, "is missing", f"an ordinary case needs {' or '.join(LABEL_NAMES)}",
            where=where,
        )  # fmt: skip
    if label != LABEL_OF.get(kind, label):
        raise ContractViolation(
            "label", label, f"contradicts --kind {kind}",
            f"a {kind} case is {LABEL_OF[kind]}: correct the line, or give another kind",
            where=where,
        )  # fmt: skip
    if family is not None and not (isinstance(family, str) and 0 < len(family.strip()) <= 64):
        raise ContractViolation(
            "family", family, "is not a name", "give 1 to 64 characters, or leave it out",
            where=where,
        )  # fmt: skip
    event = parse_event(raw, where=where, ignore=("label", "family"))
    event = event.model_copy(update={"account": None})
    name = family.strip() if family else None
    return GoldenCase(event, parse_label(label, where=where), kind, provenance, name)


def _read(folder: Path, kind: GoldenKind) -> list[GoldenCase]:
    path = folder / FOLDER / f"{kind}.jsonl"
    if not path.is_file():
        return []
    lines = enumerate(path.read_bytes().splitlines(), 1)
    return [_case(line, kind, f"{path} line {number}") for number, line in lines]


def _case(line: bytes, kind: GoldenKind, where: str) -> GoldenCase:
    try:
        record = orjson.loads(line)
        given = record["provenance"]
        at = datetime.fromisoformat(given["added_at"]).astimezone(UTC)
        return GoldenCase(
            parse_event(record["event"], where=where),
            parse_label(record["label"], where=where),
            kind,
            Provenance(**{**given, "added_at": at}),
            record["family"],
        )
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError) as error:
        raise BadInput(
            f"{where} is no golden case ({error!r}); bring the file back with `dvc checkout` in "
            "the lake, or remove the line"
        ) from None


def _write(folder: Path, kind: GoldenKind, cases: Iterable[GoldenCase]) -> None:
    ordered = sorted(cases, key=lambda case: case.key)
    content = b"".join(orjson.dumps(_record(case)) + b"\n" for case in ordered)
    write_atomically(folder / FOLDER / f"{kind}.jsonl", content)


def _record(case: GoldenCase) -> dict[str, Any]:
    return {
        "key": case.key,
        "event": case.event.model_dump(mode="json", exclude_defaults=True),
        "label": case.label,
        "family": case.family,
        "provenance": asdict(case.provenance),
    }


def _with_families(cases: Sequence[GoldenCase]) -> list[GoldenCase]:
    groups = group_near_duplicates([case.event.text for case in cases]).tolist()
    sizes = Counter(groups)
    named: dict[int, str] = {}
    for group, case in zip(groups, cases, strict=True):
        if case.family is not None:
            named.setdefault(group, case.family)
    for group, case in sorted(zip(groups, cases, strict=True), key=lambda pair: pair[1].key):
        if sizes[group] > 1:
            named.setdefault(group, f"group-{case.key[:8]}")
    return [
        case
        if case.family or not case.event.text.strip()
        else replace(case, family=named.get(group))
        for group, case in zip(groups, cases, strict=True)
    ]
