"""The few events of a large pool that a sampler could choose, with all it needs to know of them.

Samplers work in memory on thousands of rows; a pool has millions. Every arm's best are found by
columns that are narrow, and only for those the embeddings are read: the pool is scanned twice
and never sorted with them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import ibis
import pyarrow as pa
import pyarrow.compute as pc

from data_contracts.errors import BadInput
from pipelines.labelling import selection_features as features
from pipelines.tables import arrow, held

COLUMNS = (
    "event_id", "score", "prefilter_score", "specialist_score", "language", "occurred_at",
    "embedding",
)  # fmt: skip
RANKED = ("uncertainty", "least_confidence", "disagreement", "doubt")
CAMPAIGN_RANKED = ("burst", "novelty")
FEATURES = ("audit_order", *RANKED, "campaign", "campaign_size", *CAMPAIGN_RANKED, "recency")


@dataclass(frozen=True)
class Shortlist:
    """`rows`: the pool's columns, FEATURES and `representative`, sorted by event_id.

    The lowest `audit_order` of `rows` are the lowest of the whole pool, of `population` events:
    the first n of them are a uniform draw with inclusion probability n / population, and those
    marked `representative` a uniform subsample to measure diversity on.
    """

    rows: pa.Table
    population: int


def shortlist(
    pool: ibis.Table,
    reference: ibis.Table | None = None,
    *,
    budget: int,
    seed: int,
    threshold: float,
    factor: int = 20,
    representatives: int = 50_000,
    also: Sequence[str] = (),
) -> Shortlist:
    """What every arm would rank first: `factor * budget` events each, and a uniform subsample.

    Ties fall by audit_order, then event_id. Of one campaign `burst` and `novelty` take `factor`
    events, so that they offer at least `budget` campaigns. `reference` holds earlier days (None
    or empty: there are none). `also` names numeric columns of the pool that arms rank by, too
    (`flip_share`, `evasion_similarity`). Raises BadInput for a table without the needed columns.
    """
    if min(budget, factor, representatives) < 1:
        raise ValueError(
            f"budget {budget}, factor {factor}, representatives {representatives}: give 1 or more"
        )
    _check(pool, "pool", (*COLUMNS, *also))
    dimensions = _dimensions(pool)
    with held(_signals(pool, seed, threshold, dimensions, also)) as rows:
        population, newest = _extent(rows)
        with held(_campaigns(rows, reference, population, dimensions)) as campaigns:
            most = factor * budget
            drawn = rows.order_by("audit_order", "event_id").limit(max(most, representatives))
            best = [_best(rows, feature, most) for feature in (*RANKED, *also)]
            busy = [_busiest(rows, campaigns, name, most, factor) for name in CAMPAIGN_RANKED]
            arms = (arm.select("event_id") for arm in (drawn, *best, *busy))
            wanted = ibis.union(*arms, distinct=True)
            told = rows.semi_join(wanted, "event_id").left_join(campaigns, "campaign")
            told = told.mutate(recency=features.recency(told.second, newest))
            with held(told.select("event_id", *FEATURES)) as chosen:
                joined = pool.inner_join(chosen, "event_id")
                found = arrow(joined.select(*pool.columns, *FEATURES))
    _check_widths(found["embedding"])
    return Shortlist(_marked(found, representatives), population)


def _check(table: ibis.Table, what: str, needed: tuple[str, ...]) -> None:
    missing = [column for column in needed if column not in table.columns]
    taken = [column for column in (*FEATURES, "representative") if column in table.columns]
    if missing or taken:
        raise BadInput(
            f"{what} lacks {', '.join(missing) or 'nothing'} and already has "
            f"{', '.join(taken) or 'no feature'}; give the columns {', '.join(needed)}"
        )


def _dimensions(pool: ibis.Table) -> int | None:
    """The width of the first embedding; None where no event has one."""
    known = pool.filter(pool.embedding.notnull()).limit(1)
    widths = arrow(known.select(width=known.embedding.length()))["width"].to_pylist()
    return int(widths[0]) if widths else None


def _check_widths(embeddings: pa.ChunkedArray) -> None:
    widths = pc.unique(pc.drop_null(pc.list_value_length(embeddings))).to_pylist()
    if len(widths) > 1:
        raise BadInput(
            f"pool has embeddings of widths {', '.join(map(str, sorted(widths)))}; embed all "
            "events with one encoder"
        )


def _signals(
    pool: ibis.Table, seed: int, threshold: float, dimensions: int | None, also: Sequence[str]
) -> ibis.Table:
    """The narrow table that arms rank: a row for each event, without its embedding."""
    score, prefilter, specialist = (
        features.probability(pool[column])
        for column in ("score", "prefilter_score", "specialist_score")
    )
    return pool.select(
        "event_id",
        audit_order=features.audit_order(pool.event_id, seed),
        second=features.seconds(pool.occurred_at),
        uncertainty=features.uncertainty(score, threshold),
        least_confidence=features.least_confidence(score),
        disagreement=features.disagreement([score, prefilter, specialist]),
        doubt=features.doubt(prefilter, specialist, threshold),
        campaign=_campaign(pool, dimensions),
        **{column: _finite(pool[column]) for column in also},
    )


def _finite(values: ibis.expr.types.NumericValue) -> ibis.expr.types.FloatingValue:
    """Null where not a number: engines would rank that above all others."""
    number = values.cast("float64")
    return number.isnan().ifelse(ibis.null("float64"), number)


def _campaign(table: ibis.Table, dimensions: int | None) -> ibis.expr.types.StringValue:
    if dimensions is None:
        return ibis.null("string")
    return features.campaign(table.embedding, table.language, dimensions)


def _extent(rows: ibis.Table) -> tuple[int, int]:
    """How many events there are, and the second of the newest."""
    found = arrow(rows.aggregate(population=rows.count(), newest=rows.second.max())).to_pylist()[0]
    if found["newest"] is None:
        raise BadInput("pool is empty or has no occurred_at; give it the events of a day")
    return int(found["population"]), int(found["newest"])


def _campaigns(
    rows: ibis.Table, reference: ibis.Table | None, population: int, dimensions: int | None
) -> ibis.Table:
    if reference is None:
        return features.campaigns(rows, None, population, 0)
    _check(reference, "reference", ("language", "embedding"))
    earlier = int(arrow(reference.aggregate(rows=reference.count()))["rows"][0].as_py())
    keys = reference.select(campaign=_campaign(reference, dimensions))
    return features.campaigns(rows, keys, population, earlier)


def _best(rows: ibis.Table, feature: str, most: int) -> ibis.Table:
    scored = rows.filter(rows[feature].notnull())
    return scored.order_by(ibis.desc(feature), "audit_order", "event_id").limit(most)


def _busiest(
    rows: ibis.Table, campaigns: ibis.Table, feature: str, most: int, of_one: int
) -> ibis.Table:
    """The first campaigns by the feature until they offer `most` events, `of_one` from each."""
    offered = ibis.least(campaigns.campaign_size, of_one)
    ahead = ibis.window(order_by=[ibis.desc(feature), "campaign"], preceding=(None, 1))
    first = (
        campaigns.filter(campaigns[feature].notnull())
        .mutate(offered=offered)
        .mutate(ahead=lambda t: t.offered.sum().over(ahead).fill_null(0))
        .filter(lambda t: t.ahead < most)
    )
    place = ibis.row_number().over(
        ibis.window(group_by="campaign", order_by=["audit_order", "event_id"])
    )
    return rows.semi_join(first, "campaign").mutate(place=place).filter(lambda t: t.place < of_one)


def _marked(found: pa.Table, representatives: int) -> pa.Table:
    """Sorted by event_id, with the `representatives` lowest in audit_order marked."""
    order = found.select(["audit_order", "event_id"])
    keys = [("audit_order", "ascending"), ("event_id", "ascending")]
    drawn = order.sort_by(keys).slice(0, representatives)["event_id"]
    marks = pc.is_in(found["event_id"], value_set=drawn.combine_chunks())
    return found.append_column("representative", marks).sort_by("event_id")
