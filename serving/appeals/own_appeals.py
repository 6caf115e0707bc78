"""What an account sees of its own appeals: never who reviews them, or how sure the model was."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Engine, select

from pipelines.labelling.appeal_tables import APPEALS, CLOSED, AppealState
from pipelines.state import reading

MOST = 20


@dataclass(frozen=True)
class OwnAppeal:
    """One appeal of the account that asks."""

    id: str
    event_id: str
    action: str
    reasons: tuple[str, ...]
    state: AppealState
    submitted_at: datetime
    due_at: datetime
    why: str

    @property
    def is_open(self) -> bool:
        return self.state not in CLOSED


def own_appeals(engine: Engine, account: str) -> list[OwnAppeal]:
    """The newest of an account (its keyed hash)."""
    names = list(OwnAppeal.__dataclass_fields__)
    query = (
        select(*(APPEALS.c[name] for name in names))
        .where(APPEALS.c.account == account)
        .order_by(APPEALS.c.submitted_at.desc())
        .limit(MOST)
    )
    with reading(engine) as connection:
        rows = connection.execute(query).mappings().all()
    return [OwnAppeal(**{**row, "reasons": tuple(row["reasons"])}) for row in rows]
