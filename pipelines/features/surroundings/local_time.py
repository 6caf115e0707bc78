"""When it was where the account is: hour, night, weekend."""

from __future__ import annotations

from datetime import timedelta
from math import cos, pi, sin

from data_contracts.events import Event

NAMES = ("hour_sin", "hour_cos", "is_night", "is_weekend")
LAST_NIGHT_HOUR = 6
FURTHEST_OFFSET = 14 * 60  # minutes; Kiribati


def local_time(event: Event) -> dict[str, float]:
    """Nothing where the time or the offset is unknown: UTC's night is somebody's noon."""
    offset = event.context.get("utc_offset_minutes")
    if event.occurred_at is None or not isinstance(offset, int | float):
        return {}
    if abs(offset) > FURTHEST_OFFSET or not 1 < event.occurred_at.year < 9999:
        return {}
    local = event.occurred_at + timedelta(minutes=float(offset))
    turn = 2 * pi * (local.hour + local.minute / 60) / 24
    return {
        "hour_sin": sin(turn),
        "hour_cos": cos(turn),
        "is_night": float(local.hour < LAST_NIGHT_HOUR),
        "is_weekend": float(local.weekday() >= 5),
    }
