"""What thresholds and calibration rest on: rows drawn by chance, each as often as it stands for.

Labels that a sampler chose lie where the filter doubted: a false-positive rate or a prevalence
read off them is one of the sampler's taste. So rows of unknown chance take no part, unless too
few others are there; which of both it was is recorded in the artefact.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.logistic import Floats

WHOLE, AUDIT = "whole datasets", "audit"
NO_AUDIT = "all rows, no audit labels"


@dataclass(frozen=True)
class Footing:
    """`weights` float64[n]: 1 / chance, and 0 for rows that take no part."""

    weights: Floats
    source: str

    def record(self, targets: NDArray[np.int64]) -> dict[str, Any]:
        """What a reviewer should know; `effective_ham` is what these ham are worth as equals."""
        used, ham = self.weights > 0, targets == 0
        return {
            "source": self.source,
            "rows": int(used.sum()),
            "spam": int((used & ~ham).sum()),
            "ham": int((used & ham).sum()),
            "effective_ham": round(effective_count(self.weights[ham]), 1),
        }


def footing(
    chances: Floats, targets: NDArray[np.int64], *, fewest_ham: int, fewest_spam: int = 0
) -> Footing:
    """Rows of a known chance, where their effective number of each label suffices; else all rows.

    `chances` float64[n] in (0, 1], NaN where a sampler chose the row.
    """
    known = np.isfinite(chances)
    weights = np.where(known, 1 / np.where(known, chances, 1.0), 0.0)
    if known.all():
        return Footing(weights, WHOLE if (chances == 1).all() else AUDIT)
    if not known.any():
        return Footing(np.ones(len(chances)), NO_AUDIT)
    ham, spam = (effective_count(weights[targets == label]) for label in (0, 1))
    if ham >= fewest_ham and spam >= fewest_spam:
        return Footing(weights, AUDIT)
    few = f"all rows, only {ham:.0f} ham and {spam:.0f} spam of the audit"
    return Footing(np.ones(len(chances)), few)


def effective_count(weights: Floats) -> float:
    """How many rows of equal weight say as much: (sum w)^2 / sum w^2 (Kish 1965); 0 for none.

    >>> effective_count(np.array([1.0, 1.0, 0.0])), effective_count(np.array([2.0, 1.0]))
    (2.0, 1.8)
    """
    if not weights.any():
        return 0.0
    relative = weights / weights.max()  # equal weights give their number exactly
    return float(relative.sum()) ** 2 / float(np.sum(relative**2))
