"""Splits that keep related rows on one side."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]


def grouped_folds(
    groups: Sequence[int] | Indices,
    labels: Sequence[object] | NDArray[np.generic],
    folds: int,
    rng: np.random.Generator,
) -> Indices:
    """int64[n]: the fold of each row, 0 to folds-1; a group is never divided.

    Labels are balanced: groups are shuffled, then dealt out, the largest first, each to the fold
    that has the fewest rows of the group's own labels. `labels` may be any values to balance by,
    for example (dataset, label). Raises ValueError where there are fewer groups than folds.

    >>> grouped_folds([0, 0, 1, 2], ["ham"] * 4, 2, np.random.default_rng(0)).tolist()
    [0, 0, 1, 1]
    """
    _, group_of = np.unique(np.asarray(groups), return_inverse=True)
    names = {name: number for number, name in enumerate(dict.fromkeys(_hashable(labels)))}
    label_of = np.array([names[name] for name in _hashable(labels)], dtype=np.int64)
    if len(group_of) != len(label_of):
        raise ValueError(f"{len(group_of)} groups for {len(label_of)} labels; give one a row")
    count = int(group_of.max(initial=-1)) + 1
    if not 2 <= folds <= count:
        raise ValueError(f"folds {folds} is not between 2 and the {count} groups; lower it")
    composition = np.zeros((count, len(names)), dtype=np.int64)
    np.add.at(composition, (group_of, label_of), 1)
    return _dealt(composition, folds, rng)[group_of]


def temporal_split(
    times: Sequence[datetime],
    groups: Sequence[int] | Indices,
    test_share: float,
) -> tuple[Indices, Indices]:
    """Row numbers (training, test): the latest `test_share` of the rows is the test.

    Rows after the cut whose group began before it are in neither part: the training may not
    hold the future, and the test may not hold what was trained on.

    >>> day = lambda number: datetime(2026, 1, number)
    >>> training, test = temporal_split([day(1), day(2), day(3), day(4)], [7, 8, 7, 9], 0.5)
    >>> training.tolist(), test.tolist()
    ([0, 1], [3])
    """
    if not 0 < test_share < 1:
        raise ValueError(f"test_share {test_share} is not between 0 and 1")
    if len(times) < 2 or len(times) != len(groups):
        raise ValueError(f"{len(times)} times for {len(groups)} groups; give one a row, at least 2")
    order = sorted(range(len(times)), key=lambda row: times[row])
    cut = times[order[min(len(order) - 1, max(1, round(len(order) * (1 - test_share))))]]
    before = np.array([time < cut for time in times])
    old = np.isin(np.asarray(groups), np.asarray(groups)[before])
    return np.flatnonzero(before), np.flatnonzero(~before & ~old)


def _hashable(labels: Sequence[object] | NDArray[np.generic]) -> list[object]:
    return [tuple(label) if isinstance(label, list) else label for label in labels]


def _dealt(composition: Indices, folds: int, rng: np.random.Generator) -> Indices:
    """The fold of each group, from its row counts by label (int64[groups, labels])."""
    shuffled = rng.permutation(len(composition))
    order = shuffled[np.argsort(-composition[shuffled].sum(axis=1), kind="stable")]
    totals = np.maximum(composition.sum(axis=0), 1)
    load = np.zeros((folds, composition.shape[1]))
    fold_of = np.zeros(len(composition), dtype=np.int64)
    for group in order:
        share = composition[group] / totals
        # of folds with as few rows of its labels the emptiest, so that none stays empty
        fold_of[group] = int(np.lexsort((load.sum(axis=1), load @ share))[0])
        load[fold_of[group]] += share
    return fold_of
