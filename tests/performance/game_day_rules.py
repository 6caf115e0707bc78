"""Ten quiet weeks of the shipped Prometheus rules that page, evaluated by Prometheus' own code.

The weeks are those of `tests/unit/infra/test_slo.py`: a simulation with nights, restarts, rollouts
and a benign burst. Time is promtool's, so nothing is waited for and no window is divided.
"""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

WEEKS, DAYS = 10, 7
MISSING = "promtool is not installed (apt-get install prometheus): not run"


@dataclass(frozen=True)
class QuietRules:
    """Names of pages that fired in any of the weeks; `note` says why it was not run."""

    weeks: int
    pages: tuple[str, ...]
    note: str = ""

    def as_row(self) -> dict[str, Any]:
        return {
            "part": "quiet rules", "simulation": True, "weeks": self.weeks,
            "pages": list(self.pages), "note": self.note,
        }  # fmt: skip


def quiet_rules() -> QuietRules:
    """Each week from another seed."""
    from tests.unit.infra.test_slo import paged, quiet

    if shutil.which("promtool") is None:
        return QuietRules(0, (), MISSING)
    pages: list[str] = []
    for seed in range(WEEKS):
        with tempfile.TemporaryDirectory(prefix="game-day-rules-") as folder:
            pages += paged(Path(folder), quiet(np.random.default_rng(seed), days=DAYS))
    return QuietRules(WEEKS, tuple(pages))
