"""What makes an event worth a reviewer's time, as Ibis expressions that every engine runs alike.

Ranks must not depend on the engine, so nothing here needs more than comparisons, whole counts,
md5, and the arithmetic that IEEE 754 rounds correctly (+ - * / and square root): no logarithm,
and no sum of floats over rows. A null or out-of-range score is no score.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from operator import add

import ibis
import numpy as np
from ibis.expr.types import (
    ArrayValue,
    FloatingValue,
    IntegerValue,
    NumericValue,
    StringValue,
    TimestampValue,
)

ORDER_CHARACTERS = 12  # 48 bits, which DuckDB keeps inside the string; ties fall by event_id
CAMPAIGN_BITS = 16
PAIR_SEED = 20_110_911  # part of the key's definition: another seed makes other campaigns
SECONDS_AN_HOUR = 3600


def audit_order(event_id: StringValue, seed: int) -> StringValue:
    """A uniform number for each event, 12 hexadecimal digits that sort as it does.

    The n lowest of N are a uniform draw without replacement, with inclusion probability n / N,
    on any engine and however the rows are stored: "bottom-k" sampling, E. Cohen and H. Kaplan,
    "Summarizing Data Using Bottom-k Sketches", PODC 2007.
    """
    return ibis.literal(f"{seed}:").concat(event_id).hexdigest("md5").left(ORDER_CHARACTERS)


def probability(score: NumericValue) -> FloatingValue:
    """The score where it is one, else null; NaN, which Parquet may hold, is none either."""
    return score.between(0, 1).ifelse(score, ibis.null("float64"))


def uncertainty(score: FloatingValue, threshold: float) -> FloatingValue:
    """Closeness to the operating threshold, at most 0."""
    return -(score - _exactly(threshold)).abs()


def least_confidence(score: FloatingValue) -> FloatingValue:
    """One less the probability of the likelier class, at most 0.5; entropy ranks as it does."""
    return _exactly(0.5) - (score - _exactly(0.5)).abs()


def disagreement(scores: Sequence[FloatingValue]) -> FloatingValue:
    """Variance of the members' scores; null where fewer than two are present.

    H. S. Seung et al., "Query by Committee", COLT 1992. Computed from pairwise differences,
    sum (a - b)^2 / m^2, so that an absent member leaves no trace.
    """
    pairs = [
        (one - other) * (one - other)
        for position, one in enumerate(scores)
        for other in scores[:position]
    ]
    members = reduce(add, (score.notnull().cast("int64") for score in scores))
    total = reduce(add, (pair.fill_null(0.0) for pair in pairs))
    return (members > 1).ifelse(total / (members * members), ibis.null("float64"))


def doubt(prefilter: FloatingValue, specialist: FloatingValue, threshold: float) -> FloatingValue:
    """How much more a specialist suspects what the prefilter let pass; null elsewhere."""
    passed = prefilter < _exactly(threshold)
    return passed.ifelse(specialist - prefilter, ibis.null("float64"))


def seconds(occurred_at: TimestampValue) -> IntegerValue:
    """Whole seconds since 1970; divided, because DuckDB's epoch has a fraction."""
    return occurred_at.epoch_seconds() // 1


def recency(second: IntegerValue, newest: int) -> FloatingValue:
    """Age in hours before the pool's newest event (`newest`, in seconds since 1970)."""
    return (ibis.literal(newest, "int64") - second) / SECONDS_AN_HOUR


