"""The playbooks that come with Weir, and tables that are refused."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from data_contracts.config import PROJECT, load_settings
from data_contracts.errors import ConfigurationError
from serving.incidents.playbooks import FOR_PEOPLE, load_playbooks
from tests.stand_ins.incident_world import alert

OURS = load_settings({}).incidents.playbooks


@pytest.mark.parametrize(
    ("seen", "name"),
    [
        (alert("WeirCanaryErrors"), "canary-fails"),
        (alert("FalsePositiveRate", slice="tr"), "people-silenced"),
        (alert("Anything", cause="release of version 7"), "bad-release"),
        (alert("Anything", cause="release of version 7", hint="ticket"), "suspected-release"),
        (alert("PrecisionLow"), "people-silenced"),
        (alert("EstimatedPrecisionLow", hint="ticket"), "suspected-release"),
        (alert("LabelsPoisoned", day="2026-01-05"), "poisoned-data"),
        (alert("FeatureDrift", feature="account_age"), "traffic-drifted"),
        (alert("FeatureDrift", hint="info", feature="account_age"), None),
        (alert("NewCampaign"), "campaign"),
        (alert("WeirLatencyFast"), "slow-or-overloaded"),
        (alert("WeirBreakerOpen", stage="ocr"), "stage-is-out"),
        (alert("WeirRecordsLost"), None),
    ],
)
def test_alerts_find_their_playbook(seen: object, name: str | None) -> None:
    found = load_playbooks(OURS).for_alerts([seen])  # type: ignore[list-item]
    assert (found.name if found else None) == name


def test_nothing_that_silences_more_people_is_ever_automatic() -> None:
    for playbook in load_playbooks(OURS).playbooks:
        for step in playbook.steps:
            assert not (step.mitigation == "tighten_thresholds" and step.automatic)


def test_every_mitigation_has_limits_and_every_playbook_a_section_of_the_runbook() -> None:
    found = load_playbooks(OURS)
    assert set(found.mitigations) == set(FOR_PEOPLE)
    for playbook in found.playbooks:
        path, _, section = playbook.runbook.partition("#")
        heads = re.findall(r"^## (.*)$", (PROJECT / path).read_text(encoding="utf-8"), re.M)
        assert section in {head.lower().replace(" ", "-") for head in heads}


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("mitigation: abort_rollout, auto", "mitigation: abort_rolout, auto", "mitigation"),
        ("{log_odds: 0.5}", "{log_odds: 1.5}", "no stronger than 1.0"),
        ("{log_odds: -0.3}", "{log_odds: 0.3}", "give below 0"),
        ("shares: {bulk: 0.0", "shares: {interactive: 0.0", "class interactive"),
        ("name: campaign", "name: bad-release", "share a name"),
        (
            "shed: {per_hour: 4, least_shares: {normal: 0.3, bulk: 0.0, shadow: 0.0}}",
            "",
            "no limits",
        ),
        ("parameters: {log_odds: 0.5}", "parameters: {odds: 0.5}", "takes"),
    ],
)
def test_a_wrong_table_fails_when_it_is_read(
    tmp_path: Path, old: str, new: str, problem: str
) -> None:
    text = OURS.read_text(encoding="utf-8")
    assert old in text
    path = tmp_path / "playbooks.yaml"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    assert yaml.safe_load(path.read_text(encoding="utf-8"))
    with pytest.raises(ConfigurationError, match=problem):
        load_playbooks(path)
