"""The shortlist holds what every arm would rank first in the whole pool."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from data_contracts.errors import BadInput
from pipelines.labelling.shortlist import CAMPAIGN_RANKED, FEATURES, RANKED, Shortlist, shortlist
from pipelines.tables import Backend, duckdb_backend, parquet
from tests.selection_pool import pool_table, written

ROWS = 1500
SMALL: dict[str, Any] = {
    "budget": 5, "seed": 7, "threshold": 0.6, "factor": 4, "representatives": 100,
}  # fmt: skip
EVERYTHING = {**SMALL, "factor": 1000, "representatives": ROWS}


@pytest.fixture(scope="module")
def backend(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    with duckdb_backend(tmp_path_factory.mktemp("scratch"), memory_gib=0.5) as opened:
        yield opened


@pytest.fixture(scope="module")
def pool() -> pa.Table:
    return pool_table(ROWS, seed=2)


@pytest.fixture(scope="module")
def reference() -> pa.Table:
    return pool_table(700, seed=3, day=4, campaigns=6)


@pytest.fixture
def choose(backend: Backend, reference: pa.Table, tmp_path: Path) -> Any:
    def chosen(pool: pa.Table, parts: int = 1, **options: Any) -> Shortlist:
        rows = parquet(backend, written(pool, tmp_path / "pool", parts))
        earlier = parquet(backend, written(reference, tmp_path / "reference"))
        return shortlist(rows, earlier, **{**SMALL, **options})

    return chosen


def test_every_arm_finds_what_it_would_rank_first_in_the_whole_pool(
    choose: Any, pool: pa.Table
) -> None:
    everything = choose(pool, **EVERYTHING).rows.to_pylist()
    assert len(everything) == ROWS
    best = {row["event_id"] for row in sorted(everything, key=_order)[:100]}
    for feature in RANKED:
        scored = [row for row in everything if row[feature] is not None]
        best |= {row["event_id"] for row in sorted(scored, key=lambda r: _falling(r, feature))[:20]}
    for feature in CAMPAIGN_RANKED:
        best |= _first_campaigns(everything, feature)
    short = choose(pool)
    assert short.rows["event_id"].to_pylist() == sorted(best)
    assert short.population == ROWS


def _order(row: dict[str, Any]) -> tuple[str, str]:
    return row["audit_order"], row["event_id"]


def _falling(row: dict[str, Any], feature: str) -> tuple[Any, ...]:
    return (-row[feature], *_order(row))


def _first_campaigns(rows: list[dict[str, Any]], feature: str) -> set[str]:
    """Campaign by campaign, four events of each, until 20 are offered."""
    values = {row["campaign"]: row[feature] for row in rows if row[feature] is not None}
    chosen: set[str] = set()
    for name in sorted(values, key=lambda name: (-values[name], name)):
        if len(chosen) >= 20:
            break
        own = sorted((row for row in rows if row["campaign"] == name), key=_order)
        chosen |= {row["event_id"] for row in own[:4]}
    return chosen


def test_features_of_a_chosen_event_are_those_of_the_whole_pool(
    choose: Any, pool: pa.Table
) -> None:
    everything = {row["event_id"]: row for row in choose(pool, **EVERYTHING).rows.to_pylist()}
    for row in choose(pool).rows.to_pylist():
        assert {name: row[name] for name in FEATURES} == {
            name: everything[row["event_id"]][name] for name in FEATURES
        }


def test_order_and_files_of_the_pool_change_nothing(choose: Any, pool: pa.Table) -> None:
    shuffled = pool.take(pa.array(np.random.default_rng(1).permutation(ROWS)))
    assert choose(shuffled, parts=5).rows.equals(choose(pool).rows)


def test_the_lowest_of_the_audit_order_are_the_representatives(choose: Any, pool: pa.Table) -> None:
    rows = choose(pool).rows.to_pylist()
    marked = {row["event_id"] for row in rows if row["representative"]}
    everything = choose(pool, **EVERYTHING).rows.to_pylist()
    assert marked == {row["event_id"] for row in sorted(everything, key=_order)[:100]}


def test_rows_carry_the_columns_of_the_pool_unchanged(choose: Any, pool: pa.Table) -> None:
    wider = pool.append_column("source", pa.array([f"s{row}" for row in range(ROWS)]))
    rows = choose(wider).rows
    stored = {row["event_id"]: row for row in wider.to_pylist()}
    assert rows.select(wider.column_names).to_pylist() == [
        stored[name] for name in rows["event_id"].to_pylist()
    ]


def test_arms_can_rank_by_columns_that_the_pool_brings(choose: Any, pool: pa.Table) -> None:
    shares = [None, float("nan"), *(row / ROWS for row in range(2, ROWS))]
    brought = pool.append_column("flip_share", pa.array(shares, pa.float64()))
    best = set(brought["event_id"].to_pylist()[-20:])
    assert best <= set(choose(brought, also=["flip_share"]).rows["event_id"].to_pylist())
    assert not best <= set(choose(brought).rows["event_id"].to_pylist())
    with pytest.raises(BadInput, match="pool lacks flip_share"):
        choose(pool, also=["flip_share"])


def test_another_seed_draws_another_audit(choose: Any, pool: pa.Table) -> None:
    one, other = (choose(pool, seed=seed).rows for seed in (1, 2))
    assert one["event_id"].to_pylist() != other["event_id"].to_pylist()


def test_a_pool_without_scores_embeddings_or_earlier_days_is_still_drawn_from(
    backend: Backend, pool: pa.Table, tmp_path: Path
) -> None:
    bare = pool.select(["event_id", "language", "occurred_at"])
    for name in ("score", "prefilter_score", "specialist_score"):
        bare = bare.append_column(name, pa.nulls(ROWS, pa.float64()))
    bare = bare.append_column("embedding", pa.nulls(ROWS, pa.list_(pa.float32())))
    short = shortlist(parquet(backend, written(bare, tmp_path)), **SMALL)
    assert short.rows.num_rows == 100
    assert short.rows["burst"].null_count == 100


def test_an_empty_reference_makes_nothing_new(
    backend: Backend, pool: pa.Table, tmp_path: Path
) -> None:
    rows = parquet(backend, written(pool, tmp_path / "pool"))
    none = parquet(backend, written(pool.slice(0, 0), tmp_path / "reference"))
    short = shortlist(rows, none, **SMALL).rows
    assert short["novelty"].null_count == short.num_rows
    assert short["burst"].null_count < short.num_rows


def test_a_pool_that_cannot_be_used_is_refused_with_the_remedy(
    choose: Any, backend: Backend, pool: pa.Table
) -> None:
    with pytest.raises(BadInput, match="pool lacks score and already has burst"):
        choose(pool.rename_columns([n if n != "score" else "burst" for n in pool.column_names]))
    with pytest.raises(BadInput, match="pool is empty"):
        choose(pool.slice(0, 0))
    mixed = pa.array([[1.0, 0.0]] * (ROWS // 2) + [[1.0]] * (ROWS // 2), pa.list_(pa.float32()))
    with pytest.raises(BadInput, match="embeddings of widths 1, 2"):
        choose(pool.set_column(pool.column_names.index("embedding"), "embedding", mixed))
    with pytest.raises(ValueError, match="budget 0"):
        choose(pool, budget=0)
    with pytest.raises(BadInput, match="no Parquet at nowhere"):
        parquet(backend, [Path("nowhere.parquet")])
