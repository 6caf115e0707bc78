"""Which stages run for an event: what its content calls for, while doubt is worth the cost.

Cheap stages always run. The others follow in the order of their cost, each a step that is taken
only where the event carries its content, the score so far settles nothing, and the rest of the
budget allows it. Bounds are fitted on out-of-fold scores: the cheapest ones at which average
precision and the recall at the threshold stay within the tolerance of running everything
(Viola, Jones 2001, for cascades; Trapeznikov, Saligrama 2013, for fitting them to cost). A stage
after which nothing that would be missed is learned settles every event that carries its content.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.logistic import Floats
from training.objective import average_precision

FREE_MILLISECONDS = 0.5  # stages at most this dear always run
TOLERANCE = 0.001  # of average precision, over all steps together
RECALL_TOLERANCE = 0.01  # of the spam that running everything would catch
SHARES = tuple(at / 100 for at in (*range(10, 90, 5), *range(90, 100)))  # of the open events
CLEAR_HAM, CLEAR_SPAM, DEADLINE = "clear ham", "clear spam", "deadline"
ADDS_NOTHING = "adds nothing"  # neither the stage nor those that follow it
NEVER, ALWAYS = (-1.0, 2.0), (1.0, 0.0)


@dataclass(frozen=True)
class Activation:
    """`bounds[k]`: scores at or below the first, or at or above the second, settle step k for an
    event that carries its content; ALWAYS settles it whatever the score.

    `stages` are those of the steps after the first, `costs` their expected CPU milliseconds.
    """

    stages: tuple[str, ...]
    costs: tuple[float, ...]
    bounds: tuple[tuple[float, float], ...]

    def settled(self, step: int, score: float) -> str | None:
        """Why nothing more need run after `step` stages of the dear ones, or None."""
        low, high = self.bounds[step]
        if low >= high:
            return ADDS_NOTHING
        if score <= low:
            return CLEAR_HAM
        return CLEAR_SPAM if score >= high else None


def never_settles(stages: Sequence[str], costs: Sequence[float]) -> Activation:
    """Runs everything that an event carries."""
    return Activation(tuple(stages), tuple(costs), (NEVER,) * len(stages))


def fit_activation(
    activation: Activation,
    scores: Floats,
    costs: Floats,
    targets: NDArray[np.int64],
    threshold: float,
) -> Activation:
    """Bounds for each step of `activation`.

    `scores` float64[n, K + 1]: the probability after each step, the last with everything;
    `costs` float64[n, K] what each step costs the event, 0 where it lacks the content.
    """
    everything = scores[:, -1]
    allowed = average_precision(everything, targets)
    caught = (everything >= threshold) & (targets == 1)
    alarms = int(((everything >= threshold) & (targets == 0)).sum())
    final, open_ = everything.copy(), np.ones(len(targets), bool)
    bounds: list[tuple[float, float]] = []
    steps = costs.shape[1]
    for step in range(steps):
        floor = allowed - TOLERANCE * (step + 1) / steps
        losable = RECALL_TOLERANCE * (step + 1) / steps
        judge = _Judge(targets, caught, threshold, floor, losable, alarms)
        asked = open_ & (costs[:, step] > 0)
        found = _widest(scores[:, step], final, asked, judge)
        bounds.append(found)
        settled = asked & _is_settled(scores[:, step], found)
        final = np.where(settled, scores[:, step], final)
        open_ &= ~settled
    return Activation(activation.stages, activation.costs, tuple(bounds))


def spent(activation: Activation, scores: Floats, costs: Floats) -> Floats:
    """float64[n]: the CPU milliseconds that each event costs under the policy."""
    open_, total = np.ones(len(scores), bool), np.zeros(len(scores))
    for step, bounds in enumerate(activation.bounds):
        open_ &= ~((costs[:, step] > 0) & _is_settled(scores[:, step], bounds))
        total += np.where(open_, costs[:, step], 0.0)
    return total


def settled_scores(activation: Activation, scores: Floats, costs: Floats) -> Floats:
    """float64[n]: the score at which each event stops under the policy."""
    open_, final = np.ones(len(scores), bool), scores[:, -1].copy()
    for step, bounds in enumerate(activation.bounds):
        settled = open_ & (costs[:, step] > 0) & _is_settled(scores[:, step], bounds)
        final[settled] = scores[settled, step]
        open_ &= ~settled
    return final


def _is_settled(scores: Floats, bounds: tuple[float, float]) -> NDArray[np.bool_]:
    return (scores <= bounds[0]) | (scores >= bounds[1])


@dataclass(frozen=True)
class _Judge:
    """Whether scores with some events settled early are still as good as they must be."""

    targets: NDArray[np.int64]
    caught: NDArray[np.bool_]
    threshold: float
    floor: float
    lost_share: float
    alarms: int  # false positives with everything

    def accepts(self, final: Floats) -> bool:
        lost = int((self.caught & (final < self.threshold)).sum())
        alarms = int(((final >= self.threshold) & (self.targets == 0)).sum())
        return (
            lost <= self.lost_share * self.caught.sum()
            and alarms <= self.alarms
            and average_precision(final, self.targets) >= self.floor
        )


def _widest(
    scores: Floats, final: Floats, open_: NDArray[np.bool_], judge: _Judge
) -> tuple[float, float]:
    """The bounds of one step that settle the most open events and are accepted."""
    if not open_.any():
        return NEVER
    if judge.accepts(np.where(open_, scores, final)):
        return ALWAYS
    low, high = NEVER
    for share in SHARES:
        bound = float(np.quantile(scores[open_], share))
        if not judge.accepts(np.where(open_ & (scores <= bound), scores, final)):
            break
        low = bound
    ham_settled = np.where(open_ & (scores <= low), scores, final)
    for share in SHARES:
        bound = float(np.quantile(scores[open_], 1 - share))
        if bound <= max(low, judge.threshold):
            break
        if not judge.accepts(np.where(open_ & (scores >= bound), scores, ham_settled)):
            break
        high = bound
    return low, high
