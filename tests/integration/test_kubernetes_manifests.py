"""Every rendered object of a kind that it knows, on a real API server with KServe's CRDs.

The server validates, defaults and stores (see `tests/stand_ins/kserve_api_server.py`); KServe's
webhook is not there, so what only that refuses, `kserve_rules` must refuse before.
"""

from __future__ import annotations

import copy
import re
import subprocess
from collections.abc import Mapping
from typing import Any

import orjson
import pytest

from data_contracts.config import KServePool
from data_contracts.errors import ContractViolation
from serving.rollout.targets import kserve_rules, kserve_services
from serving.rollout.targets.base import Deployment
from serving.rollout.targets.kserve_writes import merge_patch
from tests.integration.test_kubernetes_traffic import apply, kubectl
from tests.kustomized import KUBERNETES, Object, is_built_in, kustomizations, rendered

pytestmark = pytest.mark.services

CLIENT_SIDE = ("apply", "--validate=strict", "-f", "-")
TEXT = KServePool(
    inference_service="weir-text", runtime="weir-text", model_format="weir", replicas=3
)


@pytest.fixture(scope="module")
def cluster(empty_api_server: Mapping[str, str]) -> Mapping[str, str]:
    return empty_api_server


@pytest.fixture(scope="module")
def kinds(cluster: Mapping[str, str]) -> set[str]:
    lines = kubectl(cluster, "api-resources", "--no-headers").stdout.splitlines()
    return {line.split()[-1] for line in lines}


def distinct(kinds: set[str]) -> list[Object]:
    """Objects of these kinds as they stand in any render, each once."""
    found = {
        orjson.dumps(one, option=orjson.OPT_SORT_KEYS): one
        for folder in kustomizations()
        for one in rendered(folder)
        if one["kind"] in kinds
    }
    return list(found.values())


def get(cluster: Mapping[str, str], kind: str, name: str) -> Any:
    return orjson.loads(kubectl(cluster, "-n", "weir", "get", kind, name, "-o", "json").stdout)


def one_of(kind: str, name: str, folder: str = "overlays/standard-gateway") -> Object:
    (found,) = (
        one for one in rendered(folder) if (one["kind"], one["metadata"]["name"]) == (kind, name)
    )
    return found


def with_slots(service: Object) -> Object:
    """As the controller leaves it in a canary, from what e2e.sh leaves at the first install."""
    service = copy.deepcopy(service)
    service["spec"]["predictor"]["minReplicas"] = 0
    for slot, version in (("a", "1"), ("b", "2")):
        model = Deployment(f"models:/spam/{version}", version)
        service = kserve_services.with_slot(service, TEXT, "weir", slot, model)
    return service


def test_all_objects_are_accepted_and_applying_them_twice_changes_nothing(
    cluster: Mapping[str, str], kinds: set[str]
) -> None:
    known = {"InferenceService", "ServingRuntime", "Gateway", "HTTPRoute", "LocalModelCache"}
    objects = distinct(known)
    assert known <= kinds
    assert {one["kind"] for one in objects} == known
    everything = apply(cluster, *objects)
    assert everything.returncode == 0, everything.stderr
    overlay = [one for one in rendered("overlays/standard-gateway") if one["kind"] in known]
    shown = ("get", "inferenceservice,servingruntime,gateway", "-o")
    generations = "jsonpath={range .items[*]}{.metadata.name}={.metadata.generation} {end}"
    seen = []
    for _ in range(2):
        applied = apply(cluster, *overlay)
        assert applied.returncode == 0, applied.stderr
        seen.append(kubectl(cluster, "-n", "weir", *shown, generations).stdout.split())
    assert seen[0] == seen[1]
    assert len(seen[0]) == len(overlay)


@pytest.mark.parametrize(
    ("kind", "name", "field"),
    [("InferenceService", "weir-text", "predictor"), ("ServingRuntime", "weir-text", "containers")],
)
def test_this_api_server_would_have_found_a_mistake(
    cluster: Mapping[str, str], kind: str, name: str, field: str
) -> None:
    wrong = copy.deepcopy(one_of(kind, name))
    inner = wrong["spec"][field]
    (inner if isinstance(inner, dict) else inner[0])["priorityClasName"] = "x"
    refused = apply(cluster, wrong)
    assert refused.returncode != 0
    assert "priorityClasName" in refused.stderr


