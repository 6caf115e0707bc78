"""The time of an event as a number."""

from __future__ import annotations

from data_contracts.events import Event


def seconds(event: Event) -> float | None:
    """Seconds since 1970 in UTC; None where the event has no time."""
    return None if event.occurred_at is None else event.occurred_at.timestamp()
