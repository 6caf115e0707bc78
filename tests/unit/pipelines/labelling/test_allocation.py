"""The budget follows what labels were worth on the audit, above floors and with its reasons."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.labelling.allocation import ArmLabels, Worth, allocate, evasions_found, measure_worth

PRIOR = {"audit": 0.2, "margin": 0.4, "novelty": 0.4}
FLOORS = {"margin": 0.05, "novelty": 0.05}


def labels(seed: int, useless: str = "", useful: str = "") -> ArmLabels:
    """Spam in two directions; the audit has mostly the first kind, `useful` labels the second.

    The labels of the arm `useless` say nothing (both kinds alike), 60 of each arm.
    """
    rng = np.random.default_rng(seed)
    parts = {"audit": 200, useless: 60, useful: 60}
    vectors, spam, arms = [], [], []
    for arm, count in parts.items():
        for place in range(count if arm else 0):
            is_spam = place % 2 == 0
            rare = arm == useful or (arm == "audit" and place % 8 == 0)
            centre = [0.0, 1.0, 0.0] if rare else [1.0, 0.0, 0.0]
            centre = centre if is_spam and arm != useless else [0.0, 0.0, 1.0]
            vectors.append(np.array(centre) + rng.normal(0.0, 0.25, 3))
            spam.append(is_spam)
            arms.append(arm)
    named = np.array(arms)
    chances = np.where(named == "audit", 0.1, np.nan)
    none = np.zeros(len(named), bool)
    return ArmLabels(np.array(vectors, np.float32), np.array(spam), named, chances, none)


def part_of(found: ArmLabels, rows: np.ndarray) -> ArmLabels:
    return ArmLabels(
        found.embeddings[rows], found.is_spam[rows], found.arms[rows], found.chances[rows],
        found.evaded[rows],
    )  # fmt: skip


def test_before_anything_is_measured_the_prior_speaks_and_says_so() -> None:
    given = allocate(PRIOR, FLOORS, {}, {})
    assert given.shares == PRIOR
    assert "no worth measured yet" in given.reasons["margin"]


def test_shares_by_hand() -> None:
    """A hundred labels each: half trust. Measured 3 : 1, prior 1 : 1, so 5 : 3 of the free 0.7."""
    worth = {"margin": Worth(100, 0.3, 0.01), "novelty": Worth(100, 0.1, 0.01)}
    given = allocate(PRIOR, FLOORS, worth, {})
    assert given.shares["audit"] == 0.2
    assert given.shares["margin"] == pytest.approx(0.05 + 0.7 * 5 / 8)
    assert given.shares["novelty"] == pytest.approx(0.05 + 0.7 * 3 / 8)
    assert sum(given.shares.values()) == pytest.approx(1.0)
    assert "+0.300 ± 0.010 bits" in given.reasons["margin"]


def test_an_arm_that_does_harm_falls_to_its_floor_with_many_labels_and_the_reason_says_it() -> None:
    worth = {"margin": Worth(10_000, 0.3, 0.01), "novelty": Worth(1_000_000, -0.1, 0.01)}
    given = allocate(PRIOR, FLOORS, worth, {})
    assert given.shares["novelty"] == pytest.approx(0.05, abs=0.001)
    assert "floor 5%" in given.reasons["novelty"]


def test_where_no_arm_helped_the_prior_stays() -> None:
    worth = {"margin": Worth(100, -0.1, 0.01), "novelty": Worth(100, 0.0, 0.01)}
    given = allocate(PRIOR, FLOORS, worth, {})
    assert given.shares == PRIOR
    assert "no arm's labels lowered" in given.reasons["margin"]


def test_floors_that_leave_no_room_or_miss_an_arm_are_refused() -> None:
    with pytest.raises(ValueError, match=r"add up to 1.30; lower labelling floors"):
        allocate(PRIOR, {"margin": 0.6, "novelty": 0.5}, {}, {})
    with pytest.raises(ValueError, match="floors are for"):
        allocate(PRIOR, {"margin": 0.1}, {}, {})


def test_labels_that_show_what_the_audit_rarely_sees_are_worth_more_than_noise() -> None:
    for seed in range(3):
        found = labels(seed, useless="noise", useful="novelty")
        worth = measure_worth(found, np.random.default_rng(seed))
        assert worth["novelty"].bits > 0 > worth["noise"].bits
        assert worth["novelty"].labels == 60


def test_the_same_seed_measures_the_same() -> None:
    found = labels(1, useless="noise", useful="novelty")
    one, other = (measure_worth(found, np.random.default_rng(5)) for _ in range(2))
    assert one == other


def test_without_enough_audit_labels_nothing_is_measured() -> None:
    found = labels(2, useless="noise", useful="novelty")
    few = (found.arms != "audit") | (np.cumsum(found.arms == "audit") <= 30)
    assert measure_worth(part_of(found, few), np.random.default_rng(0)) == {}


def test_the_worth_of_all_arms_adds_up_to_what_they_bring_as_one() -> None:
    """Efficiency of the Shapley value: gains telescope over every order."""
    found = labels(3, useless="noise", useful="novelty")
    apart = measure_worth(found, np.random.default_rng(0))
    joined = np.where(found.arms == "audit", "audit", "both")
    as_one = ArmLabels(found.embeddings, found.is_spam, joined, found.chances, found.evaded)
    whole = measure_worth(as_one, np.random.default_rng(0))["both"]
    together = sum(one.bits * one.labels for one in apart.values())
    assert together == pytest.approx(whole.bits * whole.labels)


def test_finds_are_shares_of_the_newest_labels_beyond_the_audits() -> None:
    """By hand: novelty's newest 40 have 25 evasions, 25 / (40 + 10); the audit's 40 have 5."""
    arms = np.array(["audit"] * 40 + ["novelty"] * 60)
    evaded = np.array([True] * 5 + [False] * 35 + [True] * 20 + [False] * 15 + [True] * 25)
    nothing = np.zeros(100, bool)
    found = ArmLabels(np.zeros((100, 2), np.float32), nothing, arms, np.full(100, 0.1), evaded)
    assert evasions_found(found) == {"novelty": pytest.approx(0.5 - 0.1)}


def test_an_arm_that_finds_evasions_is_followed_at_once() -> None:
    """At 0.4 beyond the audit urgency is 4/5, all of it for novelty; the prior keeps 1/5."""
    given = allocate(PRIOR, FLOORS, {}, {"novelty": 0.4, "margin": -0.1})
    assert given.shares["novelty"] == pytest.approx(0.05 + 0.7 * (0.8 + 0.2 * 0.5))
    assert given.shares["audit"] == 0.2
    assert sum(given.shares.values()) == pytest.approx(1.0)
    assert "evasions in 40% more" in given.reasons["novelty"]
    assert "evasions" not in given.reasons["margin"]
