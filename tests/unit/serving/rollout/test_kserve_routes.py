"""The HTTPRoute of the cluster target: the rules of infra/kubernetes, and reading them back."""

from __future__ import annotations

import copy
from typing import Any, Literal

import pytest
import yaml

from data_contracts.config import PROJECT
from data_contracts.errors import ContractViolation
from serving.rollout.targets.base import Traffic
from serving.rollout.targets.envoy_routes import Routing
from serving.rollout.targets.kserve_routes import (
    TRAFFIC,
    asked_of,
    prediction_rules,
    problem,
    route,
    slots_asked,
    traffic_in,
)
from serving.rollout.targets.kserve_rules import check_route
from serving.rollout.targets.kserve_writes import covers
from tests.stand_ins.kserve_memory import kserve_settings

SETTINGS = kserve_settings("text", "media")
CANARY = Traffic(
    {"stable": "a", "baseline": "c", "canary": "b"}, {"stable": 80, "baseline": 10, "canary": 10}
)


def made(traffic: Traffic | None, key: str = "0" * 16) -> dict[str, Any]:
    return route(SETTINGS, Routing(traffic, key), None)


def rules_by_name(found: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {rule["name"]: rule for rule in found["spec"]["rules"]}


def test_a_champion_alone_has_the_rules_of_infra_kubernetes() -> None:
    """But for the Services' names, in which a slot stands here, and the Host that servers get."""
    file = PROJECT / "infra" / "kubernetes" / "traffic" / "route.yaml"
    text = file.read_text().replace("-predictor\n", "-a-predictor\n")
    written = rules_by_name(yaml.safe_load(text))
    rules = rules_by_name(made(Traffic({"stable": "a"})))
    assert list(rules) == list(written)
    for rule in (*rules.values(), *written.values()):
        rule["filters"] = [one for one in rule["filters"] if one["type"] != "URLRewrite"]
    for name, rule in written.items():
        assert covers(rules[name], rule), name


def test_a_rule_shares_out_by_weight_with_the_canary_last_and_each_arm_named() -> None:
    for name, service in (("text", "weir-text"), ("media-bulk", "weir-media")):
        references = rules_by_name(made(CANARY))[name]["backendRefs"]
        assert [(one["name"], one["weight"]) for one in references] == [
            (f"{service}-a-predictor", 80),
            (f"{service}-c-predictor", 10),
            (f"{service}-b-predictor", 10),
        ]
        arms = [one["filters"][0]["requestHeaderModifier"]["set"][0] for one in references]
        assert [arm["value"] for arm in arms] == ["stable", "baseline", "canary"]


def test_no_client_passes_for_a_copy_by_the_host_that_it_names() -> None:
    for name, rule in rules_by_name(made(CANARY)).items():
        hosts = [one["urlRewrite"]["hostname"] for one in rule["filters"] if "urlRewrite" in one]
        assert hosts == (["weir"] if rule.get("backendRefs") else []), name


def test_every_pool_and_class_sends_copies_to_the_mirrored_slots_service() -> None:
    rules = rules_by_name(made(Traffic({"stable": "a"}, mirror="b")))
    for name in ("text", "text-bulk", "media", "media-bulk"):
        mirrors = [one for one in rules[name]["filters"] if one["type"] == "RequestMirror"]
        service = f"weir-{name.split('-')[0]}-b-predictor"
        assert mirrors[0]["requestMirror"]["backendRef"]["name"] == service
    assert all(one["type"] != "RequestMirror" for one in rules["protocol"]["filters"])


@pytest.mark.parametrize("contents", [("text", "media"), ("media",)])
def test_the_places_of_prediction_rules_are_those_of_pools_and_classes(
    contents: tuple[Literal["text", "media"], ...],
) -> None:
    settings = kserve_settings(*contents)
    rules = route(settings, Routing(CANARY, ""), None)["spec"]["rules"]
    named = [rules[place]["name"] for place in prediction_rules(settings)]
    assert named == [name for content in contents for name in (f"{content}-bulk", content)]


def test_without_a_champion_one_rule_says_so() -> None:
    found = made(None)
    assert [rule["name"] for rule in found["spec"]["rules"]] == ["no-champion"]
    assert traffic_in(SETTINGS, found) is None
    assert asked_of(found) == Routing(None, "0" * 16)


@pytest.mark.parametrize(
    "traffic",
    [
        CANARY,
        Traffic({"stable": "a"}, mirror="b"),
        Traffic({"stable": "a", "baseline": "c"}),
        Traffic({"canary": "b", "stable": "a"}, {"canary": 100}),
    ],
)
def test_what_was_asked_is_read_back_fallbacks_included(traffic: Traffic) -> None:
    found = made(traffic)
    check_route(found)
    assert traffic_in(SETTINGS, found) == traffic


def test_edited_weights_are_read_as_they_are_and_as_percentages() -> None:
    found = made(CANARY)
    for rule in found["spec"]["rules"]:
        for reference in rule.get("backendRefs", []):
            if "-b-" in reference["name"]:
                reference["weight"] = 90
    seen = traffic_in(SETTINGS, found)
    assert seen is not None
    # 80, 10 and 90 of 180, rounded down; the one per cent that is left goes to the greatest
    assert dict(seen.weights) == {"stable": 44, "baseline": 5, "canary": 51}
    assert asked_of(found).traffic == CANARY


def test_where_rules_differ_the_one_that_is_boldest_counts() -> None:
    found = made(CANARY)
    for reference in rules_by_name(found)["media"]["backendRefs"]:
        reference["weight"] = {"a": 20, "b": 70, "c": 10}[reference["name"].split("-")[2]]
    seen = traffic_in(SETTINGS, found)
    assert seen is not None
    assert seen.visible_share("b") == 70


def test_a_slot_that_any_rule_names_is_asked() -> None:
    found = made(Traffic({"stable": "a"}, mirror="b"))
    assert slots_asked(SETTINGS, found) == {"a": "answers requests", "b": "is mirrored to"}
    found = made(Traffic({"stable": "a", "baseline": "c"}))
    assert slots_asked(SETTINGS, found) == {"a": "answers requests"}
    assert slots_asked(SETTINGS, None) == {}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"weight": 130}, r"backendRefs\[weir-text-a-predictor\].weight = 130: no percentage"),
        ({"weight": 60}, r"rules\[text\].backendRefs.weight = 80: weights do not sum to 100"),
        ({"weight": -1}, r"weight = -1: no percentage"),
    ],
)
def test_weights_that_are_none_are_refused_by_field_value_and_remedy(
    change: dict[str, int], said: str
) -> None:
    found = made(CANARY)
    rules_by_name(found)["text"]["backendRefs"][0].update(change)
    with pytest.raises(ContractViolation, match=said):
        check_route(found)


