"""Series of measurements in time, and the ones that the monitoring reports hold.

Every number of an hourly report is a series by its path, `traffic.arms.stable.latency_ms.p95`:
what a report newly holds is watched from then on.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

Floats = NDArray[np.float64]
STEP_ROWS = 20
REPORTS = "*T*Z.json"  # the name of a report is its time; `latest.json` is a copy


@dataclass(frozen=True)
class Series:
    """`values: float64[n, d]` at `times: float64[n]`, seconds since 1970 in UTC, never falling.

    `columns` names the d measurements. A missing one is NaN.
    """

    times: Floats
    values: Floats
    columns: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.values.shape != (len(self.times), len(self.columns)):
            raise ValueError(
                f"values have shape {self.values.shape}, not ({len(self.times)}, "
                f"{len(self.columns)}): give one row a time and one column a name"
            )
        if len(self.times) and not np.all(np.diff(self.times) >= 0):
            raise ValueError(f"times of {', '.join(self.columns)} fall; sort the rows by time")

    @classmethod
    def of(
        cls, name: str, times: Sequence[float] | Floats, values: Sequence[float] | Floats
    ) -> Series:
        """One measurement in time.

        >>> Series.of("latency", [0.0, 3600.0], [5.0, 7.0]).values.shape
        (2, 1)
        """
        numbers = np.asarray(values, dtype=np.float64)
        return cls(np.asarray(times, dtype=np.float64), numbers.reshape(-1, 1), (name,))

    def __len__(self) -> int:
        return len(self.times)

    def until(self, rows: int) -> Series:
        """The first rows alone: what was known then."""
        return Series(self.times[:rows], self.values[:rows], self.columns)

    def at(self, row: int) -> datetime:
        """The time of a row."""
        return datetime.fromtimestamp(float(self.times[row]), tz=UTC)


def step_seconds(series: Series) -> float:
    """The usual time between two of the first rows; 0 for less than two.

    Of the first ones alone: what comes later must not change what was said of them.
    """
    first = series.times[:STEP_ROWS]
    return float(np.median(np.diff(first))) if len(first) > 1 else 0.0


def rows_before(times: Floats, seconds: float, step: float) -> NDArray[np.int64]:
    """int64[n]: the row at most half a `step` from so long before each row; -1 where none is.

    By the clock and not by counting, so that a missing hour shifts nothing.

    >>> rows_before(np.array([0.0, 1.0, 3.0, 4.0]), seconds=2.0, step=1.0).tolist()
    [-1, -1, 1, -1]
    """
    wanted = times - seconds
    found = np.searchsorted(times, wanted + step / 2, side="right") - 1
    near = (found >= 0) & (np.abs(times[found] - wanted) <= step / 2)
    return np.where(near & (found < np.arange(len(times))), found, -1).astype(np.int64)


def read_reports(folder: Path, latest: int) -> dict[str, Series]:
    """Each number of the `latest` monitoring reports of a folder as a series by its path."""
    paths = sorted(folder.glob(REPORTS))[-latest:]
    return from_reports(orjson.loads(path.read_bytes()) for path in paths)


def from_reports(reports: Iterable[Mapping[str, Any]]) -> dict[str, Series]:
    """Series by path. A report without a number that others have is a NaN there.

    Times are the ends of the windows. Bounds of intervals are no series of their own.

    >>> hour = {"window": {"end": "2026-01-05T01:00:00+00:00"}, "share": {"value": 0.5, "low": 0}}
    >>> from_reports([hour])["share.value"].values.tolist()
    [[0.5]]
    """
    found = {
        datetime.fromisoformat(report["window"]["end"]).timestamp(): dict(_numbers(report, ()))
        for report in reports
    }
    times = np.array(sorted(found), dtype=np.float64)
    paths = sorted({path for numbers in found.values() for path in numbers})
    return {
        path: Series.of(path, times, [found[time].get(path, np.nan) for time in times])
        for path in paths
    }


def together(series: Mapping[str, Series], columns: Sequence[str]) -> Series:
    """Series of the same times as the columns of one. ValueError where the times differ."""
    first = series[columns[0]].times
    for name in columns:
        if not np.array_equal(series[name].times, first):
            raise ValueError(f"{name} and {columns[0]} have different times; join them first")
    return Series(first, np.column_stack([series[name].values for name in columns]), tuple(columns))


_NO_MEASUREMENT = {
    "window", "low", "high", "of", "days",
    "mirrored",  # copies that a rollout makes of its own accord
}  # fmt: skip


def _numbers(value: object, path: tuple[str, ...]) -> Iterator[tuple[str, float]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if key not in _NO_MEASUREMENT:
                yield from _numbers(inner, (*path, str(key)))
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        yield ".".join(path), float(value)
