"""Days of made rows for `make bench-drift`: 20 features, a model's verdicts, drifts at the end.

Every feature has a day's own small shift, as real days have. Simulated: what drifts, and what the
model reads, is known. Made chunk by chunk, one file a day, so memory is bounded.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

Floats = NDArray[np.float32]
CHUNK = 500_000
NUMBERS = tuple(f"number_{place:02d}" for place in range(16))
CATEGORIES = tuple(f"category_{place}" for place in range(4))
SHIFT, UNIT, NULL, HARMLESS, NEW = "number_00", "number_01", "number_02", "number_05", "category_0"
HARMFUL = (SHIFT, UNIT, NULL, NEW)
DAY_SHIFT = 0.03  # standard deviations of a feature's mean from day to day
SHIFTED, HARMLESSLY, GONE, NEWCOMERS, FACTOR = 0.8, 2.0, 0.95, 0.25, 1000.0
CENTRE, WIDTH = 50.0, 10.0  # of UNIT
KINDS = 12
DECIMALS = 2
BIAS, READS = -3.0, {SHIFT: 0.7, UNIT: 0.6, NULL: 0.9, "number_03": 0.5}
LIMIT = 4.0  # the model clips what it reads, in standard deviations
KIND_EFFECT = 0.08  # log-odds from one category of NEW to the next
NEWCOMER_EFFECT = 1.5


@dataclass(frozen=True)
class Day:
    """One day: `effects` float64[20], each feature's own shift; whether drifts are planted."""

    effects: NDArray[np.float64]
    drifted: bool


def write_day(path: Path, day: Day, rows: int, rng: np.random.Generator) -> None:
    """`rows` rows as Parquet."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with pq.ParquetWriter(path, schema(), compression="zstd") as writer:
        for first in range(0, rows, CHUNK):
            writer.write_table(chunk(day, min(CHUNK, rows - first), rng))


def schema() -> pa.Schema:
    return pa.schema(
        [
            *((name, pa.float32()) for name in NUMBERS),
            *((name, pa.string()) for name in CATEGORIES),
            ("positive", pa.bool_()),
        ]
    )


def chunk(day: Day, rows: int, rng: np.random.Generator) -> pa.Table:
    """Features as they arrive, drifts included, and what the model made of them."""
    numbers = {
        name: rng.standard_normal(rows, dtype=np.float32) + np.float32(DAY_SHIFT * effect)
        for name, effect in zip(NUMBERS, day.effects, strict=False)
    }
    kinds = {
        name: _kinds(rows, DAY_SHIFT * effect, rng)
        for name, effect in zip(CATEGORIES, day.effects[len(NUMBERS) :], strict=True)
    }
    missing = np.zeros(rows, bool)
    if day.drifted:
        numbers[SHIFT] += np.float32(SHIFTED)
        numbers[HARMLESS] += np.float32(HARMLESSLY)
        missing = rng.random(rows, dtype=np.float32) < GONE
        kinds[NEW] = np.where(rng.random(rows, dtype=np.float32) < NEWCOMERS, KINDS, kinds[NEW])
    numbers[UNIT] = (CENTRE + WIDTH * numbers[UNIT]) * np.float32(FACTOR if day.drifted else 1.0)
    positive = _verdicts(numbers, kinds[NEW], missing, rng)
    columns: dict[str, Any] = {
        name: pa.array(np.round(values, DECIMALS), mask=missing if name == NULL else None)
        for name, values in numbers.items()
    }
    names = pa.array([f"kind {place}" for place in range(KINDS + 1)])
    columns |= {
        name: pa.DictionaryArray.from_arrays(pa.array(values.astype(np.int32)), names).cast(
            "string"
        )
        for name, values in kinds.items()
    }
    return pa.table(columns | {"positive": pa.array(positive)}, schema=schema())


def day_effects(rng: np.random.Generator) -> NDArray[np.float64]:
    return rng.standard_normal(len(NUMBERS) + len(CATEGORIES))


def _kinds(rows: int, shift: float, rng: np.random.Generator) -> NDArray[np.int64]:
    """Categories whose mix moves a little with the day: log-linear in their number."""
    weights = np.exp(-0.2 * np.arange(KINDS) + shift * np.linspace(-1, 1, KINDS))
    bounds = np.cumsum(weights / weights.sum())[:-1]
    return np.searchsorted(bounds, rng.random(rows, dtype=np.float32))


def _verdicts(
    numbers: dict[str, Floats],
    kind: NDArray[np.int64],
    missing: NDArray[np.bool_],
    rng: np.random.Generator,
) -> NDArray[np.bool_]:
    """The model's: it reads four numbers and a category, clips them, and takes null for 0."""
    score = np.full(len(kind), BIAS, np.float32)
    for name, weight in READS.items():
        value = (numbers[name] - CENTRE) / WIDTH if name == UNIT else numbers[name]
        value = np.clip(value, -LIMIT, LIMIT)
        score += np.float32(weight) * (np.where(missing, 0, value) if name == NULL else value)
    score += np.where(kind == KINDS, NEWCOMER_EFFECT, KIND_EFFECT * kind).astype(np.float32)
    return np.asarray(rng.logistic(size=len(kind)) < score)
