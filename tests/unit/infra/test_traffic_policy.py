"""The objects of `infra/kubernetes/traffic` say what the local gateway is configured to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from data_contracts.config import PROJECT
from serving.rollout.targets.base import Traffic
from serving.rollout.targets.envoy_bootstrap import bootstrap
from serving.rollout.targets.envoy_clusters import PATIENT, URGENT, cluster
from serving.rollout.targets.envoy_config import ACCOUNT_HEADER, DataPlane
from serving.rollout.targets.envoy_listener import CONTENT_SCRIPT, OWN_HEADERS
from serving.rollout.targets.envoy_routes import (
    BAD_PRIORITY,
    NO_CHAMPION,
    REQUEST_TIMEOUT_SECONDS,
    RETRIES,
    TRY_TIMEOUT_SECONDS,
    Routing,
    routes,
)

FOLDER = PROJECT / "infra" / "kubernetes" / "traffic"
PLANE = DataPlane(
    "127.0.0.1", 1, 2, {"a": 3}, Path("envoy"), Path("log"), 1_048_576, "spam", media_slots={"a": 4}
)
LISTENER = bootstrap(PLANE)["static_resources"]["listeners"][0]
MANAGER = LISTENER["filter_chains"][0]["filters"][0]["typed_config"]
LOCAL = cluster(PLANE, "a")


def described() -> dict[tuple[str, str], dict[str, Any]]:
    found = {}
    for name in yaml.safe_load((FOLDER / "kustomization.yaml").read_text())["resources"]:
        for one in yaml.safe_load_all((FOLDER / name).read_text()):
            found[one["kind"], one["metadata"]["name"]] = one["spec"]
    return found


OBJECTS = described()
RULES = {rule["name"]: rule for rule in OBJECTS["HTTPRoute", "weir-predictions"]["rules"]}
LIMITS = OBJECTS["BackendTrafficPolicy", "weir"]


def local_routes() -> list[dict[str, Any]]:
    response = routes(PLANE, Routing(Traffic({"stable": "a"}), "00"))
    found: list[dict[str, Any]] = response["resources"][0]["virtual_hosts"][0]["routes"]
    return found


def test_rules_ask_for_the_same_headers_in_the_same_order_of_precedence() -> None:
    def local_conditions(route: dict[str, Any]) -> dict[str, str]:
        headers = route["match"].get("headers", [])
        return {one["name"]: one["string_match"]["exact"] for one in headers}

    predictions = ["unknown-priority", "text-bulk", "text", "media-bulk", "media"]
    asked = [
        {one["name"]: one["value"] for one in RULES[name]["matches"][0].get("headers", [])}
        for name in predictions
    ]
    local = [one for one in local_routes() if one["name"] in ("bad-priority", "predict")]
    assert asked == [local_conditions(one) for one in local]
    paths = {RULES[name]["matches"][0]["path"]["value"] for name in predictions}
    assert paths == {one["match"]["safe_regex"]["regex"] for one in local}


def test_each_pool_is_a_service_of_its_own_and_names_its_arm() -> None:
    services = {name: RULES[name]["backendRefs"] for name in RULES if "backendRefs" in RULES[name]}
    assert {name: refs[0]["name"] for name, refs in services.items()} == {
        "text-bulk": "weir-text-predictor", "text": "weir-text-predictor",
        "media-bulk": "weir-media-predictor", "media": "weir-media-predictor",
        "protocol": "weir-text-predictor",
    }  # fmt: skip
    for (ref,) in services.values():
        (names_the_arm,) = ref["filters"]
        header = {"name": "x-weir-arm", "value": "stable"}
        assert names_the_arm["requestHeaderModifier"]["set"] == [header]


def test_timeouts_and_retries_are_the_local_ones() -> None:
    expected = {
        "request": f"{REQUEST_TIMEOUT_SECONDS}s",
        "backendRequest": f"{TRY_TIMEOUT_SECONDS}s",
    }
    assert RULES["text"]["timeouts"] == RULES["media"]["timeouts"] == expected
    assert LIMITS["retry"]["numRetries"] == RETRIES
    assert LIMITS["retry"]["perRetry"]["timeout"] == f"{TRY_TIMEOUT_SECONDS}s"


@pytest.mark.parametrize(("policy", "priority"), [("weir", URGENT), ("weir-bulk", PATIENT)])
def test_each_class_has_the_local_room(policy: str, priority: str) -> None:
    (local,) = (
        one for one in LOCAL["circuit_breakers"]["thresholds"] if one["priority"] == priority
    )
    breaker = OBJECTS["BackendTrafficPolicy", policy]["circuitBreaker"]
    names = {"maxConnections": "max_connections", "maxPendingRequests": "max_pending_requests",
             "maxParallelRequests": "max_requests"}  # fmt: skip
    assert {name: breaker[name] for name in names} == {
        name: local[its_name] for name, its_name in names.items()
    }


def test_the_retry_budget_is_the_local_one() -> None:
    budget = LOCAL["circuit_breakers"]["thresholds"][0]["retry_budget"]
    policy = LIMITS["circuitBreaker"]["retryBudget"]
    assert policy["minRetryConcurrency"] == budget["min_retry_concurrency"]
    percent = policy["percent"]
    assert 100 * percent["numerator"] / percent["denominator"] == budget["budget_percent"]["value"]


def test_servers_are_passed_by_after_as_many_failures() -> None:
    local, passive = LOCAL["outlier_detection"], LIMITS["healthCheck"]["passive"]
    assert LIMITS["loadBalancer"]["type"] == "LeastRequest"
    assert LOCAL["lb_policy"] == "LEAST_REQUEST"
    assert passive == {
        "consecutive5XxErrors": local["consecutive_5xx"],
        "consecutiveGatewayErrors": local["consecutive_gateway_failure"],
        "interval": local["interval"],
        "baseEjectionTime": local["base_ejection_time"],
        "maxEjectionPercent": local["max_ejection_percent"],
    }


def test_overload_is_met_with_the_local_actions() -> None:
    (patch,) = OBJECTS["EnvoyProxy", "weir"]["bootstrap"]["jsonPatches"]
    assert patch["path"] == "/overload_manager/actions"
    assert patch["value"] == bootstrap(PLANE)["overload_manager"]["actions"]


def test_the_access_log_has_the_fields_that_the_judge_reads() -> None:
    (log,) = OBJECTS["EnvoyProxy", "weir"]["telemetry"]["accessLog"]["settings"]
    local = MANAGER["access_log"][0]["typed_config"]["log_format"]["json_format"]
    assert log["format"]["json"] == local


def test_clients_can_set_none_of_the_gateways_own_headers() -> None:
    early = OBJECTS["ClientTrafficPolicy", "weir"]["headers"]["earlyRequestHeaders"]
    assert tuple(early["remove"]) == OWN_HEADERS
    for name in ("text-bulk", "text", "media-bulk", "media", "protocol"):
        (forget,) = RULES[name]["filters"]
        assert forget["requestHeaderModifier"]["remove"] == [ACCOUNT_HEADER]


def test_the_script_is_the_very_file_of_the_local_gateway() -> None:
    kustomization = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())
    (made,) = kustomization["configMapGenerator"]
    (entry,) = made["files"]
    key, _, path = entry.partition("=")
    assert key == "lua"
    assert (FOLDER / path).resolve() == CONTENT_SCRIPT
    (lua,) = OBJECTS["EnvoyExtensionPolicy", "weir-content-kind"]["lua"]
    assert lua["valueRef"]["name"] == made["name"]


def test_the_accounts_hash_chooses_among_the_arms() -> None:
    (patch,) = OBJECTS["EnvoyPatchPolicy", "weir-affinity"]["jsonPatches"]
    assert (patch["operation"]["path"], patch["operation"]["value"]) == (
        "header_name", ACCOUNT_HEADER)  # fmt: skip
    (local, *_) = (one for one in local_routes() if one["name"] == "predict")
    assert local["route"]["weighted_clusters"]["header_name"] == ACCOUNT_HEADER


def test_refusals_say_the_same() -> None:
    refusal = OBJECTS["HTTPRouteFilter", "weir-unknown-priority"]["directResponse"]
    assert yaml.safe_load(refusal["body"]["inline"]) == {"error": BAD_PRIORITY}
    no_champion = OBJECTS["HTTPRouteFilter", "weir-no-champion"]["directResponse"]
    assert yaml.safe_load(no_champion["body"]["inline"]) == {"error": NO_CHAMPION}
    assert no_champion["statusCode"] == 503
