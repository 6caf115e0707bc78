"""A service of the local stack, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Process:
    """One long-running service: how it starts, and how one sees that it is ready.

    `ready_url` answers 2xx once the service is ready; without it a live process is ready.
    `environment` is added to the caller's environment. `port` is checked before the start;
    `setting` names the configuration key that moves it.
    """

    name: str
    argv: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    ready_url: str | None = None
    ready_timeout_seconds: float = 120.0
    port: int | None = None
    setting: str | None = None
