"""What goes into the appeals store and what comes out of it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

import orjson

from data_contracts.errors import BadInput
from data_contracts.verdicts import Action
from pipelines.labelling.appeal_tables import AppealState, Origin

ID_CHARACTERS = 32
Refusal = Literal["unknown", "state", "too_late", "too_many", "held"]


class AppealRefused(BadInput):
    """An appeal, or a step of it, that cannot be; `refusal` says of which kind.

    `retry_after` is set where the same call may succeed later.
    """

    def __init__(self, refusal: Refusal, message: str, retry_after: timedelta | None = None):
        self.refusal = refusal
        self.retry_after = retry_after
        super().__init__(message)


@dataclass(frozen=True)
class Contested:
    """The verdict that an appeal is about, and the account (keyed hash) that it acted on.

    `language` is the primary subtag or `und`; `modality` is `text` or the kinds of its media.
    """

    event_id: str
    revision: int
    account: str
    action: Action
    score: float
    reasons: tuple[str, ...]
    language: str
    modality: str
    model_version: str
    threshold_version: str
    decided_at: datetime

    @property
    def appeal_id(self) -> str:
        """The same verdict and account have one appeal, whoever asks and however often."""
        identity = orjson.dumps([self.event_id, self.revision, self.account])
        return hashlib.sha256(identity).hexdigest()[:ID_CHARACTERS]


@dataclass(frozen=True)
class Appeal:
    """One appeal as it stands. `why` is the decision's reason, for the account to read."""

    id: str
    contested: Contested
    statement: str
    origin: Origin
    state: AppealState
    submitted_at: datetime
    due_at: datetime
    reviewer: str | None
    lease_expires_at: datetime | None
    closed_at: datetime | None
    why: str
    day: str | None

    def is_overdue(self, now: datetime) -> bool:
        """Whether it waits for longer than reviewers should take."""
        return self.state in ("submitted", "under_review") and now > self.due_at


@dataclass(frozen=True)
class AppealLimits:
    """`window`: how long after a decision it may be appealed; `review`: until it should be decided;
    `lease`: how long a reviewer holds it; `per_account_per_day` counts the last 24 hours.
    """

    window: timedelta
    review: timedelta
    lease: timedelta
    per_account_per_day: int
