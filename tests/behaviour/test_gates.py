"""What every gate must do; a new gate adds its defects to `BROKEN`."""

from __future__ import annotations

import numpy as np
import orjson
import pytest

from data_contracts.config import PROJECT
from data_contracts.events import Event
from data_contracts.protocols import Assessor
from data_contracts.reports import GateReport
from evaluation.attacks import ATTACKS
from evaluation.gates import gates
from evaluation.gates.base import Contender
from evaluation.gates.judging import encoded
from evaluation.gates.paired import Pairs
from evaluation.gates.pictures import draw
from evaluation.gates.policy import Policy, load_policy
from evaluation.gates.suite import Suite, suite_of
from tests import gate_cases as made

SHIPPED = load_policy(PROJECT / "infra" / "config" / "gates.yaml")

LONG = 120  # letters: beyond any message of `tests.gate_cases`, however it is spread
INVISIBLE = "\u200b\u200c\u200d\u2060\ufeff\u00ad"


def with_short_search(policy: Policy) -> Policy:
    """The policy with fewer queries of the black-box attacker: a second a judgement less."""
    asked = {"queries": 36, "spam": policy.adversarial.search.spam.model_copy(update={"text": 30})}
    search = policy.adversarial.search.model_copy(update=asked)
    adversarial = policy.adversarial.model_copy(update={"search": search})
    return policy.model_copy(update={"adversarial": adversarial})


GATES = gates(with_short_search(SHIPPED))


def is_long(event: Event) -> bool:
    return sum(sign.isalpha() for sign in event.text) >= LONG


FALLS_TO_ORDINARY_WORDS = made.ByRule(
    lambda event: 0.9 if made.is_spam(event) and not is_long(event) else 0.1
)


def two_together(event: Event) -> float:
    """Reads through either of two disguises, and through neither where both are there."""
    worn = any(sign in event.text for sign in INVISIBLE) + is_long(event)
    return 0.9 - 0.35 * worn if made.is_spam(event) else 0.3


FALLS_TO_TWO_TOGETHER = made.ByRule(two_together)
BROKEN = {
    "golden": {
        "random": made.RANDOM,
        "blocks all": made.BLOCKS_ALL,
        "silent": made.SILENT,
        "low threshold": made.LOW_THRESHOLD,
        "English only": made.ENGLISH_ONLY,
        "never sure": made.ByRule(lambda event: 0.55 if made.is_spam(event) else 0.45),
    },
    "adversarial": {
        "fragile": made.FRAGILE,
        "falls to ordinary words": FALLS_TO_ORDINARY_WORDS,
        "falls to two attacks together": FALLS_TO_TWO_TOGETHER,
    },
    "fairness": {
        "blocks Turkish": made.BLOCKS_TURKISH,
        "silent in Turkish": made.ENGLISH_ONLY,
        "blocks one in six of the Turkish": made.ByRule(
            lambda e: (
                0.9 if made.is_spam(e) or (e.language == "tr" and made.noise(e) < 1 / 6) else 0.1
            )
        ),
    },
}
CASES = [(gate, name, model) for gate, models in BROKEN.items() for name, model in models.items()]


def judge(
    gate: str, model: Assessor, suite: Suite | None = None, champion: Assessor | None = None
) -> GateReport:
    return GATES[gate].judge(
        made.two_languages() if suite is None else suite,
        Contender("challenger", model),
        Contender("champion", champion) if champion else None,
        np.random.default_rng(0),
    )


def test_every_registered_gate_has_defects_that_it_must_stop() -> None:
    assert set(BROKEN) == set(GATES)


@pytest.mark.parametrize("gate", GATES)
def test_a_perfect_model_passes(gate: str) -> None:
    report = judge(gate, made.PERFECT)
    assert report.verdict == "pass", report.reasons
    assert report.reasons == ()


@pytest.mark.parametrize(("gate", "name", "model"), CASES)
def test_a_broken_model_fails_with_reasons(gate: str, name: str, model: Assessor) -> None:
    report = judge(gate, model)
    assert report.verdict == "fail" if name != "silent" else report.verdict != "pass"
    assert report.reasons


@pytest.mark.parametrize("gate", GATES)
def test_an_equal_champion_does_not_stop_a_perfect_model(gate: str) -> None:
    report = judge(gate, made.PERFECT, champion=made.PERFECT)
    assert report.verdict == "pass", report.reasons
    assert report.details["champion"] == "champion"


@pytest.mark.parametrize(
    ("gate", "model"),
    [
        ("golden", made.ByRule(lambda e: 0.9 if made.is_spam(e) and made.noise(e) < 0.7 else 0.1)),
        ("adversarial", made.ByRule(
            lambda e: made.FRAGILE.score(e) if made.noise(e) < 0.15 else made.PERFECT.score(e)
        )),
        ("fairness", made.ByRule(
            lambda e: 0.9 if made.is_spam(e) or (e.language == "tr" and made.noise(e) < 0.05)
            else 0.1
        )),
    ],
)  # fmt: skip
def test_a_model_above_the_floors_but_behind_the_champion_fails(gate: str, model: Assessor) -> None:
    assert judge(gate, model, champion=made.PERFECT).verdict == "fail"


@pytest.mark.parametrize("gate", GATES)
def test_little_data_is_not_enough_evidence_and_the_numbers_are_said(gate: str) -> None:
    report = judge(gate, made.PERFECT, suite_of(made.labelled(spam=3, ham=4)))
    assert report.verdict == "not_enough_evidence"
    assert any("asked at least" in reason for reason in report.reasons)


