"""Histograms as one Ibis expression: every feature's bins in one answer of a few hundred rows.

Each feature is grouped by its bin where the table lies, so memory grows with the bins and not with
the rows, and a columnar file is read feature by feature. Counts are whole numbers and bins are
comparisons of doubles: DuckDB and Spark agree on every one of them.
"""

from __future__ import annotations

from collections.abc import Sequence

import ibis
import numpy as np
import pyarrow as pa
from ibis.expr.types import BooleanValue, FloatingValue, IntegerValue, StringValue

from evaluation.monitoring.drift.bins import Bins, CategoryBins, FeatureBins, NumberBins
from pipelines.tables import arrow

POSITIVE = "positive"  # boolean: whether the verdict acts; null where there is no verdict
OTHER, MISSING = "\x00other", "\x00missing"  # no category of the lake holds a zero byte


def counts(table: ibis.Table, bins: Bins) -> ibis.Table:
    """`feature, bin, rows, judged, positives`: one row for each bin that has any.

    `table` has a column for each feature of `bins`, and POSITIVE.
    """
    return ibis.union(*(_of_feature(table, one) for one in bins.features))


def _of_feature(table: ibis.Table, bins: FeatureBins) -> ibis.Table:
    """Grouped by the bin; categories by themselves, and numbered once they are few."""
    acted = table[POSITIVE].cast("int64")
    key = (
        number_bin(table[bins.feature].cast("float64"), bins.edges)
        if isinstance(bins, NumberBins)
        else _category(table[bins.feature].cast("string"), bins.known)
    )
    grouped = (
        table.select(key=key, acted=acted)
        .group_by("key")
        .aggregate(
            rows=ibis._.count(), judged=ibis._.acted.count(),
            positives=ibis._.acted.sum().fill_null(0),
        )
    )  # fmt: skip
    numbered = grouped.key if isinstance(bins, NumberBins) else _numbered(grouped.key, bins)
    return grouped.select(
        feature=ibis.literal(bins.feature), bin=numbered.cast("int32"),
        rows=grouped.rows.cast("int64"), judged=grouped.judged.cast("int64"),
        positives=grouped.positives.cast("int64"),
    )  # fmt: skip


def number_bin(value: FloatingValue, edges: Sequence[float]) -> IntegerValue:
    """The bin by a search in halves: some five comparisons for twenty edges."""
    missing = value.isnull() | value.isnan()
    return missing.ifelse(ibis.literal(0, "int32"), _searched(value, edges, 1))


def _searched(value: FloatingValue, edges: Sequence[float], first: int) -> IntegerValue:
    if not edges:
        return ibis.literal(first, "int32")
    middle = len(edges) // 2
    return (value < _exactly(edges[middle])).ifelse(
        _searched(value, edges[:middle], first),
        _searched(value, edges[middle + 1 :], first + middle + 1),
    )


def _category(value: StringValue, known: Sequence[str]) -> StringValue:
    if not known:
        return value.isnull().ifelse(MISSING, OTHER)
    return value.isnull().ifelse(MISSING, value.isin(known).ifelse(value, OTHER))


def _numbered(key: StringValue, bins: CategoryBins) -> IntegerValue:
    places = [(MISSING, 0), *((name, place) for place, name in enumerate(bins.known, start=1))]
    return ibis.cases(
        *((key == name, ibis.literal(place, "int32")) for name, place in places),
        else_=ibis.literal(bins.count - 1, "int32"),
    )


def fitted(
    table: ibis.Table, numbers: Sequence[str], categories: Sequence[str], days: Sequence[str],
    *, bins: int, most_categories: int,
) -> Bins:  # fmt: skip
    """The bins of this reference: quantiles from the engine's sketch (DuckDB: t-digest, Dunning &
    Ertl 2019; Spark: Greenwald & Khanna 2001), the most frequent categories exactly.

    Sketches differ a little between engines; the bins are fixed and kept, so counts do not.
    """
    found = [_quantiles(table, name, bins) for name in numbers]
    known = [_most_frequent(table, name, most_categories) for name in categories]
    return Bins((*found, *known), tuple(days))


def quantiles(table: ibis.Table, feature: str, levels: Sequence[float]) -> list[float | None]:
    """About these quantiles of a number, by the engine's sketch; None where it has no value."""
    value = table[feature].cast("float64")
    finite = table.select(value=value).filter(lambda row: row.value.notnull() & ~row.value.isnan())
    found = arrow(finite.aggregate(found=finite.value.approx_quantile(levels)))["found"]
    return found[0].as_py() or [None] * len(levels)


def _quantiles(table: ibis.Table, feature: str, bins: int) -> NumberBins:
    value = table[feature].cast("float64")
    usable = table.select(value=value).filter(
        lambda row: row.value.notnull() & ~row.value.isnan() & ~row.value.isinf()
    )
    levels = np.linspace(0, 1, bins + 1)[1:-1].tolist()
    row = usable.aggregate(
        low=usable.value.min(), inner=usable.value.approx_quantile(levels), high=usable.value.max()
    )
    found = arrow(row).to_pylist()[0]
    ends = (found["low"], found["high"])
    return NumberBins.of_quantiles(feature, [*ends, *(found["inner"] or ())])


def _most_frequent(table: ibis.Table, feature: str, most: int) -> CategoryBins:
    value = table[feature].cast("string")
    sizes = table.select(value=value).filter(lambda row: row.value.notnull()).group_by("value")
    ranked = sizes.aggregate(rows=ibis._.count()).order_by(ibis.desc("rows"), "value").limit(most)
    return CategoryBins(feature, tuple(sorted(arrow(ranked)["value"].to_pylist())))


def counted(table: ibis.Table, bins: Bins) -> pa.Table:
    """`counts`, computed."""
    return arrow(counts(table, bins))


def is_positive(action: StringValue) -> BooleanValue:
    """Any action but `allow` counts as positive."""
    return action != "allow"


def _exactly(number: float) -> FloatingValue:
    """A double that is read from its digits: some engines take a bare literal for a decimal."""
    return ibis.literal(repr(float(number))).cast("float64")
