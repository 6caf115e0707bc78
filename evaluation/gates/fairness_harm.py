"""Harm: false positives per 1,000 ordinary messages, each weighed by whom it silences."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from evaluation.gates.policy import Harm
from evaluation.gates.suite import Case
from evaluation.metrics import Booleans, Estimate, Floats, wilson

PER = 1000


def weights_of(
    cases: Sequence[Case], harm: Harm, value: Callable[[Case, str], str | None]
) -> Floats:
    """float64[n]: the largest weight that a case has under the policy, 1 without one."""
    return np.array(
        [
            max(
                (rule.weight for rule in harm.weights if value(case, rule.by) in rule.groups),
                default=1.0,
            )
            for case in cases
        ],
        dtype=np.float64,
    )


def harm_score(wrong: Booleans, weights: Floats) -> Estimate:
    """Weighed false positives per 1,000; `wrong: bool[n]`, `weights: float64[n]`, n > 0.

    Each weight's share has Wilson's interval and they are put together by the squares of their
    distances (MOVER: Zou & Donner 2008, "Construction of confidence limits about effect measures:
    a general approach"), which says something even where nothing went wrong.

    >>> harm_score(np.array([True, False]), np.array([3.0, 1.0])).value
    1500.0
    """
    value = below = above = 0.0
    for weight in np.unique(weights):
        of_weight = weights == weight
        share = wilson(int(wrong[of_weight].sum()), int(of_weight.sum()))
        scale = PER * float(weight) * float(of_weight.mean())
        value += scale * share.value
        below += (scale * (share.value - share.low)) ** 2
        above += (scale * (share.high - share.value)) ** 2
    return Estimate(value, max(0.0, value - below**0.5), value + above**0.5)
