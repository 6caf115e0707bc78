"""The interface of a gate, and how verdicts are put together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from data_contracts.events import Event
from data_contracts.protocols import Assessor
from data_contracts.reports import GateReport, GateVerdict, Metric, worst
from evaluation.gates.origin import NOTHING_KNOWN, Origin
from evaluation.gates.policy import Rule
from evaluation.gates.suite import Suite
from evaluation.metrics import Booleans, Estimate, Floats

BATCH = 256


@dataclass(frozen=True)
class Contender:
    """A model with the name that reports call it by, and what is known of its training."""

    name: str
    assessor: Assessor
    origin: Origin = NOTHING_KNOWN


@dataclass(frozen=True)
class Answers:
    """What one model said: `scores: float64[n]`, `positive: bool[n]` (any action but allow)."""

    scores: Floats
    positive: Booleans

    def where(self, chosen: Booleans) -> Answers:
        return Answers(self.scores[chosen], self.positive[chosen])


class Gate(Protocol):
    """Judges a model on a suite, beside the champion where there is one."""

    name: str

    def judge(
        self, suite: Suite, model: Contender, champion: Contender | None, rng: np.random.Generator
    ) -> GateReport: ...


def answers(contender: Contender, events: Sequence[Event]) -> Answers:
    """The model's own inference over the events, in their order, in batches of BATCH.

    An assessor that divides the work itself says so: its `batch` is None.
    """
    batch = getattr(contender.assessor, "batch", BATCH) or max(len(events), 1)
    assessed = [
        assessment
        for start in range(0, len(events), batch)
        for assessment in contender.assessor.assess(events[start : start + batch])
    ]
    return Answers(
        np.array([assessment.score for assessment in assessed], dtype=np.float64),
        np.array([assessment.is_positive for assessment in assessed], dtype=bool),
    )


def measured(
    name: str,
    estimate: Estimate,
    sample_size: int,
    rule: Rule | None = None,
    *,
    part: str = "all",
    verdict: GateVerdict | None = None,
) -> Metric:
    """A figure with its verdict under `rule`; only shown where there is no rule.

    `verdict` stands in for the rule's own where a test decides, for example one of several.
    """
    return Metric(
        name=name,
        value=estimate.value,
        low=estimate.low,
        high=estimate.high,
        sample_size=sample_size,
        bound=rule.bound if rule else None,
        direction=rule.direction if rule else None,
        slice=part,
        verdict=verdict or (rule.judge(estimate) if rule else None),
    )


def counted(name: str, count: int, minimum: int) -> Metric:
    """A number of cases against the number that the gate needs."""
    enough: GateVerdict = "pass" if count >= minimum else "not_enough_evidence"
    return Metric(
        name=name, value=float(count), sample_size=count, bound=float(minimum),
        direction="at_least", verdict=enough,
    )  # fmt: skip


def report(
    gate: str,
    suite: Suite,
    model: Contender,
    metrics: Sequence[Metric],
    details: Mapping[str, Any],
    notes: Sequence[str] = (),
) -> GateReport:
    """The report whose verdict is the worst of its judged figures, with a reason for each no."""
    judged = [metric.verdict for metric in metrics if metric.verdict is not None]
    return GateReport(
        gate=gate,
        verdict=worst(judged),
        metrics=tuple(metrics),
        reasons=(*map(_reason, (m for m in metrics if m.verdict not in (None, "pass"))), *notes),
        model=model.name,
        datasets=suite.datasets,
        suite_version=suite.version,
        details={"cases": len(suite.cases), "left_out_as_near_duplicates": suite.left_out}
        | dict(details),
    )


def _reason(metric: Metric) -> str:
    where = "" if metric.slice == "all" else f" ({metric.slice})"
    asked = {"at_least": "at least", "at_most": "at most"}.get(metric.direction or "", "")
    interval = "" if metric.low is None else f" [{metric.low:.3f}, {metric.high:.3f}]"
    said = "fails" if metric.verdict == "fail" else "not enough evidence"
    return (
        f"{metric.name}{where} {said}: {metric.value:.3f}{interval} on {metric.sample_size} cases, "
        f"asked {asked} {metric.bound:g}"
    )
