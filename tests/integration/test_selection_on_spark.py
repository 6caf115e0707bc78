"""The same selection on Spark and on DuckDB: the same rows, with the same features."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pipelines.labelling.shortlist import shortlist
from pipelines.tables import Backend, duckdb_backend, parquet, spark_backend
from tests.selection_pool import pool_table, written

pytestmark = [
    pytest.mark.services,
    pytest.mark.skipif(shutil.which("java") is None, reason="Spark needs Java 17: none on PATH"),
]
OPTIONS: dict[str, Any] = {
    "budget": 100, "seed": 7, "threshold": 0.6, "factor": 5, "representatives": 2000,
}  # fmt: skip


@pytest.fixture(scope="module")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    with spark_backend(tmp_path_factory.mktemp("spark"), memory_gib=1, partitions=4) as opened:
        yield opened


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Path], list[Path]]:
    folder = tmp_path_factory.mktemp("pool")
    pool = written(pool_table(20_000, seed=4), folder / "pool", parts=3)
    return pool, written(pool_table(5000, seed=5, day=4, campaigns=6), folder / "reference")


def chosen(backend: Backend, files: tuple[list[Path], list[Path]]) -> pa.Table:
    pool, reference = (parquet(backend, paths) for paths in files)
    return shortlist(pool, reference, **OPTIONS).rows


def test_spark_and_duckdb_choose_the_same_rows_with_bitwise_equal_features(
    spark: Backend, files: tuple[list[Path], list[Path]], tmp_path: Path
) -> None:
    with duckdb_backend(tmp_path) as embedded:
        expected = chosen(embedded, files)
    found = chosen(spark, files)
    assert found.column_names == expected.column_names
    differing = [
        name
        for name in expected.column_names
        if not found[name].combine_chunks().equals(expected[name].combine_chunks())
    ]
    assert differing == []
    assert 2000 < found.num_rows < 20_000
