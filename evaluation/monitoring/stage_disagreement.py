"""Where the stages of the cascade disagree with its verdict: the first sign of one gone wrong.

A stage's score is a probability of spam. It disagrees when it lies on the other side of one half
than the verdict's action. Which stages ran depends on the content, so a stage is compared with
its own past only, never with another stage.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from evaluation.metrics import Estimate, newcombe_difference, wilson

MIDDLE = 0.5
FEWEST_RUNS = 30  # of a stage, on both sides of a comparison


@dataclass(frozen=True)
class StageScores:
    """One decision: whether it acted, and the score of each stage that ran."""

    positive: bool
    scores: Mapping[str, float]


@dataclass(frozen=True)
class StageDisagreement:
    """Of the events on which a stage ran: how often it alone would have decided otherwise.

    `would_act` of it is where the stage saw spam and the verdict let it through.
    """

    stage: str
    ran: int
    share: Estimate
    would_act: float


@dataclass(frozen=True)
class StageChange:
    """A stage whose disagreement moved surely: `difference` is now less before."""

    stage: str
    now: Estimate
    before: Estimate
    difference: Estimate


def stage_disagreements(decisions: Iterable[StageScores]) -> list[StageDisagreement]:
    """A row for each stage that ran, in alphabetical order.

    >>> rows = [StageScores(True, {"text": 0.9}), StageScores(False, {"text": 0.8})]
    >>> [(one.stage, one.share.value, one.would_act) for one in stage_disagreements(rows)]
    [('text', 0.5, 0.5)]
    """
    ran: dict[str, int] = {}
    against: dict[str, int] = {}
    would_act: dict[str, int] = {}
    for decision in decisions:
        for stage, score in decision.scores.items():
            other = (score >= MIDDLE) != decision.positive
            ran[stage] = ran.get(stage, 0) + 1
            against[stage] = against.get(stage, 0) + other
            would_act[stage] = would_act.get(stage, 0) + (other and not decision.positive)
    return [
        StageDisagreement(
            stage, ran[stage], wilson(against[stage], ran[stage]), would_act[stage] / ran[stage]
        )
        for stage in sorted(ran)
    ]


def stage_changes(
    now: Iterable[StageDisagreement], before: Iterable[StageDisagreement]
) -> list[StageChange]:
    """Stages that surely disagree more, or less, than before; few runs say nothing."""
    past = {one.stage: one for one in before if one.ran >= FEWEST_RUNS}
    found = []
    for one in now:
        if one.ran < FEWEST_RUNS or one.stage not in past:
            continue
        difference = newcombe_difference(one.share, past[one.stage].share)
        if difference.low > 0 or difference.high < 0:
            found.append(StageChange(one.stage, one.share, past[one.stage].share, difference))
    return found
