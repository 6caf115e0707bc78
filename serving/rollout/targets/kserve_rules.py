"""What must hold of an object before it is written, so that a mistake is an error with a remedy.

The InferenceService's rules are those of KServe's webhook (0.21, pkg/apis/serving/v1beta1/
inference_service_validation.go) and what it lets pass although no request would be answered; the
HTTPRoute's are ours: Gateway API takes weights for relative, so it would carry any sum.
Every check raises ContractViolation, which names the field, its value and the remedy.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from data_contracts.errors import ContractViolation
from serving.rollout.targets.base import Deployment
from serving.rollout.targets.kserve_cluster import Object
from serving.rollout.targets.kserve_services import CONTAINER, MODE, service_name

FORBIDDEN_ON_CANARIES = ("maxReplicas", "scaleTarget", "scaleMetric", "autoScaling", "workerSpec")
WEIGHTS_SUM = 100
_LONGEST_NAME = 63  # of a Service: RFC 1035
_SLOT = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_LABEL_VALUE = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
_ACCELERATOR = re.compile(r"^(nvidia\.com|amd\.com|gpu\.intel\.com)/")


def check_names(inference_service: str, slot: str, model: Deployment) -> None:
    """A slot and a version that Kubernetes takes for a name and a label."""
    if not _SLOT.fullmatch(slot):
        raise ContractViolation(
            "slot", slot, "no name of a predictor",
            "use lower-case letters, digits and dashes, a letter first",
        )  # fmt: skip
    name = service_name(inference_service, slot)
    if len(name) > _LONGEST_NAME:
        raise ContractViolation(
            "slot", slot, f"its Service {name} would have {len(name)} characters",
            f"shorten inference_service or the slot: at most {_LONGEST_NAME} together",
        )  # fmt: skip
    if not _LABEL_VALUE.fullmatch(model.version):
        raise ContractViolation(
            "version", model.version, "no value of a label", "use the registry's number"
        )
    if not model.model_uri:
        raise ContractViolation(
            "model_uri", model.model_uri, "nothing to load", "give a URI, as models:/spam/7"
        )


def check_service(service: Object) -> None:
    """An InferenceService whose webhook would let it in, and whose canaries would have pods."""
    where = f"InferenceService {service['metadata']['name']}"
    canaries = service["spec"].get("canary") or []
    main = service["spec"]["predictor"]
    if service["metadata"].get("annotations", {}).get(MODE) != "Standard":
        mode = service["metadata"].get("annotations", {}).get(MODE)
        raise ContractViolation(
            f"metadata.annotations.{MODE}", mode, "canaries need Standard mode",
            "set it to Standard; any other mode ignores them without a word", where=where,
        )  # fmt: skip
    names = [main.get("name"), *(one["predictor"].get("name") for one in canaries)]
    for name in names:
        if names.count(name) > 1:
            raise ContractViolation(
                "spec.canary.predictor.name", name, "is there twice", "name each once", where=where
            )
    for canary in canaries:
        _check_canary(canary, main, where)
    total = sum(one["trafficPercent"] for one in canaries)
    if total > WEIGHTS_SUM:
        raise ContractViolation(
            "spec.canary.trafficPercent", total, "more than 100 per cent in all",
            "leave it at 0: the route carries the weights", where=where,
        )  # fmt: skip


def _check_canary(canary: Object, main: Object, where: str) -> None:
    predictor, percent = canary["predictor"], canary["trafficPercent"]
    field = f"spec.canary[{predictor.get('name')}]"
    if not 0 <= percent <= WEIGHTS_SUM:
        raise ContractViolation(
            f"{field}.trafficPercent", percent, "no percentage", "give 0 to 100", where=where
        )
    for key in FORBIDDEN_ON_CANARIES:
        if key in predictor:
            raise ContractViolation(
                f"{field}.predictor.{key}", predictor[key], "KServe refuses it on a canary",
                "leave it out; minReplicas says how many pods it has", where=where,
            )  # fmt: skip
    replicas, of_main = predictor.get("minReplicas"), main.get("minReplicas", 1)
    if not replicas:
        raise ContractViolation(
            f"{field}.predictor.minReplicas", replicas, "a canary at 0 % without it has no pods",
            "give at least 1", where=where,
        )  # fmt: skip
    if replicas > of_main:
        raise ContractViolation(
            f"{field}.predictor.minReplicas", replicas,
            f"more than the main predictor's {of_main}, which KServe refuses",
            "raise spec.predictor.minReplicas first", where=where,
        )  # fmt: skip


def check_route(route: Object) -> None:
    """Weights that are percentages and sum to 100 in every rule, and no copies to who answers."""
    where = f"HTTPRoute {route['metadata']['name']}"
    for rule in route["spec"]["rules"]:
        references = rule.get("backendRefs", [])
        field = f"spec.rules[{rule.get('name')}].backendRefs"
        for reference in references:
            weight = reference.get("weight", 1)
            if not 0 <= weight <= WEIGHTS_SUM:
                raise ContractViolation(
                    f"{field}[{reference['name']}].weight", weight, "no percentage",
                    "give 0 to 100", where=where,
                )  # fmt: skip
        total = sum(one.get("weight", 1) for one in references)
        if references and total != WEIGHTS_SUM:
            raise ContractViolation(
                f"{field}.weight", total, "weights do not sum to 100",
                "a gateway would share out by whatever they sum to; mend the weights", where=where,
            )  # fmt: skip
        _check_mirror(rule, {one["name"] for one in references}, field, where)


def _check_mirror(rule: Object, answering: set[str], field: str, where: str) -> None:
    for one in rule.get("filters", []):
        copies = one.get("requestMirror", {}).get("backendRef", {}).get("name")
        if copies in answering:
            raise ContractViolation(
                field, copies, "is mirrored to and answers requests as well",
                "a slot does one of the two", where=where,
            )  # fmt: skip


def check_capacity(slot: str, share: str, *, is_ready: bool, replicas: int, pods: int) -> None:
    """`share` (percent, or copies) only for a slot with all the pods that it is meant to have."""
    if replicas < 1:
        raise ContractViolation(
            f"minReplicas of slot {slot}", replicas, f"{share} for a slot without pods",
            "set minReplicas to at least 1, or rollout.kserve.pools.*.replicas",
        )  # fmt: skip
    if not is_ready:
        raise ContractViolation(
            f"ready pods of slot {slot}", pods, f"{share} for a slot whose pods are not ready",
            f"wait until all {replicas} are, or see why not: kubectl get pods",
        )  # fmt: skip


def accelerators(resources: Mapping[str, Any]) -> dict[str, int]:
    """How many of each accelerator a container asks for; limits count where requests say nothing.

    >>> accelerators({"limits": {"cpu": "4", "nvidia.com/gpu": "1"}})
    {'nvidia.com/gpu': 1}
    """
    asked = {**resources.get("limits", {}), **resources.get("requests", {})}
    return {name: int(value) for name, value in asked.items() if _ACCELERATOR.match(name)}


def check_accelerators(
    slot: str, wanted: Mapping[str, int], nodes: Iterable[Object], pods: Iterable[Object]
) -> None:
    """Whether the cluster's nodes have so many accelerators that no pod has taken."""
    offered = [
        node.get("status", {}).get("allocatable", {})
        for node in nodes
        if not node.get("spec", {}).get("unschedulable")
    ]
    taken = [
        accelerators(container.get("resources", {}))
        for pod in pods
        if pod.get("status", {}).get("phase") not in ("Succeeded", "Failed")
        for container in pod["spec"].get("containers", [])
    ]
    for name, count in wanted.items():
        free = sum(int(one.get(name, 0)) for one in offered)
        free -= sum(one.get(name, 0) for one in taken)
        if count > free:
            raise ContractViolation(
                f"{name} of slot {slot}", count, f"only {max(free, 0)} are free on the nodes",
                "add nodes, or lower rollout.kserve.pools.*.replicas",
            )  # fmt: skip


def runtime_resources(runtime: Object | None) -> Mapping[str, Any]:
    """What a ServingRuntime's model container asks for."""
    containers = [] if runtime is None else runtime["spec"].get("containers", [])
    found: Mapping[str, Any] = next(
        (one.get("resources", {}) for one in containers if one.get("name") == CONTAINER), {}
    )
    return found
