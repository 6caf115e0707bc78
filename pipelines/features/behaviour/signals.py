"""What platform services send with an event, read with care: absent where it makes no sense."""

from __future__ import annotations

from datetime import UTC, datetime
from hashlib import blake2b

from data_contracts.events import Event
from pipelines.features.behaviour.moments import microseconds

LARGEST = 1e15
_NUMBER = (int, float)  # truth values are int


def number(event: Event, key: str) -> float | None:
    """A finite number or truth value of the context, at least 0."""
    value = event.context.get(key)
    if not isinstance(value, _NUMBER) or not 0 <= value <= LARGEST:
        return None
    return float(value)


def created_at(event: Event) -> int | None:
    """When the account was made, in microseconds since 1970."""
    value = event.context.get("account_created_at")
    if not isinstance(value, str):
        return None
    try:
        found = datetime.fromisoformat(value)
        return microseconds(found if found.tzinfo else found.replace(tzinfo=UTC))
    except (ValueError, OverflowError):
        return None


def utc_offset_minutes(event: Event) -> float | None:
    value = event.context.get("utc_offset_minutes")
    if isinstance(value, bool) or not isinstance(value, _NUMBER):
        return None
    return float(value) if abs(value) <= 14 * 60 else None


def device(event: Event) -> int | None:
    """The identity of the device that the event was sent from."""
    value = event.context.get("device")
    return identity(value) if isinstance(value, str) and value else None


def identity(name: str) -> int:
    """An account, device or text as 63 bits (BLAKE2b, RFC 7693); names are never stored.

    Of a billion, one in nine billion shares its identity with another: two would then be
    judged by their common history.
    """
    digest = blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1
