"""A seeded pool of events as selection reads it, for tests: campaigns over a background."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

WIDTH = 16
LANGUAGES = ("en", "tr", "zh", None)
DAY_MICROSECONDS = 86_400_000_000


def pool_table(rows: int, seed: int, *, day: int = 5, campaigns: int = 12) -> pa.Table:
    """`rows` events of a day; a third of them in campaigns, some without score or embedding."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(1).standard_normal((campaigns, WIDTH))
    member = np.where(rng.random(rows) < 1 / 3, rng.integers(0, campaigns, rows), -1)
    vectors = rng.standard_normal((rows, WIDTH))
    vectors[member >= 0] = centres[member[member >= 0]] + 0.02 * vectors[member >= 0]
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    embedding = [None if rng.random() < 0.01 else row.astype(np.float32) for row in vectors]
    start = int(datetime(2026, 1, day, tzinfo=UTC).timestamp() * 1e6)
    return pa.table(
        {
            "event_id": [f"e{row:07d}" for row in rng.permutation(rows)],
            "score": _scores(rng, rows, 0.05),
            "prefilter_score": _scores(rng, rows, 0.1),
            "specialist_score": _scores(rng, rows, 0.5),
            "language": pa.array(rng.choice(np.array(LANGUAGES), rows), pa.string()),
            "occurred_at": pa.array(
                start + rng.integers(0, DAY_MICROSECONDS, rows), pa.timestamp("us", "UTC")
            ),
            "embedding": pa.array(embedding, pa.list_(pa.float32())),
        }
    )  # fmt: skip


def written(table: pa.Table, folder: Path, parts: int = 1) -> list[Path]:
    """The table as that many Parquet files of the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"part-{part}.parquet" for part in range(parts)]
    size = -(-len(table) // parts)
    for part, path in enumerate(paths):
        pq.write_table(table.slice(part * size, size), path, row_group_size=4096)
    return paths


def _scores(rng: np.random.Generator, rows: int, absent: float) -> pa.Array:
    """Two decimals only, so that many tie."""
    return pa.array(np.round(rng.random(rows), 2), mask=rng.random(rows) < absent)
