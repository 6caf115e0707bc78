"""One part of `bench-quality`: what it measured, and which goals that meets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from data_contracts.config import Settings

Say = Callable[[str], None]


@dataclass(frozen=True)
class Part:
    """`rows` are table rows of plain values; `goals` have id, statement, target, measured, met.

    Every row names set, system, split and sizes; a rate or score comes with its 95 % interval as
    `{"value": v, "low": l, "high": h}`.
    """

    name: str
    title: str
    rows: list[dict[str, Any]]
    goals: list[dict[str, Any]]


class Measure(Protocol):
    """What each `tests.performance.quality_<part>` has as `measure`.

    MissingPart where a dataset is absent: the part is then left out, and named.
    """

    def __call__(self, settings: Settings, say: Say) -> Part: ...
