"""infra/kubernetes/autoscaling: valid objects, of metrics that exist, with the plan's numbers.

KEDA's own schema is read where it is: `keda.sh_scaledobjects.yaml` in `crds/` of the folder that
WEIR_KUBE_ASSETS names (default ../shared/kubernetes), or the file that WEIR_KEDA_CRD names.
"""

from __future__ import annotations

import os
import re
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

from data_contracts.config import PROJECT
from serving.capacity.arrivals import Bursts
from serving.capacity.demand import MEDIA, TEXT, read_mix
from serving.capacity.planning import PoolPlan, Scenario, plan
from serving.capacity.service_times import SAMPLE, read_service_times
from serving.capacity.simulation import Precision
from serving.capacity.sizing import Limits, Zones
from serving.rollout.targets.kserve_services import service_name
from tests.prometheus_names import mistakes
from tests.promtool import NEEDED, promtool
from tests.stand_ins.inference_services import AUTOSCALING, scaled_services

ASSETS = Path(os.environ.get("WEIR_KUBE_ASSETS", PROJECT.parent / "shared" / "kubernetes"))
KEDA = Path(os.environ.get("WEIR_KEDA_CRD", ASSETS / "crds" / "keda.sh_scaledobjects.yaml"))
KSERVE = ASSETS / "crds" / "serving.kserve.io_inferenceservices.yaml"
KUBERNETES = "1.36"
POOLS = {"weir-text": TEXT, "weir-media": MEDIA}
SLOTS = ("a", "b", "c")
DISRUPTION = PROJECT / "infra" / "kubernetes" / "base" / "platform" / "disruption.yaml"
Object = dict[str, Any]


def objects(folder: str, *files: str) -> dict[str, Object]:
    """By name."""
    found = {}
    for file in files:
        for one in yaml.safe_load_all((AUTOSCALING / folder / file).read_text()):
            found[one["metadata"]["name"]] = one
    return found


SCALED = objects("keda", "text.yaml", "media.yaml")
FALLBACK = objects("hpa", "text.yaml", "media.yaml")
BUDGETS = {
    one["metadata"]["name"]: one
    for one in yaml.safe_load_all(DISRUPTION.read_text())
    if one["metadata"]["name"] in POOLS
}
QUERIES = {
    f"{name} {trigger['name']}": trigger["metadata"]["query"]
    for name, one in SCALED.items()
    for trigger in one["spec"]["triggers"]
    if trigger["type"] == "prometheus"
}


@cache
def schema(crd: Path) -> Any:
    """A validator by the version that is stored; nothing but its fields is allowed."""
    if not crd.is_file():
        pytest.skip(f"{crd} is missing; set WEIR_KUBE_ASSETS, or WEIR_KEDA_CRD for KEDA's")
    versions = yaml.load(crd.read_text(), yaml.CSafeLoader)["spec"]["versions"]
    (stored,) = (one for one in versions if one["storage"])
    return jsonschema.Draft7Validator(_closed(stored["schema"]["openAPIV3Schema"]))


def _closed(part: Any) -> Any:
    """As strict decoding reads it: unknown fields are mistakes, but for an object's metadata."""
    if isinstance(part, list):
        return [_closed(one) for one in part]
    if not isinstance(part, dict):
        return part
    found = {key: _closed(value) for key, value in part.items()}
    if isinstance(part.get("properties"), dict) and "additionalProperties" not in part:
        open_ended = part.get("x-kubernetes-preserve-unknown-fields", False)
        found["additionalProperties"] = open_ended
    if part.get("x-kubernetes-int-or-string"):
        found.pop("type", None)
    return found


@pytest.mark.parametrize("name", SCALED)
def test_scaled_objects_are_valid_by_the_schema_of_keda(name: str) -> None:
    schema(KEDA).validate(SCALED[name])


def test_the_schema_of_keda_would_have_found_a_mistake() -> None:
    wrong = yaml.safe_load(yaml.safe_dump(SCALED["weir-text-a"]))
    wrong["spec"]["fallback"]["replica"] = 3
    with pytest.raises(jsonschema.ValidationError, match="replica"):
        schema(KEDA).validate(wrong)


@pytest.mark.parametrize("one", [*FALLBACK.values(), *BUDGETS.values()], ids=lambda o: o["kind"])
def test_built_in_objects_are_valid_in_kubernetes(one: Object) -> None:
    kubernetes_validate.validate(one, KUBERNETES, strict=True)


def test_the_check_of_built_in_objects_would_have_found_a_mistake() -> None:
    wrong = {
        **FALLBACK["weir-text-a"],
        "spec": {**FALLBACK["weir-text-a"]["spec"], "maxReplica": 3},
    }
    with pytest.raises(kubernetes_validate.ValidationError, match="maxReplica"):
        kubernetes_validate.validate(wrong, KUBERNETES, strict=True)


@pytest.mark.parametrize("way", ["keda", "hpa"])
def test_pods_of_an_inference_service_are_spread_and_left_to_the_autoscaler(
    way: str, tmp_path: Path
) -> None:
    found = scaled_services(way, tmp_path)
    assert {one["kind"] for one in found} == {
        "InferenceService",
        {"keda": "ScaledObject", "hpa": "HorizontalPodAutoscaler"}[way],
    }  # fmt: skip
    of_kserve = schema(KSERVE)
    for one in (one for one in found if one["kind"] == "InferenceService"):
        of_kserve.validate(one)
        annotations = one["metadata"]["annotations"]
        assert annotations["serving.kserve.io/autoscalerClass"] == "external"
        zone, *_ = one["spec"]["predictor"]["topologySpreadConstraints"]
        assert zone["topologyKey"] == "topology.kubernetes.io/zone"
        assert zone["labelSelector"] == BUDGETS[one["metadata"]["name"]]["spec"]["selector"]
        assert zone["matchLabelKeys"] == ["app"]  # KServe's label of one slot's pods


