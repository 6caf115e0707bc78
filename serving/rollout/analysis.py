"""The judge: canary against its reference, on plain samples. Pure.

Each metric says *pass*, *fail* or *not enough evidence*, with its values and its reason. It
fails when its interval lies wholly beyond the bound; it passes when enough was seen, the
interval does not, and the estimate itself is within the bound; in between it waits. Intervals
share the error allowed by `confidence` (Bonferroni). No traffic is never a pass.

Intervals: difference of error rates by Newcombe (1998, method 10); ratio of latency quantiles
from distribution-free order-statistic limits, combined on the log scale as MOVER does
(Donner & Zou 2012); disagreement by Clopper-Pearson.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import exp, inf, log, sqrt
from typing import Any, Literal

import numpy as np
from scipy.special import bdtr

from data_contracts.reports import GateVerdict, worst
from evaluation.metrics import clopper_pearson, newcombe_difference, wilson

EARLIEST_REQUESTS = 10  # an arm; below it no figure means anything
LATENCY_FLOOR_MILLISECONDS = 2.0  # faster than this is all the same to a client
LATENCY_QUANTILES = {"latency_p50": 0.5, "latency_p95": 0.95}


@dataclass(frozen=True)
class Sample:
    """What one arm answered: requests, how many went wrong, and how long the others took."""

    requests: int
    errors: int
    milliseconds: Sequence[float]


@dataclass(frozen=True)
class Pairs:
    """Distinct events that both models decided, and on how many only one of them acted.

    Acted is any action but allow, as monitoring counts it: how hard both act is not compared, for
    a model that has learnt more is surer, and that alone is no reason to stop it.
    """

    events: int
    disagreements: int


@dataclass(frozen=True)
class Bounds:
    """What the canary is held to; `minimum_requests` for each arm."""

    minimum_requests: int
    maximum_error_rate_increase: float
    maximum_latency_ratio: float
    maximum_disagreement: float
    confidence: float


@dataclass(frozen=True)
class Measurement:
    """One metric: the two arms' values, the estimate with its interval, and what it means.

    A limit of the interval is None where the data set none.
    """

    metric: str
    verdict: GateVerdict
    reason: str
    canary: float | None
    reference: float | None
    estimate: float | None
    low: float | None
    high: float | None
    bound: float


@dataclass(frozen=True)
class Analysis:
    """The verdict over all metrics, its reason, and what it rests on.

    `not_judged`: there was nothing to compare with (full), only counts.
    """

    verdict: GateVerdict | Literal["not_judged"]
    reason: str
    requests: int
    errors: int
    measurements: tuple[Measurement, ...] = ()

    def as_record(self) -> dict[str, Any]:
        """Plain JSON types."""
        return asdict(self)


def judge(canary: Sample, reference: Sample, pairs: Pairs | None, bounds: Bounds) -> Analysis:
    """Compare the canary with its reference; `pairs` where both saw the same events (shadow)."""
    metrics = 1 + len(LATENCY_QUANTILES) + (pairs is not None)
    alpha = (1 - bounds.confidence) / metrics
    measured = [_errors(canary, reference, bounds, alpha)]
    for name, quantile in LATENCY_QUANTILES.items():
        measured.append(_latency(name, quantile, canary, reference, bounds, alpha))
    if pairs is not None:
        measured.append(_disagreement(pairs, bounds, alpha))
    verdict = worst([one.verdict for one in measured])
    deciding = [one.reason for one in measured if one.verdict == verdict]
    return Analysis(verdict, "; ".join(deciding), canary.requests, canary.errors, tuple(measured))


def quantile_limits(
    values: Sequence[float], quantile: float, alpha: float
) -> tuple[float, float, float]:
    """The sample quantile and its distribution-free limits (order statistics).

    A limit that the sample cannot give is 0 or infinity.

    >>> quantile_limits(list(range(1, 11)), 0.5, 0.05)  # n = 10: the 2nd and 9th value
    (5.5, 2.0, 9.0)
    """
    ordered = np.sort(np.asarray(values, dtype=np.float64))
    n = len(ordered)
    at_most = bdtr(np.arange(n), n, quantile)  # P(at most k of n values lie below the quantile)
    below = int(np.searchsorted(at_most, alpha / 2, side="right"))
    above = int(np.searchsorted(at_most, 1 - alpha / 2, side="left")) + 1
    low = float(ordered[below - 1]) if below >= 1 else 0.0
    high = float(ordered[above - 1]) if above <= n else inf
    return float(np.quantile(ordered, quantile)), low, high


def _errors(canary: Sample, reference: Sample, bounds: Bounds, alpha: float) -> Measurement:
    bound = bounds.maximum_error_rate_increase
    missing = _missing("errors", canary.requests, reference.requests, EARLIEST_REQUESTS)
    if missing:
        return _unknown("errors", missing, bound)
    p, q = canary.errors / canary.requests, reference.errors / reference.requests
    difference = newcombe_difference(
        wilson(canary.errors, canary.requests, 1 - alpha),
        wilson(reference.errors, reference.requests, 1 - alpha),
    )
    low, high = difference.low, difference.high
    values = (
        f"error rate {p:.2%} ({canary.errors}/{canary.requests}) against {q:.2%} "
        f"({reference.errors}/{reference.requests}), difference {p - q:+.2%} "
        f"[{low:+.2%}, {high:+.2%}], bound {bound:+.2%}"
    )
    enough = min(canary.requests, reference.requests)
    verdict, reason = _decide(values, p - q, low, bound, enough, bounds.minimum_requests)
    return Measurement("errors", verdict, reason, p, q, p - q, low, high, bound)


def _latency(
    name: str, quantile: float, canary: Sample, reference: Sample, bounds: Bounds, alpha: float
) -> Measurement:
    """Ratio of a quantile, after raising what is below the floor to it."""
    bound = bounds.maximum_latency_ratio
    counts = len(canary.milliseconds), len(reference.milliseconds)
    missing = _missing(name, *counts, EARLIEST_REQUESTS)
    if missing:
        return _unknown(name, missing, bound)
    value, low_value, high_value = _floored(canary.milliseconds, quantile, alpha)
    against, low_against, high_against = _floored(reference.milliseconds, quantile, alpha)
    ratio = value / against
    low = ratio * exp(-_distance(log(value / low_value), _log(high_against / against)))
    high = ratio * exp(_distance(_log(high_value / value), log(against / low_against)))
    values = (
        f"{name} {value:.1f} ms against {against:.1f} ms, ratio {ratio:.2f} "
        f"[{low:.2f}, {high:.2f}], bound {bound:.2f}"
    )
    verdict, reason = _decide(values, ratio, low, bound, min(counts), bounds.minimum_requests)
    upper = None if high == inf else high
    return Measurement(name, verdict, reason, value, against, ratio, low, upper, bound)


def _disagreement(pairs: Pairs, bounds: Bounds, alpha: float) -> Measurement:
    bound = bounds.maximum_disagreement
    if pairs.events < EARLIEST_REQUESTS:
        missing = f"disagreement: {pairs.events} events that both models decided"
        return _unknown("disagreement", missing, bound)
    exact = clopper_pearson(pairs.disagreements, pairs.events, 1 - alpha)
    share, low, high = exact.value, exact.low, exact.high
    values = (
        f"only one of both acts on {share:.2%} ({pairs.disagreements}/{pairs.events}) of the same "
        f"events [{low:.2%}, {high:.2%}], bound {bound:.2%}"
    )
    verdict, reason = _decide(values, share, low, bound, pairs.events, bounds.minimum_requests)
    return Measurement("disagreement", verdict, reason, share, None, share, low, high, bound)


def _decide(
    values: str, estimate: float, low: float, bound: float, seen: int, needed: int
) -> tuple[GateVerdict, str]:
    if low > bound:
        return "fail", values
    if seen < needed:
        return "not_enough_evidence", f"{values}; {seen} of {needed} seen"
    if estimate > bound:
        return "not_enough_evidence", f"{values}; beyond the bound, but that may be chance"
    return "pass", values


def _missing(name: str, canary: int, reference: int, needed: int) -> str:
    if canary == 0 and reference == 0:
        return f"{name}: no traffic"
    if min(canary, reference) < needed:
        return f"{name}: {canary} canary and {reference} reference requests, at least {needed}"
    return ""


def _unknown(name: str, reason: str, bound: float) -> Measurement:
    return Measurement(name, "not_enough_evidence", reason, None, None, None, None, None, bound)


def _floored(
    milliseconds: Sequence[float], quantile: float, alpha: float
) -> tuple[float, float, float]:
    value, low, high = quantile_limits(milliseconds, quantile, alpha)
    floor = LATENCY_FLOOR_MILLISECONDS
    return max(value, floor), max(low, floor), max(high, floor)


def _log(value: float) -> float:
    return inf if value == inf else log(value)


def _distance(one: float, other: float) -> float:
    return sqrt(one * one + other * other)