@pytest.mark.parametrize("gate", GATES)
@pytest.mark.parametrize(("spam", "ham"), [(0, 0), (5, 0), (0, 5)])
def test_a_suite_without_spam_or_ham_is_not_enough_evidence(gate: str, spam: int, ham: int) -> None:
    suite = suite_of(made.labelled(spam, ham))
    for champion in (None, made.PERFECT):
        assert judge(gate, made.PERFECT, suite, champion).verdict == "not_enough_evidence"


@pytest.mark.parametrize("gate", GATES)
def test_the_report_is_json_and_the_same_twice(gate: str) -> None:
    first, second = (
        encoded(judge(gate, made.LOW_THRESHOLD, champion=made.RANDOM), []) for _ in range(2)
    )
    assert first == second
    assert orjson.loads(first)["gate"] == gate


@pytest.mark.parametrize("gate", GATES)
def test_the_order_of_the_cases_does_not_change_the_version_or_the_verdict(gate: str) -> None:
    rows = [*made.labelled(40, 80, "en"), *made.labelled(40, 80, "tr")]
    forward, backward = suite_of(rows), suite_of(rows[::-1])
    assert forward.version == backward.version
    assert (
        judge(gate, made.LOW_THRESHOLD, forward).verdict
        == judge(gate, made.LOW_THRESHOLD, backward).verdict
    )


@pytest.mark.parametrize("gate", GATES)
def test_every_report_has_pictures_that_are_the_same_twice(gate: str, tmp_path) -> None:
    report = judge(gate, made.LOW_THRESHOLD, champion=made.PERFECT)
    contents = [[path.read_bytes() for path in draw(report, tmp_path)] for _ in range(2)]
    assert contents[0] == contents[1]
    assert contents[0]


def attacked(model: Assessor, champion: Assessor | None = None, spam: int = 40) -> GateReport:
    return judge("adversarial", model, made.two_languages(spam), champion)


def test_the_shipped_policy_lists_every_attack() -> None:
    assert set(SHIPPED.adversarial.attacks) == set(ATTACKS)


def test_an_attack_that_reaches_nothing_in_the_suite_is_named_and_not_judged() -> None:
    report = attacked(made.PERFECT)
    assert {"blur", "slow_drip", "han_variants"} <= set(report.details["not_applicable"])
    assert not {m.slice for m in report.metrics} & set(report.details["not_applicable"])
    assert report.verdict == "pass"


def test_only_the_search_stops_a_model_that_falls_to_two_attacks_together() -> None:
    report = attacked(FALLS_TO_TWO_TOGETHER)
    assert {m.verdict for m in report.metrics if m.name == "evasion"} == {"pass"}
    assert [m.name for m in report.metrics if m.verdict == "fail"] == ["evasion_by_search"]


def test_the_costs_of_both_models_are_told_by_language() -> None:
    costs = attacked(FALLS_TO_TWO_TOGETHER, champion=made.PERFECT).details["attack_costs"]
    assert set(costs["models"]) == {"challenger", "champion"}
    assert {"all", "language=en", "language=tr"} <= set(costs["models"]["challenger"])
    assert costs["against"]["all"]["difference"]["low"] > 0
    assert costs["cheapest"][0]["moves"]


def test_less_ham_than_the_rate_needs_is_allowed_one_mistake_and_the_report_says_so() -> None:
    suite = made.two_languages(spam=40, ham=40)
    report = judge("adversarial", made.LOW_THRESHOLD, suite)
    costs = report.details["attack_costs"]
    assert costs["false_positive_rate"] == 1 / 80
    ham = [made.LOW_THRESHOLD.score(event) for event in suite.where(~suite.labels).events]
    assert sum(score >= costs["thresholds"]["challenger"] for score in ham) == 1


def test_without_enough_ham_for_a_threshold_there_is_not_enough_evidence() -> None:
    report = judge("adversarial", made.PERFECT, made.two_languages(spam=40, ham=20))
    assert report.verdict == "not_enough_evidence"
    assert report.details["attack_costs"] == {}
    assert [m.name for m in report.metrics if m.verdict != "pass" and m.bound] == [
        "ham_for_the_search"
    ]


def test_one_attack_of_many_that_looks_worse_than_the_champion_does_not_fail_a_model() -> None:
    """Alone it would (p < .05): Holm asks for more where a score of attacks is judged."""
    blind = frozenset(row.event.event_id for row in made.labelled(5, 0, "en"))
    blind |= {row.event.event_id for row in made.labelled(4, 0, "tr")}
    digits = frozenset("0123456789")
    unlucky = made.ByRule(
        lambda e: 0.1 if digits & set(e.text) and e.event_id in blind else made.PERFECT.score(e)
    )
    report = attacked(unlucky, champion=made.PERFECT)
    behind = [m for m in report.metrics if m.name == "attacked_recall_over_champion"]
    worst = min(behind, key=lambda metric: metric.value)
    rule, lost = SHIPPED.adversarial.champion, round(-worst.value * worst.sample_size)
    assert worst.slice == "leetspeak"
    assert worst.value < rule.bound
    assert Pairs(0, lost, worst.sample_size).surely_beyond(rule.bound, rule.better) < 0.05
    assert worst.verdict == "pass"


def test_the_sample_of_a_large_suite_is_the_policys() -> None:
    report = attacked(made.PERFECT, spam=SHIPPED.adversarial.sample.text)
    assert report.details["spam_attacked"] == SHIPPED.adversarial.sample.text
