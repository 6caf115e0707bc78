"""The rows of one training: from catalogue sets, JSONL files, or the days of the lake."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from data_contracts.config import Settings
from data_contracts.errors import BadInput, ContractViolation, MissingPart
from data_contracts.events import decode_line, parse_event
from data_contracts.labels import LABEL_NAMES, LabelledEvent, parse_label
from pipelines import catalogue, lake
from pipelines.golden_cases import read_cases, resembling_cases
from pipelines.holdout import is_held_out
from training.leakage import is_named_like_label, refuse_label_leaks

FEWEST_ROWS = 40
FEWEST_A_LABEL = 10
SUFFIX = ".jsonl"


def read_datasets(sources: Sequence[str], settings: Settings) -> list[LabelledEvent]:
    """All rows of NAMEs of the catalogue and FILE.jsonl files, in the order given."""
    rows: list[LabelledEvent] = []
    for source in sources:
        found = (
            read_file(Path(source))
            if source.endswith(SUFFIX)
            else catalogue.read_labelled(source, settings.data, settings.cache)
        )
        refuse_label_leaks(found, source)
        rows += found
    return rows


def read_lake(days: Sequence[str], settings: Settings) -> list[LabelledEvent]:
    """All events of these days that people labelled, without those that the gates judge on."""
    labelled = lake.labelled_events(settings.lake, days)
    rows = [row for row in labelled if not is_held_out(row.event.text)]
    refuse_label_leaks(rows, f"lake {days[0]} to {days[-1]}")
    return rows


class Kept(NamedTuple):
    """The rows that training may see, and how many it may not: they resemble golden cases."""

    rows: list[LabelledEvent]
    left_out: int


def apart_from_cases(rows: Sequence[LabelledEvent], folder: Path) -> Kept:
    """Without the rows that are near-duplicates of a golden case of the lake `folder`."""
    resembles = resembling_cases(rows, read_cases(folder))
    kept = [row for row, out in zip(rows, resembles.tolist(), strict=True) if not out]
    return Kept(kept, int(resembles.sum()))


def read_file(path: Path) -> list[LabelledEvent]:
    """A line an event with `label`: spam or ham. Errors name file, line, field and value."""
    if not path.is_file():
        raise MissingPart(f"{path}: no such file; give a JSONL file or a name of the catalogue")
    rows = []
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if line.strip():
                rows.append(_row(line, path.stem, f"{path} line {number}"))
    return rows


def check_rows(rows: Sequence[LabelledEvent], where: str) -> None:
    """BadInput where there are too few rows, or too few of a label, to train and judge with."""
    counts = Counter(row.label for row in rows)
    told = ", ".join(f"{counts[name]} {name}" for name in LABEL_NAMES)
    if len(rows) < FEWEST_ROWS:
        raise BadInput(f"{where}: {told}; training needs at least {FEWEST_ROWS} labelled events")
    for name in LABEL_NAMES:
        if counts[name] == 0:
            raise BadInput(f"{where}: only one class ({told}); add events labelled {name}")
        if counts[name] < FEWEST_A_LABEL:
            raise BadInput(f"{where}: {told}; add {name}, training needs {FEWEST_A_LABEL} of each")


def check_groups(rows: Sequence[LabelledEvent], groups: NDArray[np.int64], folds: int) -> None:
    """BadInput where a label has fewer unrelated groups of rows than there are folds."""
    for name in LABEL_NAMES:
        found = {int(group) for row, group in zip(rows, groups, strict=True) if row.label == name}
        if len(found) < folds:
            raise BadInput(
                f"the {name} rows are {len(found)} groups of near-duplicates, fewer than "
                f"training.folds = {folds}; add {name} that differs more, or lower training.folds"
            )


def _row(line: bytes, dataset: str, where: str) -> LabelledEvent:
    raw = decode_line(line, where=where)
    if "label" not in raw:
        raise ContractViolation(
            "label", None, "is missing", "write label: spam or ham on every line", where=where
        )
    for field in sorted(set(raw) - {"label"}):
        if is_named_like_label(field):
            raise ContractViolation(
                field, raw[field], "is a label column among the features",
                "keep the label in `label` alone", where=where,
            )  # fmt: skip
    label = parse_label(raw["label"], where=where)
    return LabelledEvent(parse_event(raw, where=where, ignore=("label",)), label, dataset)
