"""A home with events, verdicts and decision records, and a desk over it: for tests of appeals and
remedies. `Platform` stands in for whoever enforces: it counts what it was told, by id.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson
from sqlalchemy import Engine

from data_contracts.errors import ServiceUnavailable
from data_contracts.events import Event
from data_contracts.verdicts import Action, Arm, Verdict
from pipelines import lake
from pipelines.accounts import hash_account
from pipelines.decisions import collect_decisions
from pipelines.labelling.appeal_records import AppealLimits
from pipelines.labelling.appeals import AppealStore
from serving.appeals.contested import Verdicts
from serving.appeals.desk import Desk
from serving.appeals.effects import Effects
from serving.appeals.pace import Pace
from serving.appeals.proof import ACCOUNT, REVIEWER, Proof, signed
from serving.appeals.reversals import Reversal, Reversals
from serving.decision_records import UnwrittenRecord

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)
DAY = "2026-01-05"
KEY = "k" * 32
ACCOUNT_KEY = "account-key"
LIMITS = AppealLimits(timedelta(days=183), timedelta(hours=72), timedelta(hours=2), 3)


@dataclass
class Clock:
    """Stands where it is put."""

    now: datetime = NOW

    def __call__(self) -> datetime:
        return self.now

    def forward(self, **by: float) -> None:
        self.now += timedelta(**by)


@dataclass
class Platform:
    """A sink that ignores an id which it knows, as the contract asks; `down` does not answer."""

    told: list[Reversal] = field(default_factory=list)
    undone: dict[str, Reversal] = field(default_factory=dict)
    down: bool = False

    def reverse(self, reversal: Reversal) -> None:
        if self.down:
            raise ServiceUnavailable("the platform does not answer")
        self.told.append(reversal)
        self.undone.setdefault(reversal.id, reversal)


def event(event_id: str, text: str, account: str | None = "ada", language: str = "en") -> Event:
    """As it stands in a record: the account is its keyed hash."""
    hashed = None if account is None else hash_account(account, ACCOUNT_KEY)
    return Event(
        event_id=event_id, text=text, account=hashed, language=language, occurred_at=NOW
    )  # fmt: skip


def verdict(
    event_id: str,
    action: Action = "block",
    version: str = "7",
    *,
    revision: int = 0,
    thresholds: str = "t-1",
    arm: Arm = "stable",
    score: float = 0.97,
    reasons: Sequence[str] = ("wording_of_spam",),
) -> Verdict:
    return Verdict(event_id, score, action, tuple(reasons), (), version, thresholds, arm, revision)


def line(of: Verdict, about: Event, at: datetime = NOW, *, mirrored: bool = False) -> bytes:
    """A decision record as a server writes it."""
    return UnwrittenRecord(of, about, at, mirrored, 1.0, "artefact").line()


@dataclass
class Home:
    """One Weir home under `folder`, on a state database."""

    folder: Path
    engine: Engine
    clock: Clock = field(default_factory=Clock)
    platform: Platform = field(default_factory=Platform)
    said: list[str] = field(default_factory=list)

    @property
    def lake(self) -> Path:
        return self.folder / "lake"

    @property
    def decisions(self) -> Path:
        return self.folder / "decisions"

    @property
    def verdicts(self) -> Verdicts:
        return Verdicts(self.decisions, self.lake, LIMITS.window)

    def record(self, lines: Sequence[bytes], name: str = "blue-1") -> None:
        self.decisions.mkdir(parents=True, exist_ok=True)
        with (self.decisions / f"{name}.jsonl").open("ab") as file:
            file.writelines(lines)

    def land(self, events: Sequence[Event], day: str = DAY) -> None:
        """Into the lake's events, as ingestion would."""
        rows = [_row(one) for one in sorted(events, key=lambda one: one.event_id)]
        lake.write(self.lake, "events", day, lake.rows("events", rows))

    def ingest(self) -> None:
        """Every record into the lake's verdicts."""
        collect_decisions(self.decisions, {}).write(self.lake, {})

    def label(self, labels: Mapping[str, str], day: str = DAY, **fields: object) -> None:
        rows = [
            {"event_id": one, "label": label, "source": "reviewer", "reviewer": "bea",
             "strategy": "audit", "inclusion_probability": 0.1, "observed_at": NOW,
             "batch": f"{day}/bea", **fields}
            for one, label in labels.items()
        ]  # fmt: skip
        lake.write(self.lake, "labels", day, lake.rows("labels", rows))

    def store(self) -> AppealStore:
        store = AppealStore(self.engine, LIMITS)
        store.prepare()
        return store

    def reversals(self) -> Reversals:
        reversals = Reversals(self.engine, self.platform, self.clock)
        reversals.prepare()
        return reversals

    def desk(self) -> Desk:
        store, reversals = self.store(), self.reversals()
        effects = Effects(
            store, self.engine, self.verdicts, reversals, self.clock, self.said.append
        )
        return Desk(
            store, self.verdicts, Proof(KEY, ACCOUNT_KEY, self.clock), effects, Pace(self.clock),
            200, self.clock, lambda: self.clock() - timedelta(days=30),
        )  # fmt: skip

    def token(self, account: str = "ada") -> str:
        return signed(KEY, account, ACCOUNT, self.clock() + timedelta(hours=1))

    def reviewer(self, name: str = "rae") -> str:
        return signed(KEY, name, REVIEWER, self.clock() + timedelta(hours=1))


def _row(one: Event) -> dict[str, object]:
    return {
        "event_id": one.event_id,
        "text": one.text,
        "occurred_at": one.occurred_at or NOW,
        "account_hash": one.account,
        "language": one.language,
        "media": orjson.dumps([medium.model_dump(mode="json") for medium in one.media]).decode(),
        "context": orjson.dumps(one.context).decode(),
        "source": "gateway",
    }
