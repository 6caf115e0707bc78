"""What the parts of `bench-serving` share: rows and goals, and lines that say how far it is."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any


@dataclass(frozen=True)
class Report:
    """Grows while the parts run."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    goals: list[dict[str, Any]] = field(default_factory=list)

    def row(self, part: str, **columns: Any) -> None:
        self.rows.append({"part": part, **columns})

    def goal(
        self, name: str, statement: str, target: str, measured: float, *, met: bool, **more: Any
    ) -> None:
        """`more` is what a reader needs beside the figure, such as its interval."""
        self.goals.append({
            "id": f"serving.{name}", "statement": statement, "target": target,
            "measured": round(float(measured), 4), "met": bool(met), **more,
        })  # fmt: skip


def spread(values: Sequence[float], digits: int = 1) -> dict[str, Any]:
    """The median over rounds, and their range.

    >>> spread([3.0, 1.0, 2.0])
    {'median': 2.0, 'range': [1.0, 3.0]}
    """
    least, most = round(min(values), digits), round(max(values), digits)
    return {"median": round(median(values), digits), "range": [least, most]}


def say(message: str) -> None:
    """On stderr, with the time."""
    print(f"{time.strftime('%H:%M:%S')}  {message}", file=sys.stderr, flush=True)
