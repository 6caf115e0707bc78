"""The labelled series of NAB: read, and divided into those that settle and those that report.

Development series are all the artificial ones, and of the real ones those whose name's SHA-256
begins with an even byte: a rule that looks at no value. Parameters and thresholds are fixed on
them alone; the others are only reported.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from data_contracts.config import Data
from data_contracts.errors import BadInput
from evaluation.monitoring.anomaly.series import Series
from pipelines.catalogue import collection

COLLECTION, FILE = "anomaly_nab", "data.csv.gz"
COLUMNS = ("series", "timestamp", "value", "in_anomaly_window")
PROBATION_SHARE, MOST_PROBATION = 0.15, 750  # NAB: 15 %, of at most 5,000 rows
Windows = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Labelled:
    """A series with its anomaly windows: first and last row of each. No alert counts before
    `first_judged`: detectors learn there."""

    name: str
    series: Series
    windows: Windows

    @property
    def first_judged(self) -> int:
        """NAB's probationary period.

        >>> Labelled("a", Series.of("a", range(4032), np.zeros(4032)), ()).first_judged
        604
        """
        return min(int(PROBATION_SHARE * len(self.series)), MOST_PROBATION)

    @property
    def is_development(self) -> bool:
        return is_development(self.name)


def is_development(name: str) -> bool:
    """Whether parameters may be settled on the series of this name.

    >>> is_development("artificialNoAnomaly/art_noisy.csv")
    True
    """
    even = hashlib.sha256(name.encode()).digest()[0] % 2 == 0
    return name.startswith("artificial") or even


def read_nab(data: Data) -> list[Labelled]:
    """Every series under the data root by name. MissingPart where there is none."""
    return list(labelled(collection(COLLECTION, data).paths[FILE]))


def labelled(path: Path) -> Iterator[Labelled]:
    """The series of a file `series,timestamp,value,in_anomaly_window`. BadInput for another."""
    table = pd.read_csv(path)
    if missing := [column for column in COLUMNS if column not in table.columns]:
        raise BadInput(f"{path} has no column {', '.join(missing)}; place an intact file there")
    for name, rows in table.groupby("series", sort=True):
        times = pd.to_datetime(rows["timestamp"]).to_numpy().astype("datetime64[s]")
        series = Series.of(str(name), times.astype(np.float64), rows["value"].to_numpy(np.float64))
        yield Labelled(str(name), series, windows_of(rows["in_anomaly_window"].to_numpy() == 1))


def windows_of(inside: NDArray[np.bool_]) -> Windows:
    """First and last row of each run of True.

    >>> windows_of(np.array([False, True, True, False, True]))
    ((1, 2), (4, 4))
    """
    edges = np.diff(np.concatenate(([0], inside.astype(np.int64), [0])))
    starts, ends = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1) - 1
    return tuple((int(first), int(last)) for first, last in zip(starts, ends, strict=True))


def divided(series: list[Labelled]) -> Mapping[str, list[Labelled]]:
    """`development` and `reported`."""
    return {
        "development": [one for one in series if one.is_development],
        "reported": [one for one in series if not one.is_development],
    }
