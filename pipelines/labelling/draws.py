"""What the audit drew, labelled or not: estimates need the draws as well as the labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import inspect, select

from pipelines.labelling.queue import TASKS
from pipelines.state import open_state, reading


@dataclass(frozen=True)
class AuditDraw:
    """An event that the audit of a day drew, and its chance, in (0, 1], to be drawn."""

    event_id: str
    day: str
    inclusion_probability: float


def audit_draws(state_url: str, days: Sequence[str]) -> list[AuditDraw]:
    """Those of these days, in order of day and event; none where nothing was ever sampled."""
    columns = [TASKS.c[name] for name in AuditDraw.__dataclass_fields__]
    drawn = (
        select(*columns)
        .where(TASKS.c.day.in_(days), TASKS.c.inclusion_probability.is_not(None))
        .order_by(TASKS.c.day, TASKS.c.event_id)
    )
    engine = open_state(state_url)
    try:
        with reading(engine) as connection:
            if not inspect(connection).has_table(TASKS.name):
                return []
            return [AuditDraw(**row) for row in connection.execute(drawn).mappings()]
    finally:
        engine.dispose()