def test_kinds_that_no_server_here_knows_are_named_in_the_readme(kinds: set[str]) -> None:
    unknown = {
        one["kind"]
        for folder in kustomizations()
        for one in rendered(folder)
        if not is_built_in(one) and one["kind"] not in kinds
    }
    told = (KUBERNETES / "README.md").read_text().partition("What was tried")[2]
    assert unknown
    assert unknown <= set(re.findall(r"`(\w+)`", told))


def test_e2e_says_what_the_cluster_lacks_before_it_changes_anything(
    cluster: Mapping[str, str],
) -> None:
    script = [str(KUBERNETES / "e2e.sh"), "--yes", "--version", "3"]
    done = subprocess.run(
        script, env=dict(cluster), capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert "CRD clusterstoragecontainers.serving.kserve.io is missing" in done.stderr
    assert "rendered" not in done.stdout


def test_applying_the_files_again_never_changes_what_serves(cluster: Mapping[str, str]) -> None:
    """Server-side and client-side, after the controller has put a model into a slot."""
    files = one_of("InferenceService", "weir-text")
    kubectl(cluster, "-n", "weir", "delete", "inferenceservice", "weir-text")
    assert kubectl(cluster, *CLIENT_SIDE, objects=[files]).returncode == 0
    made = get(cluster, "inferenceservice", "weir-text")
    wanted = with_slots(made)
    kserve_rules.check_service(wanted)
    change = orjson.dumps(merge_patch(made, wanted)).decode()
    how = ("patch", "inferenceservice", "weir-text", "--type=merge", "--field-manager=weir")
    written = kubectl(cluster, "-n", "weir", *how, "--patch", change)
    assert written.returncode == 0, written.stderr
    serving = get(cluster, "inferenceservice", "weir-text")["spec"]
    assert serving["predictor"]["model"]["storageUri"] == "models:/spam/1"
    again = [kubectl(cluster, *CLIENT_SIDE, objects=[files]), apply(cluster, files)]
    assert [one.stderr for one in again] == ["", ""]
    assert get(cluster, "inferenceservice", "weir-text")["spec"] == serving


def test_a_canary_is_hardened_and_spread_as_the_files_say() -> None:
    files = one_of("InferenceService", "weir-text")
    spec = with_slots(files)["spec"]
    (canary,) = spec["canary"]
    for key in ("securityContext", "serviceAccountName", "priorityClassName",
                "topologySpreadConstraints", "automountServiceAccountToken"):  # fmt: skip
        wanted = files["spec"]["predictor"][key]
        assert spec["predictor"][key] == canary["predictor"][key] == wanted


def test_a_weight_of_130_is_refused_by_the_server_or_by_our_own_check(
    cluster: Mapping[str, str],
) -> None:
    """KServe's CRD bounds percentages. Gateway API's weights are relative, up to a million, so that
    the server takes 130 for one of them and our check must not.
    """
    service = with_slots(one_of("InferenceService", "weir-text"))
    service["metadata"]["name"] = "weir-weights"
    service["spec"]["canary"][0]["trafficPercent"] = 130
    refused = apply(cluster, service)
    assert refused.returncode != 0
    assert "should be less than or equal to 100" in refused.stderr
    with pytest.raises(ContractViolation, match="130"):
        kserve_rules.check_service(service)

    route = copy.deepcopy(one_of("HTTPRoute", "weir-predictions", "traffic"))
    (reference,) = route["spec"]["rules"][1]["backendRefs"]
    reference["weight"] = 130
    assert apply(cluster, route).returncode == 0
    with pytest.raises(ContractViolation, match="130"):
        kserve_rules.check_route(route)
    reference["weight"] = 1_000_001
    refused = apply(cluster, route)
    assert refused.returncode != 0
    assert "should be less than or equal to 1000000" in refused.stderr
