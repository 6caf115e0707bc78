"""The confusion matrix over time, from audit draws: a row a window, counts as of all events.

A labelled draw counts as one over its chance and its response rate (`evaluation.audit`), so a
window's matrix stands for all of its events, however late labels are on either side.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from evaluation.audit import Draws, estimate_quality, response_cells
from evaluation.metrics import Booleans, Estimate, Floats
from evaluation.monitoring.performance_estimation import Confusion


@dataclass(frozen=True)
class WindowConfusion:
    """One window: weighted counts, both figures with intervals, and how many labels they rest on.

    `awaited` draws have no label yet; a figure is None where nothing can be said.
    """

    window: str
    confusion: Confusion
    precision: Estimate | None
    recall: Estimate | None
    labels: int
    awaited: int


def confusion_over_time(draws: Draws) -> list[WindowConfusion]:
    """A row for each of `draws.days`, in order; days without any label are left out."""
    return [
        _of(day, found)
        for day in sorted(set(draws.days.tolist()))
        if (found := take(draws, draws.days == day)).labelled.any()
    ]


def take(draws: Draws, rows: Booleans) -> Draws:
    """Some of the draws."""
    return Draws(
        draws.days[rows], draws.positive[rows], draws.chances[rows], draws.labelled[rows],
        draws.is_spam[rows], draws.bands[rows],
    )  # fmt: skip


def weighted_confusion(draws: Draws) -> Confusion:
    """Of all events that the draws stand for."""
    weights = response_weights(draws)
    acted, spam = draws.positive, draws.is_spam
    return Confusion(
        true_positive=float(weights[acted & spam].sum()),
        false_positive=float(weights[acted & ~spam].sum()),
        false_negative=float(weights[~acted & spam].sum()),
        true_negative=float(weights[~acted & ~spam].sum()),
    )


def response_weights(draws: Draws) -> Floats:
    """float64[n]: how many events a labelled draw stands for, 0 for one without a label."""
    cells, _ = response_cells(draws)
    inverse, count = 1 / draws.chances, int(cells.max(initial=-1)) + 1
    drawn = np.bincount(cells, inverse, count)
    answered = np.bincount(cells, inverse * draws.labelled, count)
    ratio = np.divide(drawn, answered, out=np.zeros(count), where=answered > 0)
    return np.asarray(inverse * draws.labelled * ratio[cells], np.float64)


def _of(day: str, draws: Draws) -> WindowConfusion:
    found = estimate_quality(draws)
    return WindowConfusion(
        window=day,
        confusion=weighted_confusion(draws),
        precision=found.precision.estimate,
        recall=found.recall.estimate,
        labels=found.drawn - found.unlabelled,
        awaited=found.unlabelled,
    )


def as_rows(windows: Sequence[WindowConfusion]) -> list[dict[str, object]]:
    """Plain JSON types; counts are rounded, for they are estimates."""
    return [
        {
            "window": one.window,
            "true_positive": round(one.confusion.true_positive),
            "false_positive": round(one.confusion.false_positive),
            "false_negative": round(one.confusion.false_negative),
            "true_negative": round(one.confusion.true_negative),
            "labels": one.labels,
            "awaited": one.awaited,
        }
        for one in windows
    ]
