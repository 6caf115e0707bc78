"""Routes, receivers and inhibitions: who hears of what, with no secret in the file."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from data_contracts.config import load_settings
from infra.alerts.slo.objectives import seconds
from tests.amtool import CONFIGURATION, NEEDED, amtool
from tests.prometheus_names import rules

ALERT_RULES = [rule for rule in rules() if "alert" in rule]


def configuration() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(CONFIGURATION.read_text())
    return found


@NEEDED
def test_alertmanager_accepts_the_configuration() -> None:
    assert "SUCCESS" in amtool("check-config", str(CONFIGURATION))


@NEEDED
@pytest.mark.parametrize(
    ("severity", "receivers"),
    [("page", "incidents,on-call-mailbox"), ("ticket", "incidents"), ("unheard-of", "incidents")],
)
def test_pages_reach_a_person_directly_and_everything_reaches_incident_response(
    severity: str, receivers: str
) -> None:
    routed = amtool(
        "config", "routes", "test", f"--config.file={CONFIGURATION}", f"severity={severity}"
    )
    assert routed.strip() == receivers


def test_secrets_are_files() -> None:
    text = CONFIGURATION.read_text()
    keys = re.findall(r"^\s*-?\s*(\w*(?:password|credentials|token|secret|key)\w*):", text, re.M)
    assert sorted(keys) == ["credentials_file", "smtp_auth_password_file"]
    assert "@" not in "".join(re.findall(r"https?://\S+", text))


def test_it_reports_where_the_receiver_listens() -> None:
    from serving.incidents.alertmanager import PATH

    (incidents, _) = configuration()["receivers"]
    port = load_settings({}).alert_receiver.port
    (hook,) = incidents["webhook_configs"]
    assert hook["url"] == f"http://incidents.weir:{port}{PATH}"
    assert hook["send_resolved"]


def test_an_alert_that_holds_is_sent_again_before_it_counts_as_over() -> None:
    route = configuration()["route"]
    again = seconds(route["repeat_interval"]) + seconds(route["group_interval"])
    assert again < load_settings({}).incidents.quiet_seconds


def test_inhibitions_name_alerts_that_exist_and_none_silences_itself() -> None:
    names = {rule["alert"] for rule in ALERT_RULES}
    for inhibition in configuration()["inhibit_rules"]:
        matched = [
            {name for name in names if re.fullmatch(pattern, name)}
            for side in ("source_matchers", "target_matchers")
            for pattern in patterns(inhibition[side])
        ]
        assert all(matched), inhibition
        if len(matched) == 2:
            assert not matched[0] & matched[1]


def patterns(matchers: list[str]) -> list[str]:
    return [re.split(r"\s*=~?\s*", one)[1].strip('"') for one in matchers if "alertname" in one]
