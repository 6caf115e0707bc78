"""Taking an enforced action back: through a sink, noted before and after, once.

Weir decides, the platform acts: it is told by webhook to undo what it did about an event. A
reversal is `intended` in the state database before the sink is called and `done` after it, so a
process that is killed in between calls again, with the same id. Delivery is therefore at least
once, and its effect once where the platform ignores an id that it knows; the webhook's contract
asks for that (Standard Webhooks, https://www.standardwebhooks.com: `webhook-id` is the key).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Protocol

import httpx
import orjson
from sqlalchemy import (
    Column,
    Engine,
    Integer,
    MetaData,
    RowMapping,
    String,
    Table,
    Text,
    select,
    update,
)

from data_contracts.errors import ServiceUnavailable
from pipelines import audit_trail
from pipelines.labelling.appeal_records import Contested
from pipelines.labelling.task_moves import insert_if_new
from pipelines.state import UtcTime, create_tables, one_writer_at_a_time, reading
from serving.webhook_signature import signature

TIMEOUT_SECONDS = 10.0
METADATA = MetaData()
REVERSALS = Table(
    "reversals",
    METADATA,
    Column("id", String(32), primary_key=True),
    Column("event_id", String(128), nullable=False, index=True),
    Column("revision", Integer, nullable=False),
    Column("action", String(16), nullable=False),
    Column("by", String(128), nullable=False),
    Column("why", Text, nullable=False),
    Column("state", String(16), nullable=False),  # intended, then done
    Column("intended_at", UtcTime, nullable=False),
    Column("done_at", UtcTime),
)


@dataclass(frozen=True)
class Reversal:
    """Undo `action`, which the verdict `event_id`/`revision` called for. `id` is stable."""

    id: str
    event_id: str
    revision: int
    action: str
    by: str
    why: str

    @classmethod
    def of(cls, contested: Contested, by: str, why: str) -> Reversal:
        """Appeal and remedy reverse the same verdict under the same id."""
        about = contested
        return cls(about.appeal_id, about.event_id, about.revision, about.action, by, why)


class EnforcementSink(Protocol):
    """Where actions are taken back."""

    def reverse(self, reversal: Reversal) -> None:
        """Undo it; a second call with the same id changes nothing. Raises ServiceUnavailable."""
        ...


class RecordedOnly:
    """No platform is configured: the row in `reversals` is all there is, for it to be fetched."""

    def reverse(self, reversal: Reversal) -> None:
        """Nothing beside the row."""


@dataclass(frozen=True)
class PlatformWebhook:
    """POSTs each reversal as JSON, signed as Standard Webhooks does; any 2xx is a yes."""

    url: str
    key: str = field(repr=False)
    clock: Callable[[], datetime]

    def reverse(self, reversal: Reversal) -> None:
        body = orjson.dumps({"type": "action.reversed", "data": asdict(reversal)})
        stamp = str(int(self.clock().timestamp()))
        headers = {
            "content-type": "application/json",
            "webhook-id": reversal.id,
            "webhook-timestamp": stamp,
            "webhook-signature": signature(self.key, reversal.id, stamp, body),
        }
        try:
            answer = httpx.post(self.url, content=body, headers=headers, timeout=TIMEOUT_SECONDS)
        except httpx.HTTPError as error:
            raise ServiceUnavailable(
                f"the platform at {self.url} does not answer ({type(error).__name__}); mend "
                "appeals.webhook_url, or wait: it is told again"
            ) from None
        if not answer.is_success:
            raise ServiceUnavailable(
                f"the platform at {self.url} answered {answer.status_code} to reversal "
                f"{reversal.id}; it is told again"
            )


class Reversals:
    """The ledger of what was taken back, around a sink."""

    def __init__(self, engine: Engine, sink: EnforcementSink, clock: Callable[[], datetime]):
        self._engine = engine
        self._sink = sink
        self._clock = clock

    def prepare(self) -> None:
        """Create the tables where they are missing."""
        create_tables(self._engine, METADATA)
        audit_trail.prepare(self._engine)

    def reverse(self, reversal: Reversal) -> Reversal:
        """The reversal that stands: this one, or who took the same action back before.

        Raises what the sink raises; the reversal stays intended, to be tried again.
        """
        standing, is_done = self._intend(reversal)
        if not is_done:
            self._sink.reverse(standing)
            self._done(standing)
        return standing

    def intended(self) -> list[Reversal]:
        """Noted, and not known to be done."""
        return self._in_state("intended")

    def done(self) -> list[Reversal]:
        return self._in_state("done")

    def _intend(self, reversal: Reversal) -> tuple[Reversal, bool]:
        """The one that is noted under this id, and whether it is done."""
        row = asdict(reversal) | {"state": "intended", "intended_at": self._clock()}
        with self._engine.begin() as connection:
            connection.execute(insert_if_new(connection, REVERSALS, ["id"]).values(row))
            noted = select(REVERSALS).where(REVERSALS.c.id == reversal.id)
            found = connection.execute(noted).mappings().one()
            return _reversal(found), found["state"] == "done"

    def _done(self, reversal: Reversal) -> None:
        now = self._clock()
        with self._engine.begin() as connection:
            one_writer_at_a_time(connection, f"reversal:{reversal.id}")
            moved = connection.execute(
                update(REVERSALS)
                .where(REVERSALS.c.id == reversal.id, REVERSALS.c.state == "intended")
                .values(state="done", done_at=now)
            )
            if moved.rowcount:
                subject = f"event {reversal.event_id}"
                what = f"reversed {reversal.action} of revision {reversal.revision}"
                audit_trail.append(connection, reversal.by, what, subject, reversal.id, now)

    def _in_state(self, state: str) -> list[Reversal]:
        query = select(REVERSALS).where(REVERSALS.c.state == state).order_by(REVERSALS.c.id)
        with reading(self._engine) as connection:
            return [_reversal(row) for row in connection.execute(query).mappings()]


def _reversal(row: RowMapping) -> Reversal:
    return Reversal(**{name: row[name] for name in Reversal.__dataclass_fields__})
