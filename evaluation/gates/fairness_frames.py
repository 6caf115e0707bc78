"""Counts by group, on fairlearn's MetricFrame: the only module that imports fairlearn.

A family is what groups are compared within (one set in one language, one kind of slice): a
control feature of the frame. Weerts et al. 2023, "Fairlearn: assessing and improving fairness of
AI systems" (JMLR 24).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from evaluation.metrics import Booleans


@dataclass(frozen=True)
class GroupCounts:
    """One group's ham and what was caught of it, its spam and what was missed of it."""

    family: str
    group: str
    ham: int
    false_positives: int
    spam: int
    missed: int


def group_counts(
    labels: Booleans, positive: Booleans, groups: Sequence[str], families: Sequence[str]
) -> list[GroupCounts]:
    """Counts of every group in its family, in the order of their names; empty without rows.

    >>> labels, positive = np.array([False, False, True]), np.array([True, False, False])
    >>> group_counts(labels, positive, ["en", "tr", "tr"], ["language"] * 3)[0].false_positives
    1
    """
    if not len(labels):
        return []
    from fairlearn.metrics import MetricFrame  # seconds to import: other gates do without it

    frame = MetricFrame(
        metrics=_COUNTS,
        y_true=labels,
        y_pred=positive,
        sensitive_features={"group": list(groups)},
        control_features={"family": list(families)},
    )
    found = frame.by_group.dropna()  # the frame also has every pair of names that never met
    return [
        GroupCounts(family, group, **{name: int(value) for name, value in row.items()})
        for (family, group), row in found.iterrows()
    ]


def _bools(values: Any) -> Booleans:
    return np.asarray(values, dtype=bool)


_COUNTS: dict[str, Callable[[Any, Any], int]] = {
    "ham": lambda labels, _: int((~_bools(labels)).sum()),
    "false_positives": lambda labels, positive: int((~_bools(labels) & _bools(positive)).sum()),
    "spam": lambda labels, _: int(_bools(labels).sum()),
    "missed": lambda labels, positive: int((_bools(labels) & ~_bools(positive)).sum()),
}