def coordinate_pairs(dimensions: int, bits: int = CAMPAIGN_BITS) -> list[tuple[int, int]]:
    """The coordinates that a campaign's key compares: fixed, disjoint while they last."""
    if dimensions < 2:
        raise ValueError(f"embeddings of {dimensions} dimensions have no pair; give 2 or more")
    rng = np.random.default_rng(PAIR_SEED)
    pairs: list[tuple[int, int]] = []
    while len(pairs) < bits:
        order = rng.permutation(dimensions)[: dimensions // 2 * 2].reshape(-1, 2)
        pairs += [(int(one), int(other)) for one, other in order]
    return pairs[:bits]


def campaign(embedding: ArrayValue, language: StringValue, dimensions: int) -> StringValue:
    """Language and locality-sensitive key, "en:40961"; null where no such embedding is.

    Winner-take-all hash with K = 2: a bit says which of two coordinates is larger, so close
    vectors agree on most, and all engines on all. J. Yagnik et al., "The Power of Comparative
    Reasoning", ICCV 2011.
    """
    bits = [
        (embedding[one] > embedding[other]).ifelse(1 << place, 0)
        for place, (one, other) in enumerate(coordinate_pairs(dimensions))
    ]
    key = language.fill_null("").concat(":", reduce(add, bits).cast("string"))
    return (embedding.length() == dimensions).ifelse(key, ibis.null("string"))


def campaigns(
    rows: ibis.Table, reference: ibis.Table | None, population: int, earlier: int
) -> ibis.Table:
    """`campaign, campaign_size, burst, novelty`: one row for each campaign of the pool.

    `rows` has `campaign` and `second`, `reference` (None: no earlier days) has `campaign`;
    `population` and `earlier` count their rows.

    burst: n events in the campaign's busiest hour, against E expected of its share outside that
    hour (earlier days and the rest of this one), as 2 (sqrt(n + 3/8) - sqrt(E + 3/8)): about
    standard normal when nothing happens. F. J. Anscombe, "The Transformation of Poisson, Binomial
    and Negative-Binomial Data", Biometrika 35 (1948); the question is J. Kleinberg's, "Bursty and
    Hierarchical Structure in Streams", KDD 2002. Null where all events fall into one hour.

    novelty: (n + 1) / (E + 1), n the campaign's events now and E those that its earlier share
    leads one to expect. Its logarithm is the smoothed log ratio of shares and ranks alike. Null
    where there is no reference: nothing is known to be new.
    """
    in_hours = _by_hour(rows.filter(rows.campaign.notnull()), "campaign")
    hours = _by_hour(rows).rename(hour_rows="in_hour")
    sizes = in_hours.group_by("campaign").aggregate(
        campaign_size=in_hours.in_hour.sum().cast("int64")
    )
    counted = in_hours.inner_join(hours, "hour").inner_join(_known(sizes, reference), "campaign")
    busiest = (
        counted.mutate(burst=_burst(counted, population + earlier))
        .group_by("campaign", "campaign_size", "before")
        .aggregate(burst=lambda row: row.burst.max())
    )
    return busiest.select(
        "campaign", "campaign_size", "burst", novelty=_novelty(busiest, population, earlier)
    )


def _by_hour(rows: ibis.Table, *keys: str) -> ibis.Table:
    return rows.group_by(*keys, hour=rows.second // SECONDS_AN_HOUR).aggregate(in_hour=rows.count())


def _known(sizes: ibis.Table, reference: ibis.Table | None) -> ibis.Table:
    """Each campaign with its size and `before`, how often the reference has it."""
    if reference is None:
        return sizes.mutate(before=ibis.literal(0, "int64"))
    before = reference.group_by("campaign").aggregate(before=reference.count())
    joined = sizes.left_join(before, "campaign")
    return joined.select("campaign", "campaign_size", before=joined.before.fill_null(0))


def _burst(row: ibis.Table, total: int) -> FloatingValue:
    outside = (row.before + row.campaign_size - row.in_hour) * row.hour_rows
    expected = outside / (ibis.literal(total, "int64") - row.hour_rows).nullif(0)
    return 2.0 * ((row.in_hour + 0.375).sqrt() - (expected + 0.375).sqrt())


def _novelty(row: ibis.Table, population: int, earlier: int) -> FloatingValue:
    if earlier == 0:
        return ibis.null("float64")
    expected = (row.before * population) / ibis.literal(earlier, "int64")
    return (row.campaign_size + 1) / (expected + 1.0)


def _exactly(number: float) -> FloatingValue:
    """A double that is read from its digits: some engines take a bare literal for a decimal."""
    return ibis.literal(repr(float(number))).cast("float64")
