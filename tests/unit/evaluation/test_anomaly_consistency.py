"""Decisions that contradict each other or their outcomes."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest

from data_contracts.verdicts import Action, Stage, Verdict
from evaluation.monitoring.anomaly.consistency import (
    Check,
    Decided,
    alert_of_check,
    alert_of_outcomes,
    differently_decided_duplicates,
    overruled_specialists,
    score_bias,
    spiegelhalter,
)

NOW = datetime(2026, 1, 5, tzinfo=UTC)


def verdict(
    event_id: str,
    score: float,
    action: Action,
    specialists: tuple[float, ...] = (),
    version: str = "7",
    revision: int = 0,
) -> Verdict:
    stages = tuple(Stage(f"s{i}", True, value) for i, value in enumerate(specialists))
    combined = (Stage("meta_learner", True, score), Stage("image", False))
    return Verdict(
        event_id, score, action, (), (*stages, *combined), version, "t1", revision=revision
    )


def test_a_meta_learner_that_overrules_all_its_specialists_is_counted_by_direction() -> None:
    let_through, acted_on = overruled_specialists(
        [
            verdict("agrees", 0.9, "block", (0.9, 0.95)),
            verdict("let", 0.1, "allow", (0.9, 0.95)),
            verdict("acted", 0.9, "block", (0.1, 0.05)),
            verdict("divided", 0.9, "block", (0.1, 0.9)),
            verdict("alone", 0.9, "block", (0.1,)),
            verdict("below a strict threshold", 0.9, "allow", (0.9, 0.95)),
        ]
    )
    assert (let_through.contradicted, let_through.cases) == (1, 5)
    assert let_through.examples == ("let",)
    assert acted_on.examples == ("acted",)


def test_near_duplicates_of_one_version_on_both_sides_are_a_contradiction() -> None:
    offer = "You have won a prize of one thousand pounds, call now to claim"
    decisions = [
        Decided(verdict("a", 0.9, "block"), offer),
        Decided(verdict("b", 0.1, "allow"), offer.upper()),
        Decided(verdict("c", 0.1, "allow", version="8"), offer),
        Decided(verdict("d", 0.1, "allow"), "see you at lunch tomorrow then, by the river"),
        Decided(verdict("e", 0.2, "allow"), "see you at lunch tomorrow then, by the river!"),
    ]
    check = differently_decided_duplicates(decisions)
    assert (check.contradicted, check.cases, check.examples) == (1, 2, ("a",))


def test_a_revision_replaces_what_was_decided_before() -> None:
    text = "You have won a prize of one thousand pounds, call now to claim"
    decisions = [
        Decided(verdict("a", 0.9, "block"), text),
        Decided(verdict("b", 0.1, "allow"), text),
        Decided(verdict("b", 0.9, "block", revision=1), text),
    ]
    assert differently_decided_duplicates(decisions).contradicted == 0


@pytest.mark.parametrize(("contradicted", "raised"), [(0, False), (3, False), (20, True)])
def test_an_alert_needs_a_share_that_is_surely_above_what_is_allowed(
    contradicted: int, raised: bool
) -> None:
    alert = alert_of_check(Check("X", contradicted, 200, ("e1",)), 0.02, NOW)
    assert (alert is not None) == raised


def test_people_who_were_silenced_against_all_specialists_page_somebody() -> None:
    records = [verdict(f"e{i}", 0.9, "block", (0.1, 0.1)) for i in range(50)]
    let_through, acted_on = overruled_specialists(records)
    alert = alert_of_check(acted_on, 0.02, NOW)
    assert alert is not None
    assert alert.severity_hint == "page"
    assert "e0" in alert.likely_cause
    assert alert_of_check(let_through, 0.02, NOW) is None


def test_without_cases_nothing_is_said() -> None:
    assert alert_of_check(Check("X", 0, 0, ()), 0.02, NOW) is None


def test_calibrated_scores_raise_nothing_and_belied_ones_say_how() -> None:
    rng = np.random.default_rng(8)
    scores = rng.uniform(0.05, 0.95, 2000)
    honest = rng.random(2000) < scores
    assert alert_of_outcomes(scores, honest, NOW, "7") is None
    rarer = rng.random(2000) < scores * 0.7
    alert = alert_of_outcomes(scores, rarer, NOW, "7")
    assert alert is not None
    assert alert.likely_cause == "scores of this version are too high"
    assert alert.subject == {"model_version": "7"}


def test_scores_too_sure_at_both_ends_are_found_though_right_on_average() -> None:
    rng = np.random.default_rng(9)
    truth = rng.uniform(0.3, 0.7, 4000)
    scores = np.where(truth > 0.5, 0.95, 0.05)
    outcomes = rng.random(4000) < truth
    balanced = np.concatenate([scores, 1 - scores])
    both = np.concatenate([outcomes, ~outcomes])
    assert abs(score_bias(balanced, both)) < 1
    assert spiegelhalter(balanced, both) > 10
    alert = alert_of_outcomes(balanced, both, NOW, "7")
    assert alert is not None
    assert "both ends" in alert.likely_cause
