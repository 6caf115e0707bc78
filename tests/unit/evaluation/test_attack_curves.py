"""Attack-cost curves on outcomes worked by hand, and their picture."""

from __future__ import annotations

import io

import numpy as np
import orjson
import pytest

from data_contracts.events import Event
from data_contracts.reports import GateReport
from evaluation.attacks import curves
from evaluation.attacks.black_box import Evasion, Outcome
from evaluation.attacks.cost_picture import attack_costs
from evaluation.attacks.curves import Attacked
from evaluation.metrics import clopper_pearson

EVENT = Event(event_id="e", text="x")


def outcome(
    queries: int | None, edits: int = 0, caught: bool = True, reach: bool = True
) -> Outcome:
    evasion = None if queries is None else Evasion(EVENT, (), queries, edits)
    return Outcome("e", caught, reach, queries or 50, evasion)


FOUR = Attacked.of([outcome(2, 30), outcome(7, 3), outcome(None), outcome(None)])
NEVER = Attacked.of([outcome(None)] * 4)


def test_curves_count_what_evades_within_a_cost() -> None:
    found = curves.curves(FOUR, budget=8)
    assert found["queries"]["rate"] == [0, 0.25, 0.25, 0.25, 0.25, 0.25, 0.5, 0.5]
    by_edits = dict(zip(found["edits"]["at"], found["edits"]["rate"], strict=True))
    assert [by_edits[at] for at in (2, 3, 21, 34)] == [0, 0.25, 0.25, 0.5]
    assert found["queries"]["needed"] == {"0.05": 2, "0.1": 2, "0.25": 2, "0.5": 7}
    assert found["queries"]["high"][1] == clopper_pearson(1, 4).high


def test_a_share_that_never_evades_needs_no_number() -> None:
    assert set(curves.curves(NEVER, 8)["edits"]["needed"].values()) == {None}


def test_only_what_was_caught_and_in_reach_counts() -> None:
    attacked = Attacked.of(
        [outcome(1), outcome(None), outcome(None, caught=False), outcome(None, reach=False)]
    )
    assert attacked.among.tolist() == [True, True, False, False]
    assert curves.evasion(attacked).value == 0.5


@pytest.mark.parametrize("rate", [0.01, 0.05, 0.1])
def test_a_threshold_catches_no_more_ham_than_its_rate(rate: float) -> None:
    rng = np.random.default_rng(1)
    for scores in (rng.random(100), rng.integers(0, 5, 100) / 5.0, np.full(100, 0.3)):
        assert np.mean(scores >= curves.threshold_at(scores, rate)) <= rate
    scores = np.arange(100) / 100
    assert np.mean(scores >= curves.threshold_at(scores, rate)) == pytest.approx(rate)


def test_too_little_ham_for_a_rate_is_refused_with_the_number() -> None:
    with pytest.raises(ValueError, match="at least 100"):
        curves.threshold_at(np.zeros(99), 0.01)


def test_differences_and_ratios_are_paired_and_by_group() -> None:
    groups = np.repeat(np.arange(30), 2)
    first = Attacked.of([outcome(1) if row < 30 else outcome(None) for row in range(60)])
    second = Attacked.of([outcome(1) if row < 20 else outcome(None) for row in range(60)])
    rng = np.random.default_rng(0)
    difference = curves.difference(first, second, groups, rng, 400)
    assert difference.value == pytest.approx(1 / 6)
    assert 0 < difference.low < 1 / 6 < difference.high
    ratio = curves.ratio(first, second, groups, rng, 400)
    assert ratio is not None
    assert (ratio.value, ratio.low > 1) == (pytest.approx(1.5), True)
    assert curves.ratio(first, Attacked.of([outcome(None)] * 60), groups, rng, 400) is None
    alone = curves.difference(first, second, np.arange(60), rng, 400)
    assert difference.high - difference.low > 1.2 * (alone.high - alone.low)


def test_a_comparison_is_on_what_both_catch_and_slices_without_any_are_left_out() -> None:
    first = Attacked.of([outcome(1), outcome(None), outcome(None), outcome(None, caught=False)])
    second = Attacked.of([outcome(1, caught=False), outcome(3), outcome(None), outcome(None)])
    slices = {"language=en": np.array([True, True, False, False]), "language=tr": np.zeros(4, bool)}
    found = curves.compared(
        {"challenger": first, "champion": second}, slices, np.arange(4), 5,
        np.random.default_rng(0), 50,
    )  # fmt: skip
    assert found["against"]["all"]["caught_by_both"] == 2
    assert found["against"]["all"]["difference"]["value"] == -0.5
    assert set(found["models"]["challenger"]) == {"all", "language=en"}
    assert orjson.loads(orjson.dumps(found)) == found


def report(details: dict[str, object]) -> GateReport:
    return GateReport("adversarial", "pass", (), (), "m", (), "v", details)


def test_the_picture_shows_every_model_by_slice_and_nothing_without_data() -> None:
    assert attack_costs(report({})) is None
    slices = {"language=en": np.array([True, True, False, False])}
    costs = curves.compared(
        {"challenger": FOUR, "champion": NEVER}, slices, np.arange(4), 8,
        np.random.default_rng(0), 50,
    )  # fmt: skip
    figure = attack_costs(report({"attack_costs": costs | {"false_positive_rate": 0.01}}))
    assert figure is not None
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg")
    assert len(figure.axes) == 4
    assert figure.get_suptitle() == "Share that evades at 1 % false positives"


def test_the_picture_is_none_where_nothing_was_caught() -> None:
    none = Attacked.of([outcome(None, caught=False)] * 4)
    costs = curves.compared({"challenger": none}, {}, np.arange(4), 8, np.random.default_rng(0), 9)
    assert attack_costs(report({"attack_costs": costs | {"false_positive_rate": 0.01}})) is None
