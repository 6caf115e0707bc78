"""What goes into the label queue and what comes out of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from data_contracts.labels import LabelName
from pipelines.labelling.queue_tables import BatchState
from pipelines.labelling.samplers.base import Draw


@dataclass(frozen=True)
class NewTask:
    """An event to be reviewed: how it was drawn, and what which model thought of it then.

    `answers_wanted` reviewers answer it, each on their own. `gold` is the known answer of a
    question that tests its reviewer; it never becomes a label. A `sensitive` task is shown
    blurred and counts against its reviewer's exposure.
    """

    draw: Draw
    day: str
    score: float | None = None
    model_version: str | None = None
    reasons: tuple[str, ...] = ()
    answers_wanted: int = 1
    gold: LabelName | None = None
    sensitive: bool = False

    def __post_init__(self) -> None:
        if self.answers_wanted < 1:
            raise ValueError(f"answers_wanted {self.answers_wanted} must be at least 1")


@dataclass(frozen=True)
class Task:
    """A task as its reviewer holds it, until `lease_expires_at`: nothing tells a gold one."""

    id: int
    event_id: str
    day: str
    strategy: str
    score: float | None
    model_version: str | None
    reasons: tuple[str, ...]
    sensitive: bool
    lease_expires_at: datetime


@dataclass(frozen=True)
class Answer:
    """What one reviewer said about one task, and all that led to it: a label's provenance.

    Answers of quarantined and removed batches are among them, and answers to gold questions,
    which carry the known answer in `gold`.
    """

    task_id: int
    event_id: str
    day: str
    reviewer: str
    label: LabelName
    batch: str
    source: str
    gold: LabelName | None
    score: float | None
    strategy: str
    inclusion_probability: float | None
    leased_at: datetime
    answered_at: datetime


@dataclass(frozen=True)
class Batch:
    """Answers that came together, and who last judged them, when and why."""

    batch: str
    state: BatchState
    reason: str
    by: str
    at: datetime
    answers: int


@dataclass(frozen=True)
class KnownAnswer:
    """An event whose label two reviewers gave alike or an adjudicator settled."""

    event_id: str
    label: LabelName
    score: float | None
    reasons: tuple[str, ...]
    sensitive: bool
