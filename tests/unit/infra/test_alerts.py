"""Alert rules parse, speak of metrics that exist, speak when they should, and say what to do."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from data_contracts.config import PROJECT
from tests.prometheus_names import ALERTS, RUNBOOK, mistakes, rules, sections
from tests.promtool import NEEDED, promtool

CASES = sorted(Path(__file__).parent.glob("alert_cases*.yaml"))
ALERT_RULES = [rule for rule in rules() if "alert" in rule]


@NEEDED
def test_prometheus_accepts_the_rules() -> None:
    said = promtool("check", "rules", *map(str, sorted(ALERTS.glob("*.yaml"))))
    assert said.count("SUCCESS") == len(list(ALERTS.glob("*.yaml"))) == 3


@NEEDED
@pytest.mark.parametrize("cases", CASES, ids=lambda path: path.stem)
def test_alerts_speak_when_they_should_and_else_keep_quiet(cases: Path) -> None:
    assert "SUCCESS" in promtool("test", "rules", str(cases))


def test_every_alert_is_seen_to_speak() -> None:
    tested = [
        case
        for path in CASES
        for test in yaml.safe_load(path.read_text())["tests"]
        for case in test.get("alert_rule_test", [])
    ]
    spoken = {case["alertname"] for case in tested if case["exp_alerts"]}
    assert spoken == {rule["alert"] for rule in ALERT_RULES}


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule.get("alert") or rule["record"])
def test_rules_name_only_metrics_and_labels_that_servers_have(rule: dict[str, str]) -> None:
    assert not list(mistakes(rule["expr"]))


def test_a_wrong_name_and_a_wrong_label_would_be_found() -> None:
    assert list(mistakes("rate(weir_requests[5m])")) == ["unknown metric weir_requests"]
    wrong = 'sum by (colour) (rate(weir_shed_total{klass="bulk"}[5m]))'
    assert list(mistakes(wrong)) == [
        "weir_shed_total has no label klass",
        "none of ['weir_shed_total'] has the label colour",
    ]
    assert list(mistakes("vector(1)")) == ["no metric in vector(1)"]
    assert list(mistakes("sum(envoy_no_such_thing)")) == ["unknown metric envoy_no_such_thing"]


@pytest.mark.parametrize("rule", ALERT_RULES, ids=lambda rule: rule["alert"])
def test_every_alert_says_what_happened_what_to_do_and_where_to_read_on(rule: dict) -> None:
    notes = rule["annotations"]
    assert rule["labels"]["severity"] in ("page", "ticket")
    assert notes["summary"]
    assert notes["action"].endswith(".")
    path, _, anchor = notes["runbook_url"].partition("#")
    assert anchor in sections((PROJECT / path).read_text())
    assert (
        PROJECT / "infra/dashboards" / f"{notes['dashboard_url'].removeprefix('/d/')}.json"
    ).is_file()


def test_every_section_of_the_runbook_is_reached_and_leads_on() -> None:
    text = RUNBOOK.read_text()
    used = {rule["annotations"]["runbook_url"].partition("#")[2] for rule in ALERT_RULES}
    playbooks = (PROJECT / "infra/config/playbooks.yaml").read_text()
    used |= set(re.findall(r"runbook\.md#([a-z-]+)", playbooks))
    assert used == sections(text)
    assert set(re.findall(r"\]\(#([a-z-]+)\)", text.replace("\n", " "))) <= sections(text)
