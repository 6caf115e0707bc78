"""The bins of each feature, fixed once, so that histograms of different days can be added.

A bin for what is missing (null or not a number), bins of about equal size over the reference's
range, and bins of their own for what the reference never held: values below and above its range,
categories it did not know.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

VERSION_CHARACTERS = 12
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class NumberBins:
    """`edges` float, ascending: the reference's minimum, its quantiles, just above its maximum.

    Bin 0 is missing, bin 1 below the range, the last above it.

    >>> NumberBins("length", (1.0, 5.0, 9.0)).names()
    ('missing', 'below 1', '1 to 5', '5 to 9', '9 and above')
    """

    feature: str
    edges: tuple[float, ...]

    def __post_init__(self) -> None:
        if any(one >= other for one, other in zip(self.edges, self.edges[1:], strict=False)):
            raise ValueError(f"edges of {self.feature} do not ascend: {self.edges}")

    @classmethod
    def of_quantiles(cls, feature: str, quantiles: Sequence[float | None]) -> NumberBins:
        """From minimum, quantiles and maximum as a sketch gave them; None: only nulls so far.

        A maximum that is a quantile as well is frequent, and has a bin of its own.

        >>> NumberBins.of_quantiles("links", [0, 0, 0, 1, 3]).edges
        (0.0, 1.0, 3.0000000000000004)
        >>> NumberBins.of_quantiles("full", [0, 0, 1, 1]).edges
        (0.0, 1.0, 1.0000000000000002)
        """
        known = np.array([one for one in quantiles if one is not None], float)
        if not len(known):
            return cls(feature, ())
        low, high = known.min(), known.max()
        often = [high] if low < high and (known == high).sum() > 1 else []
        inner = [*known[(known > low) & (known < high)], *often]
        return cls(feature, tuple(np.unique([low, *inner, np.nextafter(high, np.inf)]).tolist()))

    @property
    def count(self) -> int:
        return len(self.edges) + 2

    def names(self) -> tuple[str, ...]:
        if not self.edges:
            return ("missing", "any value")
        inner = (f"{a:g} to {b:g}" for a, b in zip(self.edges, self.edges[1:], strict=False))
        return ("missing", f"below {self.edges[0]:g}", *inner, f"{self.edges[-1]:g} and above")

    def as_record(self) -> dict[str, Any]:
        return {"feature": self.feature, "edges": self.edges}


@dataclass(frozen=True)
class CategoryBins:
    """Bin 0 is missing, then a bin each of the `known`, and one for every other category.

    >>> CategoryBins("language", ("en", "tr")).names()
    ('missing', 'en', 'tr', 'other')
    """

    feature: str
    known: tuple[str, ...]

    @property
    def count(self) -> int:
        return len(self.known) + 2

    def names(self) -> tuple[str, ...]:
        return ("missing", *self.known, "other")

    def as_record(self) -> dict[str, Any]:
        return {"feature": self.feature, "known": self.known}


FeatureBins = NumberBins | CategoryBins


@dataclass(frozen=True)
class Bins:
    """Of all features; `days` are those that fixed them."""

    features: tuple[FeatureBins, ...]
    days: tuple[str, ...]

    @property
    def version(self) -> str:
        """A stable hash: histograms of one version can be added."""
        return hashlib.sha256(self.as_json()).hexdigest()[:VERSION_CHARACTERS]

    def as_json(self) -> bytes:
        record = {"features": [one.as_record() for one in self.features], "days": self.days}
        return orjson.dumps(record, option=orjson.OPT_INDENT_2)

    @classmethod
    def from_json(cls, content: bytes) -> Bins:
        record = orjson.loads(content)
        return cls(tuple(map(_feature, record["features"])), tuple(record["days"]))

    def named(self, feature: str) -> FeatureBins:
        return next(one for one in self.features if one.feature == feature)


def _feature(record: dict[str, Any]) -> FeatureBins:
    if "edges" in record:
        return NumberBins(record["feature"], tuple(record["edges"]))
    return CategoryBins(record["feature"], tuple(record["known"]))
