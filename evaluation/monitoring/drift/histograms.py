"""A day's histograms, kept as a small file: a window is a sum of days."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from data_contracts.files import write_atomically
from evaluation.monitoring.drift.bins import Bins

Counts = NDArray[np.int64]
COLUMNS = ("rows", "judged", "positives")
SCORE = "score"  # the one feature that an event has from its verdict
MISSING = 0  # the bin of events without a value


@dataclass(frozen=True)
class Histogram:
    """int64[bins] each: events, those with a verdict, and those of them that were acted upon."""

    rows: Counts
    judged: Counts
    positives: Counts

    def __add__(self, other: Histogram) -> Histogram:
        return Histogram(
            self.rows + other.rows, self.judged + other.judged, self.positives + other.positives
        )

    @property
    def total(self) -> int:
        return int(self.rows.sum())


DayHistograms = Mapping[str, Histogram]  # by feature


def with_known_scores(day: DayHistograms) -> DayHistograms:
    """The day, but SCORE's histogram without events that have no verdict.

    Those say nothing of the scores: before the first champion there is none at all, and a day whose
    decisions are still on their way has few.
    """
    if SCORE not in day:
        return day
    columns = [getattr(day[SCORE], name).copy() for name in COLUMNS]
    for counts in columns:
        counts[MISSING] = 0
    return {**day, SCORE: Histogram(*columns)}


def from_table(table: pa.Table, bins: Bins) -> dict[str, Histogram]:
    """The rows of `counting.counts` by feature; a bin without a row has none."""
    found = {one.feature: np.zeros((len(COLUMNS), one.count), np.int64) for one in bins.features}
    places = zip(table["feature"].to_pylist(), table["bin"].to_pylist(), strict=True)
    numbers = zip(*(table[name].to_pylist() for name in COLUMNS), strict=True)
    for (feature, place), row in zip(places, numbers, strict=True):
        found[feature][:, place] = row
    return {feature: Histogram(*counts) for feature, counts in found.items()}


def summed(days: Sequence[DayHistograms]) -> dict[str, Histogram]:
    """The window of these days, at least one."""
    first, *others = days
    window = dict(first)
    for day in others:
        window = {feature: one + day[feature] for feature, one in window.items()}
    return window


def kept(
    folder: Path, bins: Bins, day: str, count: Callable[[], pa.Table], *, anew: bool = False
) -> dict[str, Histogram]:
    """The day's histograms from `{folder}/{version}/{day}.parquet`, counted where it is absent.

    `anew` counts in any case: the day may have grown since.
    """
    path = folder / bins.version / f"{day}.parquet"
    if anew or not path.is_file():
        buffer = io.BytesIO()
        pq.write_table(count().sort_by([("feature", "ascending"), ("bin", "ascending")]), buffer)
        write_atomically(path, buffer.getvalue())
    return from_table(pq.ParquetFile(path).read(), bins)