@pytest.mark.parametrize("way", [SCALED, FALLBACK], ids=["keda", "hpa"])
def test_every_slot_is_scaled_alike_by_an_object_of_its_own(way: dict[str, Object]) -> None:
    assert set(way) == {f"{pool}-{slot}" for pool in POOLS for slot in SLOTS}
    for pool in POOLS:
        written = [yaml.safe_dump(way[f"{pool}-{slot}"]) for slot in SLOTS]
        named = [
            one.replace(f"{pool}-{slot}", pool) for one, slot in zip(written, SLOTS, strict=True)
        ]
        assert named == named[:1] * len(SLOTS)
        assert all(one.count(f"{pool}-") >= 2 for one in written)


@pytest.mark.parametrize("name", SCALED)
def test_both_ways_scale_the_deployment_of_the_slot_between_the_same_bounds(name: str) -> None:
    keda, hpa = SCALED[name]["spec"], FALLBACK[name]["spec"]
    assert keda["scaleTargetRef"] == hpa["scaleTargetRef"]
    pool, _, slot = name.rpartition("-")
    assert keda["scaleTargetRef"]["name"] == service_name(pool, slot)
    bounds = (keda["minReplicaCount"], keda["maxReplicaCount"])
    assert bounds == (hpa["minReplicas"], hpa["maxReplicas"])
    assert bounds[0] % 3 == 0
    behavior = keda["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
    assert behavior == hpa["behavior"]
    assert behavior["scaleDown"]["stabilizationWindowSeconds"] >= 600
    assert keda["fallback"]["replicas"] >= bounds[0]


@pytest.mark.parametrize("name", SCALED)
def test_queue_and_latency_are_what_is_scaled_on(name: str) -> None:
    triggers = {one["name"]: one for one in SCALED[name]["spec"]["triggers"]}
    assert "weir_queue_depth" in triggers["queue"]["metadata"]["query"]
    assert "weir_request_seconds_bucket" in triggers["latency"]["metadata"]["query"]
    assert float(triggers["latency"]["metadata"]["threshold"]) < 0.08


@pytest.mark.parametrize("query", QUERIES.values(), ids=QUERIES)
def test_queries_name_series_and_labels_that_servers_have(query: str) -> None:
    """Beside `pod`, which the scrape adds, and what NVIDIA's exporter has."""
    if "DCGM_" in query:
        assert re.findall(r"DCGM_\w+", query) == ["DCGM_FI_DEV_GPU_UTIL"]
        return
    known = re.sub(r'pod=~"[^"]*",', "", query)
    assert known != query
    assert list(mistakes(known)) == []


@NEEDED
def test_prometheus_can_read_the_queries(tmp_path: Path) -> None:
    rules = [
        {"record": f"query_{number}", "expr": query}
        for number, query in enumerate(QUERIES.values())
    ]
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]}))
    assert "SUCCESS" in promtool("check", "rules", str(file))


@pytest.fixture(scope="module")
def planned() -> dict[str, PoolPlan]:
    """A million verdicts a second by the committed service times, as the README plans them."""
    scenario = Scenario(
        verdicts_per_second=1e6, mix=read_mix("text=80,image=12,video=3,account=5"),
        spam_share=0.1, limits=Limits(80.0), zones=Zones(3, 10.0), bursts=Bursts(),
        cores_per_pod=4, gateways=20, way_milliseconds=1.0, afterwards_seconds=10.0,
    )  # fmt: skip
    found = plan(scenario, read_service_times(SAMPLE), Precision(40_000, 4, 7))
    return {pool.demand.name: pool for pool in found.pools}


@pytest.mark.parametrize(("name", "pool"), POOLS.items())
def test_targets_keep_the_zone_that_the_plan_has_in_reserve(
    name: str, pool: str, planned: dict[str, PoolPlan]
) -> None:
    least, kept = planned[pool].least.steady, planned[pool].kept.steady
    (cpu,) = (one["resource"]["target"] for one in FALLBACK[f"{name}-a"]["spec"]["metrics"])
    assert cpu["averageUtilization"] == pytest.approx(100 * kept.utilisation, abs=5)
    (queue,) = (one for one in SCALED[f"{name}-a"]["spec"]["triggers"] if one["name"] == "queue")
    assert kept.waiting < float(queue["metadata"]["threshold"]) < least.waiting
    cores = [one["metadata"]["value"] for one in SCALED[f"{name}-a"]["spec"]["triggers"]
             if one["type"] == "cpu"]  # fmt: skip
    assert cores in ([], [str(cpu["averageUtilization"])])


def test_the_text_pool_may_grow_to_what_the_plan_needs(planned: dict[str, PoolPlan]) -> None:
    most = SCALED["weir-text-a"]["spec"]["maxReplicaCount"]
    assert most == pytest.approx(1.2 * planned[TEXT].kept.pods, rel=0.1)
