"""The likely cause of an anomaly: which slice, feature or stage moved most, and which release.

Slices are ranked as in Adtributor (Bhagwan et al., NSDI 2014): a dimension explains a change when
few of its values make up most of it and these values' share of the whole has changed. A cause is a
hint for whoever looks first, not a proof.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, NamedTuple

import numpy as np

from evaluation.monitoring.anomaly.series import Floats

Measure = Literal["count", "rate"]
ENOUGH_EXPLAINED = 0.67  # of the change, by the values that are named
LEAST_EXPLAINED = 0.1  # by each of them
LEAST_SHIFT = 0.2  # distance of a feature's or stage's distributions that is worth naming
LEAST_VALUES = 20
MOST_NAMED = 3
RELEASED = ("model_version", "threshold_version")


class Cell(NamedTuple):
    """Decisions of one slice, and how many of them count as positive."""

    decisions: int
    hits: int


Tally = Mapping[str, Mapping[str, Cell]]  # dimension (language): value (tr): cell


@dataclass(frozen=True)
class Moved:
    """The values of one dimension that make up `explained` of a change (1: all of it).

    A value can explain more than all where others went the other way. `surprise` is the part of
    the Jensen-Shannon divergence between the shares before and after that is theirs.
    """

    dimension: str
    values: tuple[str, ...]
    explained: float
    surprise: float

    def as_text(self) -> str:
        return f"{self.dimension} {', '.join(self.values)} ({self.explained:.0%} of the change)"


@dataclass(frozen=True)
class Shift:
    """A feature or a stage whose values lie elsewhere: distance of distributions, 0 to 1."""

    name: str
    distance: float
    missing_before: float
    missing_after: float

    def as_text(self) -> str:
        if self.missing_after - self.missing_before >= LEAST_SHIFT:
            return f"{self.name} (missing {self.missing_before:.0%} → {self.missing_after:.0%})"
        return f"{self.name} (distance {self.distance:.2f})"


@dataclass(frozen=True)
class Release:
    """The first decision by a model or thresholds that had decided nothing before."""

    what: str
    before: str
    after: str
    at: datetime

    def as_text(self) -> str:
        return f"{self.what} {self.before} → {self.after} at {self.at:%Y-%m-%d %H:%M} UTC"


@dataclass(frozen=True)
class Cause:
    """All that moved, the most telling first in each kind."""

    slices: tuple[Moved, ...] = ()
    features: tuple[Shift, ...] = ()
    stages: tuple[Shift, ...] = ()
    releases: tuple[Release, ...] = ()

    def as_text(self) -> str:
        """One line: release, slice, features, stages; says so where nothing stands out."""
        named: list[tuple[str, Sequence[Release | Moved | Shift]]] = [
            ("release", self.releases), ("slice", self.slices),
            ("feature", self.features), ("stage", self.stages),
        ]  # fmt: skip
        found = [
            f"{kind}: {', '.join(one.as_text() for one in ones[:MOST_NAMED])}"
            for kind, ones in named
            if ones
        ]
        return "; ".join(found) or "nothing stands out in slices, features, stages or releases"


def tally(decisions: Iterable[tuple[Mapping[str, str], bool]]) -> Tally:
    """Counts of decisions (their slices, and whether they are positive) by dimension and value."""
    counted: dict[str, dict[str, Cell]] = defaultdict(dict)
    for slices, positive in decisions:
        for dimension, value in slices.items():
            count, hits = counted[dimension].get(value, Cell(0, 0))
            counted[dimension][value] = Cell(count + 1, hits + positive)
    return counted


def moved(before: Tally, after: Tally, measure: Measure) -> tuple[Moved, ...]:
    """Dimensions by how well few of their values explain the change; the best first.

    Counts are compared per decision of the same total length of time: give equal windows, or
    compare rates.
    """
    found = (_moved(name, before.get(name, {}), after.get(name, {}), measure) for name in after)
    return tuple(
        sorted((one for one in found if one), key=lambda one: (-one.surprise, one.dimension))
    )


def contributions(
    before: Mapping[str, Cell], after: Mapping[str, Cell], measure: Measure
) -> dict[str, float]:
    """What each value adds to the change of the whole; the parts sum to the change exactly.

    For a rate, a value contributes its share of the decisions times how far its rate lies from the
    whole's rate before: after less before. So a slice that grew counts, not only one that changed.

    >>> before, after = {"a": Cell(50, 5), "b": Cell(50, 5)}, {"a": Cell(50, 5), "b": Cell(50, 45)}
    >>> contributions(before, after, "rate")
    {'a': 0.0, 'b': 0.4}
    """
    values = sorted({*before, *after})
    if measure == "count":
        return {v: float(_cell(after, v).decisions - _cell(before, v).decisions) for v in values}
    overall = _total(before).hits / max(_total(before).decisions, 1)
    return {
        v: round(_excess(_cell(after, v), _total(after), overall)
        - _excess(_cell(before, v), _total(before), overall), 12)
        for v in values
    }  # fmt: skip


def shifted(before: Mapping[str, Floats], after: Mapping[str, Floats]) -> tuple[Shift, ...]:
    """Features or stages by how far their values moved, the farthest first.

    `float64[n]` by name, NaN for a missing value. The distance is Kolmogorov's and Smirnov's of
    the values there are, or the growth of what is missing where that is more: both are shares.
    """
    shifts = (
        _shift(name, before[name], after[name])
        for name in sorted(before.keys() & after.keys())
        if min(len(before[name]), len(after[name])) >= LEAST_VALUES
    )
    told = [one for one in shifts if one.distance >= LEAST_SHIFT]
    return tuple(sorted(told, key=lambda one: (-one.distance, one.name)))


def releases(
    decided: Iterable[tuple[datetime, Mapping[str, str]]], at: datetime, within: timedelta
) -> tuple[Release, ...]:
    """Models and thresholds whose first decision lies at most `within` before `at`; latest first.

    `decided`: when, and `model_version` and `threshold_version`. The first version ever seen has
    followed nothing, and is no release.
    """
    ordered = sorted(decided, key=lambda one: one[0])
    found = (one for what in RELEASED for one in _first_uses(what, ordered))
    recent = [one for one in found if at - within <= one.at <= at]
    return tuple(sorted(recent, key=lambda one: (at - one.at, one.what)))


def _first_uses(
    what: str, ordered: Sequence[tuple[datetime, Mapping[str, str]]]
) -> Iterable[Release]:
    seen: Counter[str] = Counter()
    for when, versions in ordered:
        version = versions.get(what)
        if version is None:
            continue
        if seen and version not in seen:
            yield Release(what, seen.most_common(1)[0][0], version, when)
        seen[version] += 1


def _moved(
    dimension: str, before: Mapping[str, Cell], after: Mapping[str, Cell], measure: Measure
) -> Moved | None:
    parts = contributions(before, after, measure)
    change = sum(parts.values())
    if not change:
        return None
    surprises = _surprises(before, after, measure)
    chosen: list[str] = []
    for value in sorted(parts, key=lambda v: (-surprises[v], v)):
        if sum(parts[v] for v in chosen) / change >= ENOUGH_EXPLAINED:
            break
        if parts[value] / change >= LEAST_EXPLAINED:
            chosen.append(value)
    explained = sum(parts[v] for v in chosen) / change
    if explained < ENOUGH_EXPLAINED or len(chosen) == len(parts):
        return None  # every value moved alike: this dimension explains nothing
    return Moved(dimension, tuple(chosen), explained, sum(surprises[v] for v in chosen))


def _surprises(
    before: Mapping[str, Cell], after: Mapping[str, Cell], measure: Measure
) -> dict[str, float]:
    """The terms of the Jensen-Shannon divergence between the shares of each value, in nats."""
    values = sorted({*before, *after})
    p, q = (_shares(cells, values, measure) for cells in (before, after))
    middle = (p + q) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = [np.where(side > 0, side * np.log(side / middle), 0.0) for side in (p, q)]
    return dict(zip(values, ((terms[0] + terms[1]) / 2).tolist(), strict=True))


def _shares(cells: Mapping[str, Cell], values: Sequence[str], measure: Measure) -> Floats:
    field = 0 if measure == "count" else 1
    parts = np.array([_cell(cells, value)[field] for value in values], dtype=np.float64)
    return np.asarray(parts / max(float(parts.sum()), 1.0), dtype=np.float64)


def _shift(name: str, before: Floats, after: Floats) -> Shift:
    from scipy.stats import ks_2samp

    missing = float(np.isnan(before).mean()), float(np.isnan(after).mean())
    known = before[~np.isnan(before)], after[~np.isnan(after)]
    enough = min(len(known[0]), len(known[1])) >= LEAST_VALUES
    apart = float(ks_2samp(*known).statistic) if enough else 0.0
    return Shift(name, max(apart, missing[1] - missing[0]), *missing)


def _excess(cell: Cell, whole: Cell, overall: float) -> float:
    return (cell.hits - overall * cell.decisions) / max(whole.decisions, 1)


def _cell(cells: Mapping[str, Cell], value: str) -> Cell:
    return cells.get(value, Cell(0, 0))


def _total(cells: Mapping[str, Cell]) -> Cell:
    return Cell(sum(c.decisions for c in cells.values()), sum(c.hits for c in cells.values()))