def test_a_slot_that_is_mirrored_to_and_answers_is_refused() -> None:
    found = made(Traffic({"stable": "a"}, mirror="b"))
    rule = rules_by_name(found)["media"]
    rule["filters"][-1]["requestMirror"]["backendRef"]["name"] = "weir-media-a-predictor"
    with pytest.raises(ContractViolation, match="is mirrored to and answers requests as well"):
        check_route(found)


def test_what_others_wrote_beside_it_stays() -> None:
    current = made(CANARY)
    current["metadata"]["annotations"]["team"] = "spam"
    current["metadata"]["resourceVersion"] = "7"
    again = route(SETTINGS, Routing(Traffic({"stable": "a"}), "0" * 16), copy.deepcopy(current))
    assert again["metadata"]["annotations"]["team"] == "spam"
    assert again["metadata"]["annotations"][TRAFFIC] != current["metadata"]["annotations"][TRAFFIC]
    assert again["metadata"]["resourceVersion"] == "7"


def test_a_gateway_has_taken_a_route_when_it_says_so_of_this_generation() -> None:
    accepted = {"type": "Accepted", "status": "True", "observedGeneration": 2}
    resolved = {"type": "ResolvedRefs", "status": "True", "observedGeneration": 2}
    found = {"metadata": {"generation": 2}, "status": {"parents": [{"conditions": [accepted]}]}}
    assert problem(found) is None
    accepted["observedGeneration"] = 1
    assert problem(found) == "no gateway has looked at it"
    unresolved = {**resolved, "status": "False", "reason": "BackendNotFound", "message": "gone"}
    found["status"] = {"parents": [{"conditions": [unresolved]}]}
    assert problem(found) == "BackendNotFound: gone"
