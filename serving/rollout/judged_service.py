"""How the canary serves: errors, latency quantiles, cost of a request, business guardrails."""

from __future__ import annotations

from collections.abc import Mapping

from data_contracts.config import MetricBound
from serving.rollout.confidence_sequences import Floats
from serving.rollout.latency_histogram import QuantileRatios, histogram
from serving.rollout.measurements import Bounds, Measurement, Sample
from serving.rollout.questions import Comparison, Question, Seen, unmeasured, verdict_of

LATENCY_QUANTILES: Mapping[str, float] = {
    "latency_p50": 0.5,
    "latency_p95": 0.95,
    "latency_p99": 0.99,
}
_CPU_QUANTILE = 0.5


def points(value: float) -> str:
    """A share or a difference of shares.

    >>> points(0.00512)
    '+0.51%'
    """
    return f"{value:+.2%}"


def ratio(value: float) -> str:
    return f"×{value:.2f}"


def errors(
    canary: Sample, reference: Sample, bounds: Bounds, alpha: float
) -> Question | Measurement:
    """Share of requests that went wrong, as a difference."""
    counts = canary.errors, reference.errors
    return _rates("errors", "error rate", counts, canary, reference, bounds,
                  bounds.metrics.errors, alpha)  # fmt: skip


def guardrails(
    canary: Sample, reference: Sample, bounds: Bounds, alpha: float
) -> list[Question | Measurement]:
    """Rates of appeals, reports and what else the business counts, as differences."""
    configured = bounds.metrics.guardrails
    found: list[Question | Measurement] = []
    for name, bound in configured.items():
        arms = canary.guardrails.get(name), reference.guardrails.get(name)
        if arms[0] is None or arms[1] is None:
            found.append(unmeasured(name, "was not measured", bound, required=bound.is_awaited))
            continue
        counts = arms[0], arms[1]
        share = alpha / len(configured)
        found.append(_rates(name, name, counts, canary, reference, bounds, bound, share))
    return found


def latencies(canary: Sample, reference: Sample, bounds: Bounds, alpha: float) -> list[Measurement]:
    """Quantiles of the time that good answers took, as ratios."""
    arms = histogram(canary.milliseconds), histogram(reference.milliseconds)
    ratios = QuantileRatios(*arms)
    seen = min(canary.requests, reference.requests)
    return [
        _quantile(name, ratios, quantile, seen, bounds, getattr(bounds.metrics, name),
                  alpha / len(LATENCY_QUANTILES))
        for name, quantile in LATENCY_QUANTILES.items()
    ]  # fmt: skip


def costs(canary: Sample, reference: Sample, bounds: Bounds, alpha: float) -> list[Measurement]:
    """CPU time of the median request, as a ratio; nothing where no bound is configured."""
    bound = bounds.metrics.cpu_p50
    if bound is None:
        return []
    if canary.cpu_milliseconds is None or reference.cpu_milliseconds is None:
        return [unmeasured("cpu_p50", "was not measured", bound, required=bound.is_awaited)]
    ratios = QuantileRatios(canary.cpu_milliseconds, reference.cpu_milliseconds)
    return [_quantile("cpu_p50", ratios, _CPU_QUANTILE, min(ratios.sizes), bounds, bound, alpha)]


def _rates(
    metric: str,
    name: str,
    counts: tuple[int, int],
    canary: Sample,
    reference: Sample,
    bounds: Bounds,
    bound: MetricBound,
    alpha: float,
) -> Question | Measurement:
    arms = canary.requests, reference.requests
    if missing := _missing(*arms):
        return unmeasured(metric, missing, bound, required=bound.is_awaited)
    p, q = (count / requests for count, requests in zip(counts, arms, strict=True))
    what = f"{name} {p:.2%} ({counts[0]}/{arms[0]}) against {q:.2%} ({counts[1]}/{arms[1]})"

    def answer(low: Floats, high: Floats) -> Measurement:
        seen = Seen(metric, what, p, q, p - q, float(low[0]), float(high[0]),
                    min(arms), bounds.minimum_requests)  # fmt: skip
        return verdict_of(seen, bound, points, required=bound.is_awaited)

    return Question([Comparison(counts[0], arms[0], counts[1], arms[1], alpha)], answer)


def _quantile(
    metric: str,
    ratios: QuantileRatios,
    quantile: float,
    seen: int,
    bounds: Bounds,
    bound: MetricBound,
    alpha: float,
) -> Measurement:
    if missing := _missing(*ratios.sizes):
        return unmeasured(metric, missing, bound, required=bound.is_awaited)
    value, against = ratios.values(quantile)
    low, high = ratios.limits(quantile, alpha)
    what = f"{metric} {value:.1f} ms against {against:.1f} ms"
    found = Seen(metric, what, value, against, value / against, low, high, seen,
                 bounds.minimum_requests)  # fmt: skip
    return verdict_of(found, bound, ratio, required=bound.is_awaited)


def _missing(canary: int, reference: int) -> str:
    if canary == 0 and reference == 0:
        return "no traffic"
    if min(canary, reference) == 0:
        return f"no traffic for one arm ({canary} canary, {reference} reference requests)"
    return ""
