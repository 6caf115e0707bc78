"""One group's error rate beyond that of all others, when many groups are looked at.

The interval is Newcombe's at Sidak's level, so that all intervals hold together; a gap is
*proven* when Fisher's exact test, one-sided, still says so after Holm's correction. Under 40
groups one is always the worst by chance: only a proven gap fails a model.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import hypergeom

from data_contracts.reports import GateVerdict
from evaluation.gates.paired import holm
from evaluation.gates.policy import Rule
from evaluation.metrics import (
    CONFIDENCE,
    Booleans,
    Estimate,
    clopper_pearson,
    newcombe_difference,
    wilson,
)


@dataclass(frozen=True)
class Errors:
    """How many of a group's rows went wrong. A family is `by=` or `by=part`, and names its slices.

    >>> Errors("language=", "tr", 0, 9).name, Errors("identity=en", "women", 0, 9).name
    ('language=tr', 'identity=en/women')
    """

    family: str
    group: str
    wrong: int
    size: int

    @property
    def name(self) -> str:
        return f"{self.family}{'' if self.family.endswith('=') else '/'}{self.group}"


@dataclass(frozen=True)
class Gap:
    """`estimate`: the group's error rate less that of all others in its family."""

    errors: Errors
    estimate: Estimate
    is_proven: bool


def gaps(counts: Sequence[Errors], minimum: int) -> list[Gap]:
    """The gap of every group of at least `minimum` rows, in families with two such groups.

    >>> many = [Errors("x=", "a", 9, 100), *(Errors("x=", name, 0, 100) for name in "bcd")]
    >>> [gap.is_proven for gap in gaps(many, 50)]
    [True, False, False, False]
    """
    families: dict[str, list[Errors]] = defaultdict(list)
    for errors in counts:
        families[errors.family].append(errors)
    compared = [
        (errors, _others(errors, members))
        for members in families.values()
        for errors in members
        if errors.size >= minimum and sum(one.size >= minimum for one in members) > 1
    ]
    if not compared:
        return []
    level = CONFIDENCE ** (1 / len(compared))
    chances = holm({errors.name: _chance(errors, others) for errors, others in compared})
    return [
        Gap(errors, _difference(errors, others, level), chances[errors.name] < 1 - CONFIDENCE)
        for errors, others in compared
    ]


def judge_gap(rule: Rule, gap: Gap, estimate: Estimate | None = None) -> GateVerdict:
    """As the rule says, but beyond the bound fails only what is proven.

    `estimate` is the gap as the report shows it, where that is not its own.
    """
    shown = estimate or gap.estimate
    if gap.is_proven:
        return rule.judge(shown)
    clip = min if rule.better == "low" else max
    return rule.judge(Estimate(clip(shown.value, rule.bound), shown.low, shown.high))


def clustered_share(hits: Booleans, clusters: Sequence[str]) -> Estimate:
    """The share of `hits: bool[n]`, n > 0, with an exact interval for what clusters are worth.

    Texts of one template go wrong together: their number is divided by the design effect.
    Korn & Graubard 1998, "Confidence intervals for proportions with small expected number of
    positive counts estimated from survey data".
    """
    size, count = len(hits), int(hits.sum())
    if 0 < count < size:
        _, members = np.unique(np.array(clusters), return_inverse=True)
        centred = hits - hits.mean()
        together = float(np.sum(np.bincount(members, weights=centred) ** 2))
        effect = max(together / float(centred @ centred), 1.0)
        return clopper_pearson(count / effect, size / effect)
    return clopper_pearson(count, size)


def _others(errors: Errors, members: Sequence[Errors]) -> Errors:
    wrong = sum(one.wrong for one in members) - errors.wrong
    return Errors(errors.family, "others", wrong, sum(one.size for one in members) - errors.size)


def _difference(errors: Errors, others: Errors, level: float) -> Estimate:
    first, second = (wilson(one.wrong, one.size, level) for one in (errors, others))
    return newcombe_difference(first, second)


def _chance(errors: Errors, others: Errors) -> float:
    """Fisher's: of so many wrong ones in all, this many or more in this group by chance."""
    total, wrong = errors.size + others.size, errors.wrong + others.wrong
    return float(hypergeom.sf(errors.wrong - 1, total, wrong, errors.size))
