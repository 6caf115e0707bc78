"""What every gate must do; a new gate adds its defects to `BROKEN`."""

from __future__ import annotations

import numpy as np
import orjson
import pytest

from data_contracts.config import PROJECT
from data_contracts.protocols import Assessor
from data_contracts.reports import GateReport
from evaluation.gates import gates
from evaluation.gates.base import Contender
from evaluation.gates.judging import encoded
from evaluation.gates.pictures import draw
from evaluation.gates.policy import load_policy
from evaluation.gates.suite import Suite, suite_of
from tests import gate_cases as made

GATES = gates(load_policy(PROJECT / "infra" / "config" / "gates.yaml"))
BROKEN = {
    "golden": {
        "random": made.RANDOM,
        "blocks all": made.BLOCKS_ALL,
        "silent": made.SILENT,
        "low threshold": made.LOW_THRESHOLD,
        "English only": made.ENGLISH_ONLY,
    },
    "adversarial": {"fragile": made.FRAGILE},
    "fairness": {
        "blocks Turkish": made.BLOCKS_TURKISH,
        "silent in Turkish": made.ENGLISH_ONLY,
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
