"""From counts to an interval to a verdict in words: the rule that every metric follows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf
from typing import NamedTuple

import numpy as np

from data_contracts.config import MetricBound
from data_contracts.reports import GateVerdict
from serving.rollout.confidence_sequences import Floats, difference_limits
from serving.rollout.measurements import Measurement


class Comparison(NamedTuple):
    """Two rates as counts of events among trials, and the error allowed to each side."""

    k1: float
    n1: float
    k2: float
    n2: float
    alpha: float


@dataclass(frozen=True)
class Question:
    """A metric whose answer needs the limits of some differences, float64[comparisons] each."""

    comparisons: Sequence[Comparison]
    answer: Callable[[Floats, Floats], Measurement]


def answers(questions: Sequence[Question | Measurement]) -> tuple[Measurement, ...]:
    """All limits are found in one go, which is several times faster than one by one."""
    asked = [one for one in questions if isinstance(one, Question)]
    table = np.array([row for one in asked for row in one.comparisons], np.float64)
    low, high = difference_limits(*table.reshape(-1, len(Comparison._fields)).T)
    found, start = [], 0
    for one in questions:
        if isinstance(one, Measurement):
            found.append(one)
            continue
        end = start + len(one.comparisons)
        found.append(one.answer(low[start:end], high[start:end]))
        start = end
    return tuple(found)


@dataclass(frozen=True)
class Seen:
    """One metric as measured: harm is what grows with it, `show` writes it for people.

    `seen` of `needed` observations are there; `what` says what was counted.
    """

    metric: str
    what: str
    canary: float | None
    reference: float | None
    harm: float
    low: float
    high: float
    seen: float = inf
    needed: float = 0


def verdict_of(
    one: Seen, bound: MetricBound, show: Callable[[float], str], *, required: bool
) -> Measurement:
    """Hold the interval against tolerance and margin."""
    verdict, remark = _decide(one, bound, show, required=required)
    interval = f"{show(one.harm)} [{show(one.low)}, {show(one.high)}]"
    reason = f"{one.what}, {interval}, {_bounds(bound, show)}{remark}"
    return Measurement(
        one.metric,
        verdict,
        reason,
        one.canary,
        one.reference,
        one.harm,
        _finite(one.low),
        _finite(one.high),
        bound.tolerance,
        bound.margin,
        required,
    )


def unmeasured(metric: str, reason: str, bound: MetricBound, *, required: bool) -> Measurement:
    """A metric of which nothing is known."""
    return Measurement(
        metric, "not_enough_evidence", f"{metric}: {reason}", None, None, None, None, None,
        bound.tolerance, bound.margin, required,
    )  # fmt: skip


def _decide(
    one: Seen, bound: MetricBound, show: Callable[[float], str], *, required: bool
) -> tuple[GateVerdict, str]:
    if one.low > bound.tolerance:
        return "fail", ""
    if bound.margin is None:
        return "not_enough_evidence", "; not waited for"
    if one.seen < one.needed:
        return "not_enough_evidence", f"; {one.seen:.0f} of {one.needed:.0f} seen"
    if one.high <= bound.margin:
        return "pass", ""
    waiting = "" if required else "; not waited for"
    return "not_enough_evidence", f"; harm of {show(bound.margin)} is not excluded yet{waiting}"


def _bounds(bound: MetricBound, show: Callable[[float], str]) -> str:
    margin = "no margin" if bound.margin is None else f"margin {show(bound.margin)}"
    return f"tolerance {show(bound.tolerance)}, {margin}"


def _finite(value: float) -> float | None:
    return None if value in (inf, -inf) else float(value)
