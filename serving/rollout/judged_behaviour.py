"""Whether the canary decides like its reference: disagreement, share acted on, scores.

These say that something changed, not that it is worse, so their bounds are wide.
"""

from __future__ import annotations

import numpy as np

from serving.rollout.confidence_sequences import Floats, rate_limits
from serving.rollout.judged_service import points
from serving.rollout.measurements import ALL, SCORE_CUTS, Bounds, Measurement, Pairs, Sample
from serving.rollout.questions import Comparison, Question, Seen, unmeasured, verdict_of

METRICS = 3


def behaviour(
    canary: Sample, reference: Sample, pairs: Pairs | None, bounds: Bounds, alpha: float
) -> list[Question | Measurement]:
    """Disagreement (where there are pairs), share acted on, distribution of scores."""
    share = alpha / METRICS
    found: list[Question | Measurement] = (
        [] if pairs is None else [_disagreement(pairs, bounds, share)]
    )
    return [*found, _acted(canary, reference, pairs, bounds, share),
            _scores(canary, reference, bounds, share)]  # fmt: skip


def _disagreement(pairs: Pairs, bounds: Bounds, alpha: float) -> Measurement:
    bound = bounds.metrics.disagreement
    if pairs.events == 0:
        reason = "no event that both models decided"
        return unmeasured("disagreement", reason, bound, required=bound.is_awaited)
    share = pairs.disagreements / pairs.events
    low, high = rate_limits(pairs.disagreements, pairs.events, alpha)
    what = f"only one of both acts on {pairs.disagreements} of the same {pairs.events} events"
    seen = Seen("disagreement", what, share, None, share, low, high,
                pairs.events, bounds.minimum_requests)  # fmt: skip
    return verdict_of(seen, bound, points, required=bound.is_awaited)


def _acted(
    canary: Sample, reference: Sample, pairs: Pairs | None, bounds: Bounds, alpha: float
) -> Question | Measurement:
    """Share of events acted on, more or less: from disputed events where there are pairs."""
    bound = bounds.metrics.acted
    if pairs is not None and ALL in pairs.slices:
        both = pairs.slices[ALL]
        arms = (both.only_canary.events + both.both.events,
                both.only_reference.events + both.both.events)  # fmt: skip
        sizes = both.events, both.events
        differing = both.only_canary.events, both.only_reference.events
    elif pairs is None and ALL in canary.slices and ALL in reference.slices:
        both_arms = canary.slices[ALL], reference.slices[ALL]
        arms = differing = both_arms[0].acted.events, both_arms[1].acted.events
        sizes = both_arms[0].events, both_arms[1].events
    else:
        return unmeasured("acted", "no decisions", bound, required=bound.is_awaited)
    if min(sizes) == 0:
        reason = f"{sizes[0]} canary and {sizes[1]} reference decisions"
        return unmeasured("acted", reason, bound, required=bound.is_awaited)
    p, q = arms[0] / sizes[0], arms[1] / sizes[1]
    what = f"acts on {p:.2%} of the events against {q:.2%}, a change of"

    def answer(low: Floats, high: Floats) -> Measurement:
        harm, least, most = _size(p - q, float(low[0]), float(high[0]))
        seen = Seen("acted", what, p, q, harm, least, most, min(sizes), bounds.minimum_requests)
        return verdict_of(seen, bound, points, required=bound.is_awaited)

    return Question([Comparison(differing[0], sizes[0], differing[1], sizes[1], alpha)], answer)


def _scores(
    canary: Sample, reference: Sample, bounds: Bounds, alpha: float
) -> Question | Measurement:
    """Largest difference of the shares that reach a cut (Kolmogorov-Smirnov on a grid)."""
    bound = bounds.metrics.scores
    sizes = sum(canary.scores or ()), sum(reference.scores or ())
    if canary.scores is None or reference.scores is None or min(sizes) == 0:
        reason = f"scores of {sizes[0]} canary and {sizes[1]} reference decisions"
        return unmeasured("scores", reason, bound, required=bound.is_awaited)
    reached = [_reaching(scores) for scores in (canary.scores, reference.scores)]
    shares = reached[0] / sizes[0], reached[1] / sizes[1]
    differences = shares[0] - shares[1]
    at = int(np.argmax(np.abs(differences)))
    what = f"the shares of scores from {SCORE_CUTS[at]} differ most, by"

    def answer(low: Floats, high: Floats) -> Measurement:
        sized = [_size(*one) for one in zip(differences, low, high, strict=True)]
        harm, least, most = (max(column) for column in zip(*sized, strict=True))
        seen = Seen("scores", what, float(shares[0][at]), float(shares[1][at]), harm, least, most,
                    min(sizes), bounds.minimum_requests)  # fmt: skip
        return verdict_of(seen, bound, points, required=bound.is_awaited)

    share = alpha / len(SCORE_CUTS)
    return Question(
        [Comparison(k1, sizes[0], k2, sizes[1], share) for k1, k2 in zip(*reached, strict=True)],
        answer,
    )


def _reaching(counts: tuple[int, ...]) -> np.ndarray:
    """How many scores reach each cut, float64[cuts]."""
    return np.cumsum(counts[::-1])[::-1][1:].astype(np.float64)


def _size(difference: float, low: float, high: float) -> tuple[float, float, float]:
    """Of a difference whose sign does not matter."""
    least = max(low, -high, 0.0)
    return abs(float(difference)), float(least), float(max(-low, high))
