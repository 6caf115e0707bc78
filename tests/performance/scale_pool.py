"""A pool of millions of events, made in row groups and kept under the cache: seeded, synthetic."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

WIDTH, GROUP, CAMPAIGNS = 64, 100_000, 3000
EVASIONS = 20  # campaigns of which an evasion is confirmed
IN_CAMPAIGNS, NEW, NOISE = 0.35, 0.1, 0.02  # shares of rows, of campaigns; noise a coordinate
LANGUAGES = np.array(["en", "tr", "zh", "de", "hi", "es"])
LANGUAGE_SHARES = (0.5, 0.15, 0.12, 0.1, 0.08, 0.05)
DAY_MICROSECONDS, HOUR_MICROSECONDS = 86_400_000_000, 3_600_000_000
SCHEMA = pa.schema(
    [
        ("event_id", pa.string()),
        ("score", pa.float64()),
        ("prefilter_score", pa.float64()),
        ("specialist_score", pa.float64()),
        ("language", pa.string()),
        ("occurred_at", pa.timestamp("us", "UTC")),
        ("embedding", pa.list_(pa.float32())),
        ("flip_share", pa.float64()),
        ("evasion_similarity", pa.float64()),
    ]
)
VERSION = 2  # of what is below: raise it, and older files are not used

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Campaigns:
    """centres: float32[c, WIDTH]; language, spamminess and busiest hour of each."""

    centres: NDArray[np.float32]
    language: NDArray[np.str_]
    spam: Floats
    busy_hour: Integers


def campaigns(seed: int) -> Campaigns:
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((CAMPAIGNS, WIDTH)).astype(np.float32)
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    language = rng.choice(LANGUAGES, CAMPAIGNS, p=LANGUAGE_SHARES)
    return Campaigns(
        centres, language, rng.beta(2, 1, CAMPAIGNS), rng.integers(0, 24, CAMPAIGNS)
    )  # fmt: skip


def pool_files(folder: Path, rows: int, seed: int) -> tuple[Path, Path]:
    """The pool of one day and a reference of a quarter as many earlier events; made if absent.

    The reference knows nothing of the last tenth of the campaigns.
    """
    planted = campaigns(seed)
    old = int(CAMPAIGNS * (1 - NEW))
    pool = folder / f"pool-{rows}-{seed}-v{VERSION}.parquet"
    reference = folder / f"reference-{rows}-{seed}-v{VERSION}.parquet"
    for path, count, known, day in ((pool, rows, CAMPAIGNS, 6), (reference, rows // 4, old, 5)):
        if not path.is_file():
            _write(path, count, planted, known, day, np.random.default_rng([seed, day]))
    return pool, reference


def _write(
    path: Path, rows: int, planted: Campaigns, known: int, day: int, rng: np.random.Generator
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    start = int(datetime(2026, 1, day, tzinfo=UTC).timestamp()) * 1_000_000
    with pq.ParquetWriter(part, SCHEMA, compression="zstd", use_dictionary=["language"]) as file:
        for first in range(0, rows, GROUP):
            group = _group(first, min(GROUP, rows - first), planted, known, start, rng)
            file.write_table(group, row_group_size=GROUP)
    part.rename(path)


def _group(
    first: int, rows: int, planted: Campaigns, known: int, start: int, rng: np.random.Generator
) -> pa.Table:
    member = (known * rng.random(rows) ** 2).astype(np.int64)  # few campaigns are large
    inside = rng.random(rows) < IN_CAMPAIGNS
    hour = np.where(
        inside & (rng.random(rows) < 0.5), planted.busy_hour[member], rng.integers(0, 24, rows)
    )
    moment = start + hour * HOUR_MICROSECONDS + rng.integers(0, HOUR_MICROSECONDS, rows)
    spam = np.where(inside, planted.spam[member], rng.beta(0.3, 4, rows))
    language = np.where(
        inside, planted.language[member], rng.choice(LANGUAGES, rows, p=LANGUAGE_SHARES)
    )
    number = pc.utf8_lpad(pa.array(first + np.arange(rows)).cast(pa.string()), 10, "0")
    vectors = _embeddings(planted.centres[member], inside, rng)
    limits = np.arange(0, vectors.size + 1, WIDTH, dtype=np.int32)
    columns = [
        pc.binary_join_element_wise(pa.scalar(f"event-{start // DAY_MICROSECONDS}"), number, "-"),
        _scores(spam, 0.08, 0.02, rng),
        _scores(spam, 0.15, 0.0, rng),
        _scores(spam, 0.10, 0.7, rng),  # specialists see what the prefilter sends on
        pa.array(language),
        pa.array(moment, pa.timestamp("us", "UTC")),
        pa.ListArray.from_arrays(limits, pa.array(vectors.ravel())),
        _scores(spam / 2, 0.1, 0.9, rng),  # changes are tried on a part
        pa.array((vectors @ planted.centres[:EVASIONS].T).max(axis=1).astype(np.float64)),
    ]
    return pa.table(columns, schema=SCHEMA)


def _scores(spam: Floats, noise: float, absent: float, rng: np.random.Generator) -> pa.Array:
    drawn = np.clip(spam + noise * rng.standard_normal(len(spam)), 0.0, 1.0)
    return pa.array(np.round(drawn, 6), mask=rng.random(len(spam)) < absent)


def _embeddings(
    centres: NDArray[np.float32], inside: NDArray[np.bool_], rng: np.random.Generator
) -> NDArray[np.float32]:
    vectors = rng.standard_normal(centres.shape, dtype=np.float32)
    vectors[inside] = centres[inside] + np.float32(NOISE) * vectors[inside]
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors
