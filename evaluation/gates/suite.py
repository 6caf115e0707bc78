"""What a gate asks about: labelled cases that no model was trained on.

A case is *ordinary* when it was drawn by chance (the audit arm, a dataset), and *chosen* when a
sampler picked it for being difficult. Floors hold for ordinary cases, which stand for the
traffic; chosen ones are shown beside them. People add single cases that every release has to
answer: *must_catch* and *must_not_block*.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import orjson
import pyarrow.compute as pc

from data_contracts.config import Settings
from data_contracts.events import Event
from data_contracts.labels import LabelledEvent
from evaluation.metrics import Booleans, Integers
from pipelines import lake
from pipelines.golden_cases import read_cases
from pipelines.holdout import held_out, judged
from pipelines.near_duplicates import Components, group_near_duplicates, group_related
from training.labelled_rows import read_datasets

UNKNOWN_LANGUAGE = "und"  # BCP 47: undetermined
AUDIT = "audit"
CaseKind = Literal["ordinary", "chosen", "must_catch", "must_not_block"]


@dataclass(frozen=True)
class Case:
    """One question with its right answer.

    `attributes` are what else it can be sliced by (`family`, `identity`, `dialect`, …); a case
    without an attribute stands in none of its slices.
    """

    event: Event
    is_spam: bool
    dataset: str
    kind: CaseKind = "ordinary"
    attributes: Mapping[str, str] = field(default_factory=dict)

    @property
    def language(self) -> str:
        """The primary subtag, so that en-GB is counted with en."""
        return (self.event.language or UNKNOWN_LANGUAGE).split("-")[0].lower()

    @property
    def modality(self) -> str:
        """`text`, or the kinds of its media: `image`, `video`, `image+video`."""
        return "+".join(sorted({media.kind for media in self.event.media})) or "text"

    def value(self, by: str) -> str | None:
        """What the case is sliced by: a property of its own or an attribute, None without one."""
        if by in ("language", "modality", "dataset", "kind"):
            return str(getattr(self, by))
        return self.attributes.get(by)


@dataclass(frozen=True)
class Suite:
    """Cases with the near-duplicate group of each: `groups: int64[n]`.

    `left_out` counts cases that resembled training rows and were dropped.
    """

    cases: tuple[Case, ...]
    groups: Integers
    left_out: int = 0

    @property
    def labels(self) -> Booleans:
        return np.array([case.is_spam for case in self.cases], dtype=bool)

    @property
    def events(self) -> list[Event]:
        return [case.event for case in self.cases]

    @property
    def datasets(self) -> tuple[str, ...]:
        return tuple(sorted({case.dataset for case in self.cases}))

    @property
    def version(self) -> str:
        """A digest of every case: two reports with one version judged the same questions."""
        return hashlib.sha256(b"\1".join(sorted(map(_question, self.cases)))).hexdigest()[:16]

    def where(self, chosen: Booleans) -> Suite:
        """The cases at which `chosen: bool[n]` is true."""
        kept = tuple(case for case, keep in zip(self.cases, chosen, strict=True) if keep)
        return Suite(kept, self.groups[chosen], self.left_out)

    def slices(self, by: str) -> Mapping[str, Booleans]:
        """`by=value` and bool[n] for every value that a case has."""
        values = [case.value(by) for case in self.cases]
        return {
            f"{by}={value}": np.array([other == value for other in values], dtype=bool)
            for value in sorted({value for value in values if value is not None})
        }

    def with_cases(self, cases: Sequence[Case]) -> Suite:
        """These cases too, in the groups of those that they are near-duplicates of."""
        if not cases:
            return self
        every = (*self.cases, *cases)
        components = Components(len(every))
        components.join_equal([*self.groups.tolist(), *[None] * len(cases)])
        components.join_equal(group_near_duplicates([case.event.text for case in every]).tolist())
        return Suite(every, components.numbers(), self.left_out)

    @property
    def ordinary(self) -> Suite:
        return self.where(np.array([case.kind == "ordinary" for case in self.cases], dtype=bool))


def suite_of(
    rows: Sequence[LabelledEvent], chosen: frozenset[str] = frozenset(), left_out: int = 0
) -> Suite:
    """A suite of these rows; `chosen` holds the event ids that no chance drew."""
    cases = tuple(
        Case(
            row.event,
            row.is_spam,
            row.dataset,
            "chosen" if row.event.event_id in chosen else "ordinary",
        )
        for row in rows
    )
    return Suite(cases, group_related(rows), left_out)


def golden_cases(folder: Path) -> list[Case]:
    """The cases of the golden suite of the lake `folder`, with their provenance as attributes.

    `dataset` is where a case comes from: `golden/appeal`, or the data set's own name.
    """
    return [
        Case(
            one.event,
            one.is_spam,
            one.provenance.reference
            if one.provenance.source == "dataset"
            else f"golden/{one.provenance.source}",
            one.kind,
            {"source": one.provenance.source} | ({"family": one.family} if one.family else {}),
        )
        for one in read_cases(folder)
    ]


def lake_suite(folder: Path) -> Suite:
    """Every labelled event of the lake that training leaves out; empty where there is none."""
    rows = lake.labelled_events(folder)
    keep = judged(rows)
    kept = [row for row, wanted in zip(rows, keep, strict=True) if wanted]
    labels = lake.read(folder, "labels")
    drawn = set(labels.filter(pc.equal(labels["strategy"], AUDIT))["event_id"].to_pylist())
    chosen = frozenset(row.event.event_id for row in kept) - drawn
    return suite_of(kept, chosen, left_out=int(held_out(rows).sum()) - len(kept))


def dataset_suite(names: Sequence[str], settings: Settings) -> Suite:
    """The rows of catalogue sets or `.jsonl` files (a line an event with `label`)."""
    return suite_of(read_datasets(names, settings))


def _question(case: Case) -> bytes:
    event = case.event
    asked = [event.event_id, event.text, event.language, event.context, event.account]
    media = [medium.sha256 for medium in event.media]
    answer = [case.is_spam, case.dataset, case.kind, dict(case.attributes)]
    return orjson.dumps([asked, media, answer], option=orjson.OPT_SORT_KEYS)
