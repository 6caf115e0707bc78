"""Every delivery once: their ids, kept in the state database, so a restart forgets none."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Column, Engine, MetaData, String, Table
from sqlalchemy.exc import IntegrityError

from pipelines.state import UtcTime, create_tables

METADATA = MetaData()
DELIVERIES = Table(
    "approval_deliveries",
    METADATA,
    Column("id", String(64), primary_key=True),
    Column("sent_at", UtcTime, nullable=False, index=True),
)


@dataclass(frozen=True)
class Deliveries:
    """Ids are kept for `window` after they could still be believed, so none comes twice."""

    engine: Engine
    window: timedelta

    def prepare(self) -> None:
        create_tables(self.engine, METADATA)

    def take(self, delivery_id: str, sent_at: datetime, now: datetime) -> bool:
        """True for the first to bring this id, False for every other; atomic."""
        forgotten = DELIVERIES.delete().where(DELIVERIES.c.sent_at < now - 2 * self.window)
        try:
            with self.engine.begin() as connection:
                connection.execute(forgotten)
                connection.execute(DELIVERIES.insert().values(id=delivery_id, sent_at=sent_at))
        except IntegrityError:
            return False
        return True

    def give_back(self, delivery_id: str) -> None:
        """It could not be acted on: MLflow sends the same delivery again, and may."""
        with self.engine.begin() as connection:
            connection.execute(DELIVERIES.delete().where(DELIVERIES.c.id == delivery_id))
