"""Decisions that contradict each other, or what became of them: checks without a model of normal.

Three questions about decision records: does the meta-learner overrule all of its specialists, do
scores mean what they say, and are near-duplicates decided alike? Each answer is a share with its
interval; an alert is raised where it is surely above what is allowed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

import numpy as np

from data_contracts.alerts import Alert
from data_contracts.verdicts import Verdict
from evaluation.metrics import Booleans, wilson
from evaluation.monitoring.anomaly.series import Floats
from pipelines.near_duplicates import group_near_duplicates

COMBINERS = ("fusion", "meta_learner")  # stages that hold no opinion of their own
CLEARLY_SPAM, CLEARLY_HAM, EVEN = 0.8, 0.2, 0.5
FEWEST_SPECIALISTS = 2
FAR_APART = 0.3  # scores of near-duplicates
SURE = 4.0  # standard deviations: once in 16,000 checks of calibrated scores
EXAMPLES = 3


@dataclass(frozen=True)
class Check:
    """`contradicted` of `cases`; `examples` are event ids, never what users wrote."""

    name: str
    contradicted: int
    cases: int
    examples: tuple[str, ...]


class Decided(NamedTuple):
    """A verdict and the text that it is about."""

    verdict: Verdict
    text: str


def overruled_specialists(verdicts: Iterable[Verdict]) -> tuple[Check, Check]:
    """Decisions in which all specialists that ran are sure of one thing and the score is another.

    Apart for `let_through` (all say spam, and it was allowed with a score of ham) and `acted_on`
    (all say ham, and somebody was silenced). That a likely spam is allowed because its score lies
    below a strict threshold contradicts nobody. Of decisions by fewer than two specialists nothing
    is said.
    """
    cases = 0
    let_through: list[str] = []
    acted_on: list[str] = []
    for verdict in verdicts:
        scores = _specialists(verdict)
        if len(scores) < FEWEST_SPECIALISTS:
            continue
        cases += 1
        positive = verdict.action != "allow"
        if min(scores) >= CLEARLY_SPAM and not positive and verdict.score < EVEN:
            let_through.append(verdict.event_id)
        if max(scores) <= CLEARLY_HAM and positive:
            acted_on.append(verdict.event_id)
    return (
        _check("SpecialistsOverruledLetThrough", let_through, cases),
        _check("SpecialistsOverruledActedOn", acted_on, cases),
    )


def differently_decided_duplicates(decisions: Sequence[Decided]) -> Check:
    """Groups of near-duplicates, decided by one model and thresholds, that fell on both sides.

    Scores must also lie far apart: a pair at each side of a threshold is no contradiction. An
    event counts with its highest revision.
    """
    latest: dict[tuple[str, str, str], Decided] = {}
    for one in decisions:
        key = one.verdict.event_id, one.verdict.model_version, one.verdict.threshold_version
        known = latest.get(key)
        if known is None or one.verdict.revision >= known.verdict.revision:
            latest[key] = one
    rows = list(latest.values())
    groups: dict[tuple[int, str, str], list[Verdict]] = defaultdict(list)
    for group, (verdict, _) in zip(
        group_near_duplicates([r.text for r in rows]), rows, strict=True
    ):
        groups[int(group), verdict.model_version, verdict.threshold_version].append(verdict)
    repeated = [found for found in groups.values() if len(found) > 1]
    split = [found for found in repeated if _is_split(found)]
    return _check(
        "DuplicatesDecidedDifferently", [v.event_id for f in split for v in f[:1]], len(repeated)
    )


def alert_of_check(check: Check, allowed: float, at: datetime) -> Alert | None:
    """An alert where the share is surely above `allowed`; None also where there is no case."""
    if not check.cases:
        return None
    share = wilson(check.contradicted, check.cases)
    if share.low <= allowed:
        return None
    silencing = check.name.endswith("ActedOn")
    return Alert(
        name=check.name,
        severity_hint="page" if silencing else "ticket",
        subject={"check": check.name},
        value=share.value, expected=allowed, low=0.0, high=allowed,
        at=at,
        reason=f"{check.contradicted} of {check.cases} cases contradict each other, surely more "
        f"than {allowed:.1%}",
        likely_cause=f"look at events {', '.join(check.examples)} (python -m serving inspect ID)",
    )  # fmt: skip


def score_bias(scores: Floats, is_spam: Booleans) -> float:
    """Standard deviations by which more (or, below 0, less) was spam than the scores said.

    `scores: float64[n]` are probabilities. Normal for calibrated ones, the test of calibration in
    the large that comes with Spiegelhalter's (1986).

    >>> round(score_bias(np.full(100, 0.5), np.arange(100) < 80), 6)
    6.0
    """
    spread = float(np.sqrt(np.sum(scores * (1 - scores))))
    return float(np.sum(is_spam - scores)) / spread if spread > 0 else 0.0


def spiegelhalter(scores: Floats, is_spam: Booleans) -> float:
    """Spiegelhalter's z: standard deviations by which the Brier score is above what scores imply.

    Catches scores that are right on average and wrong at both ends (Spiegelhalter 1986,
    "Probabilistic prediction in patient management and clinical trials").
    """
    tilt = 1 - 2 * scores
    spread = float(np.sqrt(np.sum(tilt**2 * scores * (1 - scores))))
    return float(np.sum((is_spam - scores) * tilt)) / spread if spread > 0 else 0.0


def alert_of_outcomes(
    scores: Floats, is_spam: Booleans, at: datetime, model_version: str
) -> Alert | None:
    """An alert where outcomes (labels by chance, never appeals alone) surely belie the scores."""
    bias, shape = score_bias(scores, is_spam), spiegelhalter(scores, is_spam)
    if max(abs(bias), abs(shape)) < SURE:
        return None
    said, was = float(scores.mean()), float(is_spam.mean())
    direction = "too high" if said > was else "too low"
    return Alert(
        name="ScoresAgainstOutcomes",
        severity_hint="ticket",
        subject={"model_version": model_version},
        value=was, expected=said, low=None, high=None,
        at=at,
        reason=f"scores promise {said:.1%} spam among {len(scores)} labelled decisions, {was:.1%} "
        f"was (z {bias:+.1f}, Spiegelhalter's z {shape:+.1f})",
        likely_cause=f"scores of this version are {direction}"
        if abs(bias) >= SURE else "scores are too sure of themselves at both ends",
    )  # fmt: skip


def _specialists(verdict: Verdict) -> list[float]:
    return [
        stage.score
        for stage in verdict.stages
        if stage.ran and stage.score is not None and stage.name not in COMBINERS
    ]


def _is_split(verdicts: Sequence[Verdict]) -> bool:
    sides = {verdict.action != "allow" for verdict in verdicts}
    scores = [verdict.score for verdict in verdicts]
    return len(sides) > 1 and max(scores) - min(scores) >= FAR_APART


def _check(name: str, contradicted: Sequence[str], cases: int) -> Check:
    return Check(name, len(contradicted), cases, tuple(contradicted[:EXAMPLES]))
