"""Dawid-Skene recovers planted reviewers; gold accuracy is a share with an exact interval."""

from __future__ import annotations

import random

import pytest

from data_contracts.labels import LabelName
from pipelines.labelling.queue import Answer
from pipelines.labelling.reviewer_reliability import (
    MINIMUM_SHARED,
    dawid_skene,
    gold_accuracy,
    reliability,
)
from tests.unit.pipelines.labelling.test_agreement import answer

SKILL = {"ana": (0.95, 0.9), "ben": (0.8, 0.95), "cid": (0.9, 0.85), "dee": (0.6, 0.55)}


def planted(tasks: int = 1500) -> list[Answer]:
    """Four reviewers of known sensitivity and specificity answer every task; 40 % are spam."""
    chance = random.Random(11)
    given = []
    for task in range(tasks):
        truth: LabelName = "spam" if chance.random() < 0.4 else "ham"
        other: LabelName = "ham" if truth == "spam" else "spam"
        for reviewer, (sensitivity, specificity) in SKILL.items():
            right = chance.random() < (sensitivity if truth == "spam" else specificity)
            given.append(answer(task, reviewer, truth if right else other))
    return given


def test_dawid_skene_finds_what_was_planted() -> None:
    found = dawid_skene(planted())
    for reviewer, rates in SKILL.items():
        assert found[reviewer] == pytest.approx(rates, abs=0.05)


def test_reviewers_who_share_too_little_are_not_judged_by_it() -> None:
    answers = planted(MINIMUM_SHARED - 1)
    alone = [answer(1000 + i, "eve", "spam") for i in range(50)]
    for one in reliability(answers + alone):
        assert (one.sensitivity, one.specificity, one.gold) == (None, None, None)
    eve = reliability(answers + alone)[-1]
    assert (eve.reviewer, eve.answers, eve.shared) == ("eve", 50, 0)
    assert reliability([]) == []


def test_a_class_that_nobody_saw_has_no_rate() -> None:
    answers = [answer(i, reviewer, "ham") for i in range(30) for reviewer in ("ana", "ben")]
    assert {(one.sensitivity, one.specificity) for one in reliability(answers)} == {(None, 1.0)}


def test_gold_accuracy_is_a_share_with_its_exact_interval() -> None:
    """9 of 10: the bounds solve P(X >= 9) = 0.025 and P(X <= 9) = 0.025."""
    answers = [answer(i, "ana", "spam", gold="spam") for i in range(9)]
    answers += [answer(9, "ana", "ham", gold="spam"), answer(10, "ana", "ham")]
    found = gold_accuracy(answers)
    assert found is not None
    assert (found.value, found.of) == (0.9, 10)
    assert 10 * found.low**9 * (1 - found.low) + found.low**10 == pytest.approx(0.025)
    assert 1 - found.high**10 == pytest.approx(0.025)
    assert gold_accuracy(answers[-1:]) is None


def test_gold_questions_do_not_enter_the_model() -> None:
    answers = planted(100)
    gold = [answer(5000 + i, "dee", "ham", gold="spam") for i in range(30)]
    plain, tested = reliability(answers), reliability(answers + gold)
    assert [one.sensitivity for one in plain] == [one.sensitivity for one in tested]
    assert tested[-1].gold is not None
    assert tested[-1].gold.value == 0.0
