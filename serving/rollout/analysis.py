"""The judge: canary against its reference, on plain samples. Pure.

Each metric says *pass*, *fail* or *not enough evidence*, with its values and its reason. Its
interval holds at every look at once (`confidence_sequences`), so the judge may be asked every
second. A metric fails when the interval lies wholly beyond the tolerance: surely worse by more.
It passes when the interval lies wholly within the margin: harm of that size is excluded. In
between the step waits. A metric without a margin may fail, but is not waited for. No traffic is
never a pass, and neither is a metric that is waited for and was not measured.

The error that a rollout may make on an equal model, 1 - confidence, is divided over its steps,
in a step over the questions that are asked (Bonferroni), and in a question over its metrics.
"""

from __future__ import annotations

from data_contracts.reports import worst
from serving.rollout.judged_behaviour import behaviour
from serving.rollout.judged_quality import quality
from serving.rollout.judged_service import costs, errors, guardrails, latencies
from serving.rollout.measurements import (
    ALL,
    SCORE_CUTS,
    Analysis,
    ArmSlice,
    Bounds,
    Labelled,
    Measurement,
    PairedSlice,
    Pairs,
    Sample,
)
from serving.rollout.questions import answers

__all__ = [
    "ALL",
    "SCORE_CUTS",
    "Analysis",
    "ArmSlice",
    "Bounds",
    "Labelled",
    "Measurement",
    "PairedSlice",
    "Pairs",
    "Sample",
    "judge",
]
QUESTIONS = 5  # errors, latency, behaviour, false positives, recall


def judge(canary: Sample, reference: Sample, pairs: Pairs | None, bounds: Bounds) -> Analysis:
    """Compare the canary with its reference; `pairs` where both saw the same events (shadow)."""
    optional = (bounds.metrics.cpu_p50 is not None) + bool(bounds.metrics.guardrails)
    alpha = (1 - bounds.confidence) / bounds.judged_steps / (QUESTIONS + optional)
    questions = (
        errors(canary, reference, bounds, alpha),
        *latencies(canary, reference, bounds, alpha),
        *behaviour(canary, reference, pairs, bounds, alpha),
        *quality(canary, reference, pairs, bounds, alpha),
        *costs(canary, reference, bounds, alpha),
        *guardrails(canary, reference, bounds, alpha),
    )
    measured = answers(questions)
    verdict = worst([one.verdict for one in measured if one.required or one.verdict == "fail"])
    deciding = [
        one.reason
        for one in measured
        if one.verdict == verdict and (one.required or verdict == "fail")
    ]
    reason = "; ".join(deciding) or "no metric has a margin that a pass could be shown by"
    return Analysis(verdict, reason, canary.requests, canary.errors, measured)
