"""Splits that never divide a group."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.splits import grouped_folds, temporal_split

START = datetime(2026, 1, 1, tzinfo=UTC)


@given(
    st.lists(st.tuples(st.integers(0, 12), st.booleans()), min_size=20, max_size=80).filter(
        lambda rows: len({group for group, _ in rows}) >= 3
    )
)
def test_a_group_is_never_divided_and_every_fold_has_rows(rows: list[tuple[int, bool]]) -> None:
    groups = [group for group, _ in rows]
    folds = grouped_folds(groups, [label for _, label in rows], 3, np.random.default_rng(0))
    assert set(folds.tolist()) == {0, 1, 2}
    assert len({(group, fold) for group, fold in zip(groups, folds, strict=True)}) == len(
        set(groups)
    )


def test_labels_are_balanced_over_the_folds() -> None:
    labels = np.array(["spam"] * 20 + ["ham"] * 180)
    folds = grouped_folds(range(200), labels, 5, np.random.default_rng(3))
    assert [int((labels[folds == fold] == "spam").sum()) for fold in range(5)] == [4] * 5
    assert [int((folds == fold).sum()) for fold in range(5)] == [40] * 5


def test_the_same_generator_state_gives_the_same_folds() -> None:
    one = grouped_folds(range(50), ["a"] * 50, 4, np.random.default_rng(9))
    other = grouped_folds(range(50), ["a"] * 50, 4, np.random.default_rng(9))
    assert one.tolist() == other.tolist()


def test_more_folds_than_groups_is_refused() -> None:
    with pytest.raises(ValueError, match="folds 5 is not between 2 and the 2 groups"):
        grouped_folds([1, 1, 2], ["a", "b", "a"], 5, np.random.default_rng(0))


def test_a_group_that_straddles_the_cut_is_not_tested() -> None:
    times = [START + timedelta(days=day) for day in range(6)]
    training, test = temporal_split(times, [1, 2, 3, 4, 2, 5], 0.5)
    assert training.tolist() == [0, 1, 2]
    assert test.tolist() == [3, 5]


def test_a_share_outside_zero_to_one_is_refused() -> None:
    with pytest.raises(ValueError, match=r"test_share 1.5 is not between 0 and 1"):
        temporal_split([START, START], [1, 2], 1.5)


def test_no_fold_stays_empty_where_groups_share_no_label() -> None:
    folds = grouped_folds([0, 0, 1, 2], [False, False, True, False], 3, np.random.default_rng(0))
    assert set(folds.tolist()) == {0, 1, 2}
