"""Labels that people (or, in a demo, an oracle that says so) gave to events."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, get_args

from data_contracts.errors import ContractViolation
from data_contracts.events import Event

LabelName = Literal["spam", "ham"]
LABEL_NAMES: tuple[LabelName, ...] = get_args(LabelName)


@dataclass(frozen=True)
class Label:
    """One label as it stands in `labels/day=`.

    `batch` names the labels that came together (by default one reviewer's of one day): what is
    judged, quarantined and removed as one.
    `inclusion_probability` is the chance, in (0, 1], that the audit arm drew this event, and
    None for arms that chose it: only audit labels may weigh into unbiased estimates.
    """

    event_id: str
    label: LabelName
    source: str
    reviewer: str
    strategy: str
    inclusion_probability: float | None
    observed_at: datetime
    batch: str


@dataclass(frozen=True)
class LabelledEvent:
    """An event with its label: what training and gates read. `group` keeps related rows together.

    Rows of one group (for example one author or one video) never stand on both sides of a split.
    `inclusion_probability` is the chance that the row was drawn for labelling: 1 for a whole
    dataset, None where a sampler chose it for a reason.
    """

    event: Event
    label: LabelName
    dataset: str
    group: str | None = None
    inclusion_probability: float | None = 1.0

    @property
    def is_spam(self) -> bool:
        return self.label == "spam"


def parse_label(value: object, *, where: str = "") -> LabelName:
    """`spam` or `ham`; ContractViolation for anything else."""
    if value == "spam":
        return "spam"
    if value == "ham":
        return "ham"
    raise ContractViolation("label", value, "is not a label", "write spam or ham", where=where)
