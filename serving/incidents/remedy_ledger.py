"""What a remedy found and did, in the state database: written before it acts and after.

A remedy is named by its scope and the champion that judges, so the same command goes on where it
was stopped. Each enforced action is one row: `outcome` says what the champion thinks of it, `state`
what became of it.

| state | meaning |
|---|---|
| `listed` | nothing was done about it; a wrongful one waits for `--execute` |
| `reversed` | this remedy took it back |
| `reversed_before` | somebody else had |
| `with_a_reviewer` | a person holds its appeal; asked again with the next `--execute` |
| `decided_meanwhile` | a person decided it after it was listed |
| `no_longer_stands` | a later verdict lifted it, or took it over, after it was listed |
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime
from typing import Any, Literal

import orjson
from sqlalchemy import (
    JSON,
    Column,
    Engine,
    Float,
    ForeignKey,
    Integer,
    MetaData,
    RowMapping,
    String,
    Table,
    select,
    update,
)

from data_contracts.verdicts import ACTIONS as STRICTNESS
from data_contracts.verdicts import Verdict
from pipelines import audit_trail
from pipelines.labelling.appeal_records import Contested
from pipelines.labelling.task_moves import insert_if_new
from pipelines.state import UtcTime, create_tables, reading
from serving.incidents.enforced_actions import Scope

Outcome = Literal["wrongful", "confirmed", "milder", "decided_by_a_person"]
ActionState = Literal[
    "listed",
    "reversed",
    "reversed_before",
    "with_a_reviewer",
    "decided_meanwhile",
    "no_longer_stands",
]
OPEN: tuple[ActionState, ...] = ("listed", "with_a_reviewer")
ID_CHARACTERS = 16

METADATA = MetaData()
REMEDIES = Table(
    "remedies",
    METADATA,
    Column("id", String(ID_CHARACTERS), primary_key=True),
    Column("version", String(128), nullable=False),
    Column("threshold_version", String(128)),
    Column("start", UtcTime, nullable=False),
    Column("end", UtcTime, nullable=False),
    Column("champion", String(128), nullable=False),
    Column("champion_thresholds", String(128), nullable=False),
    Column("begun_at", UtcTime, nullable=False),
)
ACTIONS = Table(
    "remedy_actions",
    METADATA,
    Column("remedy", ForeignKey("remedies.id"), primary_key=True),
    Column("event_id", String(128), primary_key=True),
    Column("revision", Integer, primary_key=True),
    Column("contested", JSON, nullable=False),
    Column("champion_action", String(16), nullable=False),
    Column("champion_score", Float(53), nullable=False),
    Column("champion_reasons", JSON, nullable=False),
    Column("person_says", String(8)),  # spam or ham, where a person decided
    Column("event_from", String(8), nullable=False),
    Column("outcome", String(32), nullable=False),
    Column("state", String(32), nullable=False),
)


@dataclass(frozen=True)
class Judged:
    """An enforced action as the champion sees it, and what became of it."""

    event_id: str
    revision: int
    contested: Contested
    champion_action: str
    champion_score: float
    champion_reasons: tuple[str, ...]
    person_says: str | None
    event_from: str
    outcome: Outcome
    state: ActionState = "listed"


@dataclass(frozen=True)
class Champion:
    """Who judges."""

    version: str
    thresholds: str


class RemedyLedger:
    """The rows of one remedy."""

    def __init__(self, engine: Engine, scope: Scope, champion: Champion) -> None:
        self._engine = engine
        self._scope = scope
        self._champion = champion

    @property
    def id(self) -> str:
        named = [asdict(self._scope), asdict(self._champion)]
        return hashlib.sha256(orjson.dumps(named)).hexdigest()[:ID_CHARACTERS]

    @property
    def by(self) -> str:
        """As what it signs reversals, appeals and the audit trail."""
        return f"remedy {self.id}"

    def prepare(self, now: datetime) -> None:
        """Create the tables where they are missing, and the remedy's row."""
        create_tables(self._engine, METADATA)
        audit_trail.prepare(self._engine)
        row = asdict(self._scope) | {"id": self.id, "begun_at": now}
        row |= {"champion": self._champion.version}
        row |= {"champion_thresholds": self._champion.thresholds}
        with self._engine.begin() as connection:
            new = connection.execute(insert_if_new(connection, REMEDIES, ["id"]).values(row))
            if new.rowcount:
                what = f"remedy begun: {_said(self._scope)}, judged by {self._champion.version}"
                audit_trail.append(connection, self.by, what, self._subject, self.id, now)

    def known(self) -> set[tuple[str, int]]:
        """Event and revision of every action that is judged already."""
        query = select(ACTIONS.c.event_id, ACTIONS.c.revision).where(ACTIONS.c.remedy == self.id)
        with reading(self._engine) as connection:
            return {(row.event_id, row.revision) for row in connection.execute(query)}

    def add(self, judged: Sequence[Judged]) -> None:
        """Note what the champion thinks; an action that is noted already stays as it is."""
        rows = [_row(self.id, one) for one in judged]
        if rows:
            with self._engine.begin() as connection:
                noted = insert_if_new(connection, ACTIONS, ["remedy", "event_id", "revision"])
                connection.execute(noted, rows)

    def actions(self) -> list[Judged]:
        """Everything that was judged, in order of event."""
        query = select(ACTIONS).where(ACTIONS.c.remedy == self.id)
        query = query.order_by(ACTIONS.c.event_id, ACTIONS.c.revision)
        with reading(self._engine) as connection:
            return [_judged(row) for row in connection.execute(query).mappings()]

    def settle(self, judged: Judged, state: ActionState) -> Judged:
        """Note what became of it."""
        with self._engine.begin() as connection:
            connection.execute(
                update(ACTIONS)
                .where(ACTIONS.c.remedy == self.id, ACTIONS.c.event_id == judged.event_id)
                .where(ACTIONS.c.revision == judged.revision)
                .values(state=state)
            )
        return replace(judged, state=state)

    def record(self, what: str, evidence: str, now: datetime) -> None:
        """A line of the audit trail about the whole."""
        audit_trail.record(self._engine, self.by, what, self._subject, evidence, now)

    @property
    def _subject(self) -> str:
        return f"version {self._scope.version}"


