"""Paired tests of two models on the same cases: is the new one worse by more than a margin?

Only cases on which the models differ say anything. Tango 1998, "Equivalence test and confidence
interval for the difference in proportions for the paired-sample design" (Statistics in Medicine
17), whose score interval keeps its coverage where few cases differ, or none.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np
from scipy.optimize import brentq
from scipy.stats import norm

from evaluation.metrics import CONFIDENCE, Booleans, Estimate, Integers

Name = TypeVar("Name", bound=Hashable)
_EDGE = 1e-9  # the statistic is not defined at a difference of exactly 1


@dataclass(frozen=True)
class Pairs:
    """`gained` cases are positive for the new model alone, `lost` for the old one alone, of `size`.

    Numbers may be fractions: what clustered cases are worth as independent ones.
    """

    gained: float
    lost: float
    size: float

    @property
    def difference(self) -> float:
        """The share of the new model less that of the old one."""
        return (self.gained - self.lost) / self.size

    def interval(self, confidence: float = CONFIDENCE) -> Estimate:
        """Tango's score interval of the difference."""
        z = float(norm.ppf((1 + confidence) / 2))
        low = self._where(z) if self.difference > -1 else -1.0
        high = self._where(-z) if self.difference < 1 else 1.0
        return Estimate(self.difference, low, high)

    def statistic(self, difference: float) -> float:
        """Standard normal where the true difference is this one; in (-1, 1)."""
        gap = self.gained - self.lost - self.size * difference
        if gap == 0:
            return 0.0
        variance = self.size * (2 * self._only_lost(difference) + difference * (1 - difference))
        return gap / float(np.sqrt(max(variance, _EDGE)))

    def surely_beyond(self, bound: float, better: Literal["high", "low"]) -> float:
        """p of the hypothesis that the difference is no worse than `bound`; small: surely worse."""
        tail = norm.sf if better == "low" else norm.cdf
        return float(tail(self.statistic(bound)))

    def _only_lost(self, difference: float) -> float:
        """Likeliest share of cases that the old model alone calls positive, given the difference.

        With a negative difference at least that share is lost: the larger root keeps to it.
        """
        a = 2 * self.size
        b = (2 * self.size - self.gained + self.lost) * difference - self.gained - self.lost
        c = -self.lost * difference * (1 - difference)
        return float((np.sqrt(max(b * b - 4 * a * c, 0.0)) - b) / (2 * a))

    def _where(self, z: float) -> float:
        """The difference at which the statistic is `z`: it falls as the difference rises."""

        def beyond(difference: float) -> float:
            return self.statistic(difference) - z

        low, high = (-1 + _EDGE, self.difference) if z > 0 else (self.difference, 1 - _EDGE)
        if beyond(low) * beyond(high) > 0:
            return -1.0 if z > 0 else 1.0
        return float(brentq(beyond, low, high))


def paired(new: Booleans, old: Booleans, groups: Integers) -> Pairs:
    """`new`, `old`, `groups` [n], n > 0; near-duplicates (one group) count as what they are worth.

    The number of cases is divided by the design effect, the variance of the difference by groups
    over that of independent cases, where it is above 1. Rao, Scott 1992, "A simple method for the
    analysis of clustered binary data".

    >>> paired(np.array([True, False]), np.array([False, False]), np.array([0, 1]))
    Pairs(gained=1.0, lost=0.0, size=2.0)
    """
    if not len(new):
        raise ValueError("a paired test needs at least one case; the slice is empty")
    change = new.astype(np.float64) - old.astype(np.float64)
    centred = change - change.mean()
    _, members = np.unique(groups, return_inverse=True)
    alone = float(centred @ centred)
    together = float(np.sum(np.bincount(members, weights=centred) ** 2))
    effect = max(together / alone, 1.0) if alone > 0 else 1.0
    return Pairs(
        float((change > 0).sum()) / effect, float((change < 0).sum()) / effect, len(change) / effect
    )


def holm(chances: Mapping[Name, float]) -> dict[Name, float]:
    """Each p adjusted for there being several, in the order given (Holm 1979).

    >>> holm({"en": 0.01, "tr": 0.04, "zh": 0.03})
    {'en': 0.03, 'tr': 0.06, 'zh': 0.06}
    """
    adjusted: dict[Name, float] = {}
    highest = 0.0
    for rank, name in enumerate(sorted(chances, key=lambda one: chances[one])):
        highest = max(highest, min(1.0, (len(chances) - rank) * chances[name]))
        adjusted[name] = highest
    return {name: adjusted[name] for name in chances}
