"""Audit estimates on counts worked by hand; what they promise is in test_audit_coverage."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.audit import Draws, estimate_quality, odds_interval, response_cells
from evaluation.metrics import Estimate


def draws(*groups: tuple[str, bool, str | None, int], chance: float = 0.1, band: int = 0) -> Draws:
    """Groups of (day, was acted on, label or None, count)."""
    rows = [group[:3] for group in groups for _ in range(group[3])]
    return Draws(
        days=np.array([day for day, _, _ in rows], dtype=np.str_),
        positive=np.array([positive for _, positive, _ in rows], bool),
        chances=np.full(len(rows), chance),
        labelled=np.array([label is not None for _, _, label in rows], bool),
        is_spam=np.array([label == "spam" for _, _, label in rows], bool),
        bands=np.full(len(rows), band, np.int64),
    )


COMPLETE = draws(
    ("d1", True, "spam", 30), ("d1", True, "ham", 10),
    ("d1", False, "spam", 20), ("d1", False, "ham", 340),
)  # fmt: skip


def value(estimate: Estimate | None) -> float:
    assert estimate is not None
    return estimate.value


def test_with_all_labels_there_the_figures_are_plain_shares() -> None:
    found = estimate_quality(COMPLETE)
    assert value(found.precision.estimate) == pytest.approx(30 / 40)
    assert value(found.recall.estimate) == pytest.approx(30 / 50)
    assert value(found.false_positive_rate.estimate) == pytest.approx(10 / 350)
    assert value(found.prevalence.estimate) == pytest.approx(50 / 400)
    assert (found.precision.of, found.recall.of, found.false_positive_rate.of) == (40, 50, 350)
    assert (found.drawn, found.unlabelled, found.silent) == (400, 0, ())


def test_with_all_labels_there_the_intervals_are_those_of_a_binomial() -> None:
    found = estimate_quality(COMPLETE)
    for figure, hits in ((found.recall, 30), (found.prevalence, 50), (found.precision, 30)):
        assert figure.estimate is not None
        expected = odds_interval(hits, figure.of - hits, 1.0)
        assert (figure.estimate.low, figure.estimate.high) == pytest.approx(expected, rel=0.02)


def test_labels_that_wait_are_stood_for_by_the_labelled_of_their_decision() -> None:
    """A quarter of 80 acted-on draws has labels: each counts four times."""
    late = draws(
        ("d1", True, "spam", 15), ("d1", True, "ham", 5), ("d1", True, None, 60),
        ("d1", False, "spam", 20), ("d1", False, "ham", 300),
    )  # fmt: skip
    found = estimate_quality(late)
    assert value(found.recall.estimate) == pytest.approx(60 / 80)
    assert value(found.prevalence.estimate) == pytest.approx(80 / 400)
    assert value(found.precision.estimate) == pytest.approx(15 / 20)
    assert found.unlabelled == 60


def test_days_with_fewer_labels_count_as_much_as_they_were_drawn() -> None:
    found = estimate_quality(
        draws(
            ("d1", True, "spam", 100), ("d1", False, "ham", 100),
            ("d2", True, "ham", 50), ("d2", True, None, 50), ("d2", False, "ham", 100),
        )
    )  # fmt: skip
    assert value(found.precision.estimate) == pytest.approx(0.5)


def test_rows_count_by_one_over_their_chance() -> None:
    rare = draws(("d1", True, "spam", 20), chance=0.1)
    sure = draws(("d1", True, "ham", 20), chance=1.0)
    joined = Draws(
        *(np.concatenate(pair) for pair in zip(columns(rare), columns(sure), strict=True))
    )
    assert value(estimate_quality(joined).precision.estimate) == pytest.approx(200 / 220)


def columns(given: Draws) -> list[np.ndarray]:
    names = ("days", "positive", "chances", "labelled", "is_spam", "bands")
    return [getattr(given, name) for name in names]


def test_a_decision_without_any_label_leaves_what_rests_on_it_open() -> None:
    found = estimate_quality(draws(("d1", True, None, 9), ("d1", False, "ham", 50)))
    assert found.silent == ("acted on",)
    assert found.precision.estimate is found.recall.estimate is found.prevalence.estimate is None


def test_a_filter_that_acts_on_nothing_has_no_precision_and_recalls_nothing() -> None:
    found = estimate_quality(draws(("d1", False, "spam", 5), ("d1", False, "ham", 95)))
    assert found.precision.estimate is None
    assert found.recall.estimate is not None
    assert (found.recall.estimate.value, found.recall.estimate.low) == (0.0, 0.0)
    assert 0.3 < found.recall.estimate.high < 0.5


def test_nothing_drawn_is_nothing_said() -> None:
    found = estimate_quality(draws())
    assert found.prevalence.estimate is None
    assert (found.drawn, found.silent) == (0, ())


def test_a_day_without_labels_is_joined_with_its_neighbour_of_the_same_decision() -> None:
    given = draws(
        ("d1", True, "spam", 12), ("d2", True, "spam", 12), ("d3", True, None, 12),
        ("d1", False, "ham", 12), ("d2", False, "ham", 12), ("d3", False, "ham", 12),
    )  # fmt: skip
    cells, joined = response_cells(given)
    assert joined == 1
    assert cells[::12].tolist() == [3, 4, 4, 0, 1, 2]
    assert value(estimate_quality(given).prevalence.estimate) == pytest.approx(0.5)


def test_no_seen_miss_closes_the_interval_at_one() -> None:
    found = estimate_quality(draws(("d1", True, "spam", 30), ("d1", False, "ham", 300)))
    assert found.recall.estimate is not None
    assert (found.recall.estimate.value, found.recall.estimate.high) == (1.0, 1.0)
    assert 0.85 < found.recall.estimate.low < 0.95


def test_a_chance_outside_0_and_1_and_ragged_columns_are_refused() -> None:
    with pytest.raises(ValueError, match=r"chance 0\.0"):
        draws(("d1", True, "spam", 1), chance=0.0)
    short = columns(COMPLETE)
    with pytest.raises(ValueError, match="differ in length"):
        Draws(short[0][:-1], *short[1:])


@given(st.permutations(range(60)), st.floats(0.01, 1.0))
def test_neither_order_nor_a_common_chance_moves_a_figure(order: list[int], chance: float) -> None:
    groups = [
        ("d1", True, "spam", 12), ("d2", True, "ham", 10), ("d2", True, None, 8),
        ("d1", False, "spam", 10), ("d2", False, "ham", 20),
    ]  # fmt: skip
    first = estimate_quality(draws(*groups))
    mixed = Draws(*(column[np.array(order)] for column in columns(draws(*groups, chance=chance))))
    second = estimate_quality(mixed)
    for name in ("precision", "recall", "false_positive_rate", "prevalence"):
        one, other = getattr(first, name).estimate, getattr(second, name).estimate
        assert (one.value, one.low, one.high) == pytest.approx((other.value, other.low, other.high))
        assert one.low <= one.value <= one.high