def judge(
    contested: Contested, champion: Verdict, person_says: str | None, event_from: str
) -> Judged:
    """What is to be thought of an action: people first, then the champion.

    An action that the champion would take in a milder form is not taken back: it does act.
    """
    outcome: Outcome = "confirmed"
    if person_says is not None:
        outcome = "decided_by_a_person"
    elif champion.action == "allow":
        outcome = "wrongful"
    elif STRICTNESS.index(champion.action) < STRICTNESS.index(contested.action):
        outcome = "milder"
    return Judged(
        contested.event_id, contested.revision, contested, champion.action, champion.score,
        champion.reasons, person_says, event_from, outcome,
    )  # fmt: skip


def _said(scope: Scope) -> str:
    thresholds = f" with {scope.threshold_version}" if scope.threshold_version else ""
    return f"{scope.version}{thresholds}, {scope.start.isoformat()} to {scope.end.isoformat()}"


def _row(remedy: str, judged: Judged) -> dict[str, Any]:
    row = {one.name: getattr(judged, one.name) for one in fields(judged)}
    contested = asdict(judged.contested)
    contested |= {"decided_at": judged.contested.decided_at.isoformat()}
    row |= {"remedy": remedy, "champion_reasons": list(judged.champion_reasons)}
    return row | {"contested": contested | {"reasons": list(judged.contested.reasons)}}


def _judged(row: RowMapping) -> Judged:
    told = dict(row["contested"])
    told |= {"decided_at": datetime.fromisoformat(told["decided_at"])}
    contested = Contested(**told | {"reasons": tuple(told["reasons"])})
    own = {one.name: row[one.name] for one in fields(Judged)}
    own |= {"contested": contested, "champion_reasons": tuple(row["champion_reasons"])}
    return Judged(**own)
