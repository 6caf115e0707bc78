"""Selection features on rows worked by hand, on DuckDB."""

from __future__ import annotations

import hashlib
import math
from datetime import UTC, datetime
from typing import Any

import ibis
import numpy as np
import pyarrow as pa
import pytest

from pipelines.labelling import selection_features as features

HOUR = 3600


def column(expression: Any) -> list[Any]:
    return ibis.duckdb.connect().to_pyarrow(expression).to_pylist()  # type: ignore[no-any-return]


def scores(**columns: list[float | None]) -> ibis.Table:
    return ibis.memtable(pa.table({name: pa.array(v, pa.float64()) for name, v in columns.items()}))


def test_the_order_of_the_audit_is_the_md5_of_seed_and_event() -> None:
    ids = ibis.memtable(pa.table({"event_id": ["a", "b"]}))
    expected = [hashlib.md5(f"7:{name}".encode()).hexdigest()[:12] for name in "ab"]  # noqa: S324
    assert column(features.audit_order(ids.event_id, 7)) == expected


def test_every_event_is_among_the_lowest_of_the_audit_order_equally_often() -> None:
    ids = ibis.memtable(pa.table({"event_id": [f"e{row}" for row in range(20)]}))
    orders = {f"s{seed}": features.audit_order(ids.event_id, seed) for seed in range(300)}
    found = ibis.duckdb.connect().to_pyarrow(ids.select(**orders))
    draws = np.zeros(20)
    for order in found.columns:
        draws[np.argsort(order.to_pylist())[:5]] += 1
    spread = math.sqrt(300 * 0.25 * 0.75)
    assert abs(draws - 75).max() < 4 * spread
    assert draws.sum() == 300 * 5


def test_a_score_outside_zero_to_one_or_not_a_number_is_none() -> None:
    table = scores(score=[0.0, 1.0, 1.5, -0.1, math.nan, math.inf, None])
    assert column(features.probability(table.score)) == [0.0, 1.0, *[None] * 5]


def test_uncertainty_is_highest_at_the_threshold_and_least_confidence_at_one_half() -> None:
    table = scores(score=[0.25, 0.75, 1.0, None])
    assert column(features.uncertainty(table.score, 0.75)) == [-0.5, 0.0, -0.25, None]
    assert column(features.least_confidence(table.score)) == [0.25, 0.25, 0.0, None]


def test_a_threshold_of_many_digits_is_compared_as_the_same_double() -> None:
    threshold = 0.1 + 0.2  # 0.30000000000000004
    table = scores(score=[threshold])
    assert column(features.uncertainty(table.score, threshold)) == [0.0]


def test_disagreement_is_the_variance_of_the_members_present() -> None:
    table = scores(a=[0.0, 0.5, 1.0, None], b=[1.0, 0.5, None, None], c=[0.5, 0.5, 0.0, 0.5])
    found = column(features.disagreement([table.a, table.b, table.c]))
    assert found == [pytest.approx(1 / 6), 0.0, 0.25, None]


def test_doubt_counts_only_where_the_prefilter_let_the_event_pass() -> None:
    table = scores(prefilter=[0.25, 0.5, 0.75, 0.25, None], specialist=[0.75, 1.0, 1.0, None, 1.0])
    found = column(features.doubt(table.prefilter, table.specialist, 0.5))
    assert found == [0.5, None, None, None, None]


def test_recency_is_the_age_in_hours_of_whole_seconds() -> None:
    times = [datetime(2026, 1, 5, 12, 0, 0, 999_999, UTC), datetime(2026, 1, 5, 10, 30, tzinfo=UTC)]
    table = ibis.memtable(pa.table({"at": pa.array(times, pa.timestamp("us", "UTC"))}))
    second = features.seconds(table.at)
    newest = int(times[0].timestamp())
    assert column(features.recency(second, newest)) == [0.0, 1.5]


def test_pairs_of_coordinates_are_disjoint_while_they_last() -> None:
    pairs = features.coordinate_pairs(64)
    assert len({place for pair in pairs for place in pair}) == 2 * features.CAMPAIGN_BITS
    assert pairs == features.coordinate_pairs(64)
    assert len(features.coordinate_pairs(3)) == features.CAMPAIGN_BITS
    with pytest.raises(ValueError, match="1 dimensions have no pair"):
        features.coordinate_pairs(1)


def test_a_campaign_is_the_language_and_which_of_two_coordinates_is_larger() -> None:
    rng = np.random.default_rng(3)
    vectors = rng.standard_normal((4, 40)).astype(np.float32)
    vectors[1] = vectors[0] * 2.0  # the same direction
    bits = [
        sum(
            1 << place
            for place, (i, j) in enumerate(features.coordinate_pairs(40))
            if row[i] > row[j]
        )
        for row in vectors
    ]
    embeddings = [*vectors.tolist(), None, [1.0, 2.0]]
    table = ibis.memtable(
        pa.table(
            {
                "embedding": pa.array(embeddings, pa.list_(pa.float32())),
                "language": ["en", "en", None, "tr", "en", "en"],
            }
        )
    )
    found = column(features.campaign(table.embedding, table.language, 40))
    assert found == [f"en:{bits[0]}", f"en:{bits[0]}", f":{bits[2]}", f"tr:{bits[3]}", None, None]


def counted(rows: list[tuple[str | None, int]], before: list[str] | None) -> dict[str, Any]:
    """Campaigns of (campaign, hour) rows."""
    pool = ibis.memtable(
        pa.table(
            {
                "campaign": pa.array([name for name, _ in rows], pa.string()),
                "second": pa.array([hour * HOUR for _, hour in rows], pa.int64()),
            }
        )
    )
    reference = None
    if before is not None:
        reference = ibis.memtable(pa.table({"campaign": pa.array(before, pa.string())}))
    table = features.campaigns(pool, reference, len(rows), len(before or []))
    return {row["campaign"]: row for row in column(table)}


def test_a_burst_is_measured_against_the_share_outside_its_busiest_hour() -> None:
    rows = [("a", 1)] * 6 + [("b", 1)] * 2 + [("a", 2)] + [("b", 2)] * 6 + [(None, 2)]
    found = counted(rows, ["a", "b", "b", "b"])
    assert found["a"]["campaign_size"] == 7
    # 8 of 16 rows fall into hour 1; outside are 4 earlier and 8 later rows, of which 2 are a's
    expected = 8 * 2 / 12
    anscombe = 2 * (math.sqrt(6 + 0.375) - math.sqrt(expected + 0.375))
    assert found["a"]["burst"] == pytest.approx(anscombe)
    assert None not in found


def test_novelty_compares_events_now_with_those_that_the_reference_leads_one_to_expect() -> None:
    rows = [("new", 1)] * 3 + [("old", 2)] * 3
    found = counted(rows, ["old", "old", "other"])
    assert found["new"]["novelty"] == 4.0
    assert found["old"]["novelty"] == (3 + 1) / (2 * 6 / 3 + 1)


def test_without_earlier_days_nothing_is_known_to_be_new_and_one_hour_is_no_burst() -> None:
    for before in (None, []):
        found = counted([("a", 1), ("a", 1)], before)
        assert found == {"a": {"campaign": "a", "campaign_size": 2, "burst": None, "novelty": None}}
