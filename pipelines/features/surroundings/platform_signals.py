"""What the platform says of the post: its client, and how it is met so far."""

from __future__ import annotations

from math import log1p

from data_contracts.events import Event

CLIENTS = ("web", "ios", "android", "api")
COUNTS = ("views", "likes", "reports")
NAMES = (
    *(f"client_{client}" for client in CLIENTS),
    "is_verified",
    *(f"{count}_log" for count in COUNTS),
    "likes_per_view",
    "reports_per_view",
)


def platform_signals(event: Event) -> dict[str, float]:
    """Only what was sent: an unknown count is not zero."""
    if not event.context:
        return {}
    counts = {name: entry for name in COUNTS if (entry := _count(event, name)) is not None}
    found = {f"{name}_log": log1p(count) for name, count in counts.items()}
    if (views := counts.pop("views", 0.0)) > 0:
        found |= {f"{name}_per_view": count / views for name, count in counts.items()}
    return found | _client(event) | _verified(event)


def _count(event: Event, name: str) -> float | None:
    entry = event.context.get(name)
    return float(entry) if isinstance(entry, int | float) and entry >= 0 else None


def _client(event: Event) -> dict[str, float]:
    client = event.context.get("client")
    if not isinstance(client, str):
        return {}
    return {f"client_{known}": float(client == known) for known in CLIENTS}


def _verified(event: Event) -> dict[str, float]:
    verified = event.context.get("verified")
    return {"is_verified": float(verified)} if isinstance(verified, bool) else {}
