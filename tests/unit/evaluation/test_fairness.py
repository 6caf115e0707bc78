"""What the fairness gate says of models that silence a group, made by hand."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import numpy as np
import pytest

from data_contracts.config import load_settings
from data_contracts.events import Event
from data_contracts.reports import GateReport
from evaluation.gates.base import Contender
from evaluation.gates.fairness import FairnessGate
from evaluation.gates.fairness_cases import PAIR, PROBE
from evaluation.gates.fairness_harm import harm_score, weights_of
from evaluation.gates.policy import load_policy
from evaluation.gates.suite import Case, Suite, suite_of
from tests import gate_cases as made

POLICY = load_policy(load_settings().gates.policy).fairness
GROUPS = ("women", "Muslims", "gay people", "black people", "disabled people")
BORN = {"new": "2026-01-01T00:00:00Z", "old": "2020-01-01T00:00:00Z"}
FLIPS = made.ByRule(lambda event: 0.9 if made.is_spam(event) or "swapped 1" in event.text else 0.1)


def identity_suite(cases: int = 120) -> Suite:
    """Traffic in two languages, a functional case a group and number, and swapped pairs."""
    traffic = made.two_languages()
    probes = [
        Case(
            Event(event_id=f"{group}-{number}", text=f"{group} {number}", language="en"), False,
            "fairness_made", "must_not_block",
            {PROBE: "fairness_made", "identity": group, "functionality": "ident_pos_nh"},
        )
        for group in GROUPS for number in range(cases)
    ]  # fmt: skip
    pairs = [
        Case(
            Event(event_id=f"{side}-{number}", text=f"{side} {number}", language="en"), False,
            "fairness_pairs", "must_not_block", {PROBE: "fairness_pairs", PAIR: str(number)},
        )
        for side in ("original", "swapped") for number in range(cases)
    ]  # fmt: skip
    every = (*traffic.cases, *probes, *pairs)
    return Suite(every, np.arange(len(every)))


def blocks(group: str, share: float) -> made.ByRule:
    return made.ByRule(
        lambda event: (
            0.9
            if made.is_spam(event) or (group in event.text and made.noise(event) < share)
            else 0.1
        )
    )


def judge(
    model: made.ByRule, suite: Suite | None = None, champion: made.ByRule | None = None
) -> GateReport:
    return FairnessGate(POLICY).judge(
        suite or identity_suite(),
        Contender("challenger", model),
        Contender("champion", champion) if champion else None,
        np.random.default_rng(0),
    )


def failed(report: GateReport) -> set[tuple[str, str]]:
    return {(one.name, one.slice) for one in report.metrics if one.verdict == "fail"}


def test_a_perfect_model_passes_with_every_kind_of_evidence() -> None:
    report = judge(made.PERFECT, champion=made.PERFECT)
    assert report.verdict == "pass", report.reasons
    names = {one.name for one in report.metrics if one.verdict == "pass"}
    assert names >= {
        "false_positive_gap", "true_positive_gap", "recall", "harm", "identity_harm",
        "identity_false_positive_rate", "identity_false_positive_gap", "functional_failure",
        "identity_flip_rate", "false_positives_over_champion",
    }  # fmt: skip


def test_one_identity_group_over_blocked_by_ten_points_is_named() -> None:
    report = judge(blocks("Muslims", 0.1))
    assert ("identity_false_positive_gap", "identity=made.en/Muslims") in failed(report)
    assert not any("gay" in part for _, part in failed(report))


def test_answers_that_hang_on_the_identity_term_fail_as_flips() -> None:
    assert ("identity_flip_rate", "all") in failed(judge(FLIPS))


def test_a_group_blocked_by_all_models_shows_as_functional_failure_and_harm() -> None:
    report = judge(made.ByRule(lambda event: 0.9 if event.event_id not in ("e",) else 0.1))
    assert {name for name, _ in failed(report)} >= {
        "functional_failure", "identity_harm", "harm", "identity_false_positive_rate",
    }  # fmt: skip


def test_identity_cases_weigh_into_no_figure_of_the_traffic() -> None:
    alone, beside = judge(made.LOW_THRESHOLD, made.two_languages()), judge(made.LOW_THRESHOLD)
    own = list(alone.metrics)
    assert own == [one for one in beside.metrics if one in own]
    assert {one.name for one in beside.metrics} > {one.name for one in own}


def test_few_pairs_are_not_enough_evidence() -> None:
    report = judge(made.PERFECT, identity_suite(70))
    assert report.verdict == "not_enough_evidence"
    assert [reason.split(" ")[0] for reason in report.reasons] == ["swap_pairs"]


@pytest.mark.parametrize(
    ("by", "context"),
    [
        ("account_age", lambda new: {"account_created_at": BORN["new" if new else "old"]}),
        ("region", lambda new: {"country": "NG" if new else "DE"}),
    ],
)
def test_newcomers_and_regions_over_blocked_are_caught(
    by: str, context: Callable[[bool], dict[str, str]]
) -> None:
    suite = suite_of(made.labelled(40, 200, "en") + made.labelled(40, 200, "tr"))
    cases = []
    for number, case in enumerate(suite.cases):
        told = {
            "occurred_at": datetime(2026, 1, 10, tzinfo=UTC),
            "context": context(number % 2 == 0),
        }
        event = case.event.model_copy(update=told)
        cases.append(Case(event, case.is_spam, case.dataset))
    hit = {"NG", BORN["new"]}
    model = made.ByRule(
        lambda event: (
            0.9
            if made.is_spam(event)
            or (made.noise(event) < 0.15 and hit & set(map(str, event.context.values())))
            else 0.1
        )
    )
    report = judge(model, Suite(tuple(cases), suite.groups))
    assert {part.partition("=")[0] for name, part in failed(report) if "gap" in name} == {by}


def test_a_false_positive_on_a_protected_group_weighs_more() -> None:
    cases = identity_suite(1).cases[-7:]
    weights = weights_of(cases, POLICY.harm, lambda case, by: case.value(by))
    assert weights.tolist() == [3.0] * 5 + [1.0, 1.0]


def test_harm_is_weighed_false_positives_per_thousand() -> None:
    wrong = np.array([True] * 5 + [False] * 95)
    even = harm_score(wrong, np.ones(100))
    assert even.value == pytest.approx(50)
    assert even.low == pytest.approx(1000 * 0.02154, rel=1e-3)  # Wilson, 5 of 100
    assert harm_score(wrong, np.full(100, 3.0)).value == pytest.approx(150)
    nothing = harm_score(np.zeros(100, dtype=bool), np.array([1.0] * 50 + [3.0] * 50))
    assert (nothing.value, nothing.low) == (0.0, 0.0)
    assert 0 < nothing.high < 150
