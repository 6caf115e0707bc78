"""What the status page knows: values that its sources were read as, with when and whether."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Generic, TypeVar

from data_contracts.alerts import Alert
from pipelines.audit_trail import Entry
from pipelines.switches import Hold
from serving.incidents.decisions import Action
from serving.incidents.triage import Incident
from serving.rollout.phases import Rollout
from serving.status_page.hourly_report import Hour

T = TypeVar("T")


@dataclass(frozen=True)
class Reading(Generic[T]):
    """A source as it was last read. `problem`: why the newest try failed, empty where it did not;
    `value` is then what was read before, at `at`, if ever.
    """

    value: T | None = None
    at: datetime | None = None
    problem: str = ""

    def trouble(self, now: datetime, stale_seconds: float) -> str:
        """Why nothing may be concluded from it; empty where it was read, and lately."""
        if self.problem:
            return f"cannot be read: {self.problem}"
        if self.at is None:
            return "was not read yet"
        age = (now - self.at).total_seconds()
        return f"was last read {age:.0f} s ago" if age > stale_seconds else ""


@dataclass(frozen=True)
class Champion:
    """The stable model in traffic."""

    version: str
    model_uri: str
    since: datetime


@dataclass(frozen=True)
class Appeals:
    """How many wait, how many of them beyond their day, and when the first is due."""

    waiting: int
    overdue: int
    first_due: datetime | None


@dataclass(frozen=True)
class Waiting:
    """Alerts that incident response has not taken: all of them, and the oldest few."""

    count: int
    oldest: tuple[tuple[datetime, Alert], ...] = ()


@dataclass(frozen=True)
class State:
    """The state database at one moment.

    `incidents` are those that are not over, `over` the newest that are; `actions` are of the
    former, and those that hold a switch. `changes` are the newest rows of the audit trail but
    those of single appeals.
    `heeded` is how many servers asked for each switch lately;
    `missing` are the parts that never ran on this database.
    """

    champion: Champion | None = None
    rollout: Rollout | None = None
    controller_leads: bool = False
    responder_leads: bool = False
    holds: tuple[Hold, ...] = ()
    heeded: Mapping[str, int] = field(default_factory=dict)
    incidents: tuple[Incident, ...] = ()
    over: tuple[Incident, ...] = ()
    actions: tuple[Action, ...] = ()
    waiting: Waiting = Waiting(0)
    appeals: Appeals = Appeals(0, 0, None)
    changes: tuple[Entry, ...] = ()
    missing: tuple[str, ...] = ()


@dataclass(frozen=True)
class Answering:
    """What a server's newest decision record says: who answers, by which thresholds, when."""

    arm: str
    model_version: str
    threshold_version: str
    at: datetime


@dataclass(frozen=True)
class Day:
    """Rows of one day that ingestion put aside."""

    day: str
    rows: int


@dataclass(frozen=True)
class Files:
    """What lies in the home: the newest answers, the lake, and the pages that there are.

    Ages are times of the newest news; `pages` are paths below `/reports/` by kind, newest first;
    `drafted` are the incidents that have a post-mortem.
    """

    answering: tuple[Answering, ...] = ()
    newest_day: str | None = None
    lake_written: datetime | None = None
    newest_label: datetime | None = None
    newest_feature: datetime | None = None
    quarantined: tuple[Day, ...] = ()
    pages: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    drafted: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Challenger:
    """The version that passed its gates, and what its approval tag says."""

    version: str
    approval: str | None


@dataclass(frozen=True)
class Dags:
    """Components that Airflow calls unhealthy, and DAGs whose newest finished run failed."""

    unhealthy: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()


@dataclass(frozen=True)
class Facts:
    """Everything that the page is made of; `mlflow` and `airflow` None: not part of this site."""

    now: datetime
    state: Reading[State] = Reading()
    files: Reading[Files] = Reading()
    report: Reading[Hour | None] = Reading()
    mlflow: Reading[Challenger | None] | None = None
    airflow: Reading[Dags] | None = None
