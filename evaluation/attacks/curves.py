"""Attack-cost curves: how much of the spam escapes for how many queries, and for how many edits.

Every curve stands at one threshold per model, fitted on ham for a fixed false-positive rate, so
that a model that blocks more does not seem harder to evade. Shares are of the spam that the model
caught in the clear and that some attack could reach; points carry exact intervals
(Clopper-Pearson), comparisons a paired bootstrap of whole near-duplicate groups.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from evaluation.attacks.black_box import Outcome
from evaluation.metrics import (
    Booleans,
    Estimate,
    Floats,
    Integers,
    clopper_pearson,
    paired_bootstrap,
    recall_at,
)

EDITS = (1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144, 233, 377)
SHARES = (0.05, 0.1, 0.25, 0.5)
NEVER = np.inf


@dataclass(frozen=True)
class Attacked:
    """One model under attack: `among: bool[n]` are the messages that count, `queries` and `edits`
    (float64[n]) what the evasion of each cost, infinite where none was found."""

    among: Booleans
    queries: Floats
    edits: Floats

    @classmethod
    def of(cls, outcomes: Sequence[Outcome]) -> Attacked:
        found = [outcome.evasion for outcome in outcomes]
        return cls(
            np.array([outcome.caught and outcome.reach for outcome in outcomes], dtype=bool),
            np.array([one.queries if one else NEVER for one in found], dtype=np.float64),
            np.array([one.edits if one else NEVER for one in found], dtype=np.float64),
        )

    @property
    def evaded(self) -> Booleans:
        return self.among & np.isfinite(self.queries)

    def where(self, rows: Booleans) -> Attacked:
        return Attacked(self.among & rows, self.queries, self.edits)


def threshold_at(ham_scores: Floats, rate: float) -> float:
    """The lowest threshold that catches at most `rate` of this ham; scores at it are caught.

    Raises ValueError where there is too little ham for the rate to allow a single mistake.

    >>> scores = np.array([0.1, 0.2, 0.3, 0.9])
    >>> float(np.mean(scores >= threshold_at(scores, 0.25)))
    0.25
    """
    allowed = int(rate * len(ham_scores) + 1e-9)
    if not 0 < rate < 1 or allowed < 1:
        raise ValueError(
            f"{len(ham_scores)} ham fit no false-positive rate of {rate}; "
            f"give at least {int(np.ceil(1 / rate)) if rate > 0 else 'some'} or raise the rate"
        )
    highest = np.sort(ham_scores)[::-1]
    return float(np.nextafter(highest[min(allowed, len(highest) - 1)], np.inf))


def evasion(attacked: Attacked) -> Estimate:
    """The share that evades within the whole budget; ValueError where nothing was attacked."""
    return clopper_pearson(int(attacked.evaded.sum()), int(attacked.among.sum()))


def difference(
    first: Attacked, second: Attacked, groups: Integers, rng: np.random.Generator, resamples: int
) -> Estimate:
    """Evasion of `first` minus that of `second`, each among its own; by whole groups."""

    def statistic(weights: Floats) -> float:
        return _share(first, weights) - _share(second, weights)

    return _bootstrap(statistic, first, second, groups, rng, resamples)


def ratio(
    first: Attacked, second: Attacked, groups: Integers, rng: np.random.Generator, resamples: int
) -> Estimate | None:
    """Evasion of `first` over that of `second`; None where `second` is never evaded."""

    def statistic(weights: Floats) -> float:
        below = _share(second, weights)
        if below == 0:
            raise ValueError("a ratio to nothing")
        return _share(first, weights) / below

    if not second.evaded.any():
        return None
    return _bootstrap(statistic, first, second, groups, rng, resamples)


def both(first: Attacked, second: Attacked) -> tuple[Attacked, Attacked]:
    """The two on the messages that count for both: a paired comparison."""
    return first.where(second.among), second.where(first.among)


def curves(attacked: Attacked, budget: int) -> dict[str, Any]:
    """Plain types: evasion at 1 to `budget` queries and up to EDITS edits, with intervals, and
    the least queries and edits at which SHARES of the messages evade (None where they do not)."""
    size = int(attacked.among.sum())
    result: dict[str, Any] = {"caught": size, "evaded": int(attacked.evaded.sum())}
    if not size:
        return result
    for name, costs, at in (
        ("queries", attacked.queries, range(1, budget + 1)),
        ("edits", attacked.edits, EDITS),
    ):
        spent = np.sort(costs[attacked.among])
        points = [clopper_pearson(int(np.searchsorted(spent, x, "right")), size) for x in at]
        result[name] = {
            "at": list(at),
            "rate": [point.value for point in points],
            "low": [point.low for point in points],
            "high": [point.high for point in points],
            "needed": {f"{share:g}": _needed(spent, share) for share in SHARES},
        }
    return result


def compared(
    models: Mapping[str, Attacked],
    slices: Mapping[str, Booleans],
    groups: Integers,
    budget: int,
    rng: np.random.Generator,
    resamples: int,
) -> dict[str, Any]:
    """`models`: curves of each by slice; `against`: the first less, and over, the second by slice,
    on what both catch. Slices are bool[n]; slices in which nothing was attacked are left out."""
    names = list(models)
    parts = {"all": np.ones(len(groups), dtype=bool), **slices}
    drawn = {
        name: {
            part: curves(attacked.where(rows), budget)
            for part, rows in parts.items()
            if (attacked.among & rows).any()
        }
        for name, attacked in models.items()
    }
    if len(names) < 2:
        return {"models": drawn, "against": {}}
    first, second = both(models[names[0]], models[names[1]])
    against = {}
    for part, rows in parts.items():
        if (first.among & rows).any():
            pair = first.where(rows), second.where(rows)
            against[part] = {
                "caught_by_both": int(pair[0].among.sum()),
                "difference": _plain(difference(*pair, groups, rng, resamples)),
                "ratio": _plain(ratio(*pair, groups, rng, resamples)),
            }
    return {"models": drawn, "against": against}


def _share(attacked: Attacked, weights: Floats) -> float:
    return recall_at(attacked.among, attacked.evaded, weights)


def _bootstrap(
    statistic: Any, first: Attacked, second: Attacked, groups: Integers,
    rng: np.random.Generator, resamples: int,
) -> Estimate:  # fmt: skip
    """Over the groups that hold a message of either; the others would only thin the draws."""
    rows = first.among | second.among

    def of_kept(weights: Floats) -> float:
        spread = np.zeros(len(rows))
        spread[rows] = weights
        return float(statistic(spread))

    return paired_bootstrap(of_kept, groups[rows], rng, resamples=resamples)


def _needed(spent: Floats, share: float) -> float | None:
    """The cost of the message that completes the share; `spent` is sorted."""
    cost = spent[int(np.ceil(share * len(spent) - 1e-9)) - 1]
    return float(cost) if np.isfinite(cost) else None


def _plain(estimate: Estimate | None) -> dict[str, float] | None:
    if estimate is None:
        return None
    return {"value": estimate.value, "low": estimate.low, "high": estimate.high}
