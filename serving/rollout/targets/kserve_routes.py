"""The HTTPRoute that carries traffic on a cluster: the same rules as infra/kubernetes/traffic.

A rule a pool and class; in each, the slots that answer share the requests by weight and one may
get copies (RequestMirror: KServe has no shadow). The policies of infra/kubernetes/traffic find
the rules by their names. An arm without weight has no backend here, since a missing Service fails
a whole rule: it stands in the annotation, with what was asked for. Nothing here talks to a
cluster. See gateway-api.sigs.k8s.io: "HTTPRoute", and infra/decisions/0010.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, cast

from data_contracts.config import KServe
from serving.rollout.targets.base import Traffic, TrafficArm
from serving.rollout.targets.envoy_config import (
    ACCOUNT_HEADER,
    ARM_HEADER,
    CONTENT_HEADER,
    PRIORITY_HEADER,
    UPSTREAM_HOST_NAME,
    Content,
)
from serving.rollout.targets.envoy_routes import (
    ARMS,
    REQUEST_TIMEOUT_SECONDS,
    TRY_TIMEOUT_SECONDS,
    Routing,
)
from serving.rollout.targets.kserve_cluster import HTTP_ROUTE, Object
from serving.rollout.targets.kserve_services import OURS, PREFIX, service_name

TRAFFIC = f"{PREFIX}/traffic"
AFFINITY_KEY = f"{PREFIX}/affinity-key"
SERVICE_PORT = 80
PREDICTIONS = {"type": "RegularExpression", "value": "/v[12]/models/.+(:predict|/infer)"}
CONTENTS: tuple[Content, ...] = ("text", "media")  # media's last: it takes what is left
_GROUP = "gateway.networking.k8s.io"


def route(settings: KServe, routing: Routing, current: Object | None) -> Object:
    """The route for this traffic; what others wrote beside it stays."""
    found = {} if current is None else current
    metadata = found.get("metadata", {})
    said = {TRAFFIC: _as_text(routing.traffic), AFFINITY_KEY: routing.affinity_key}
    spec: Object = {
        "parentRefs": [
            {
                "group": _GROUP,
                "kind": "Gateway",
                "name": settings.gateway,
                "sectionName": settings.listener,
            }
        ],
        "rules": _rules(settings, routing.traffic),
    }
    if settings.hostname is not None:
        spec["hostnames"] = [settings.hostname]
    return {
        "apiVersion": HTTP_ROUTE.api_version,
        "kind": HTTP_ROUTE.name,
        **found,
        "metadata": {
            "name": settings.route,
            "namespace": settings.namespace,
            **metadata,
            "labels": {**metadata.get("labels", {}), **OURS},
            "annotations": {**metadata.get("annotations", {}), **said},
        },
        "spec": spec,
    }


def asked_of(found: Object | None) -> Routing:
    """What was asked of the route when it was written last."""
    annotations = {} if found is None else found["metadata"].get("annotations", {})
    carried = json.loads(annotations.get(TRAFFIC, "null"))
    traffic = None
    if carried is not None:
        traffic = Traffic(carried["slots"], carried["weights"], carried["mirror"])
    return Routing(traffic, annotations.get(AFFINITY_KEY, ""))


def traffic_in(settings: KServe, found: Object | None) -> Traffic | None:
    """What the route carries, whoever wrote it: of several rules, the one that is boldest.

    None where no rule sends requests to a slot that an arm stands for.
    """
    asked = asked_of(found).traffic
    if found is None or asked is None:
        return None
    seen = [one for rule in _carrying(found) if (one := _of_rule(settings, rule, asked))]
    if not seen or all(one == asked for one in seen):
        return asked if seen else None
    stable = asked.slots.get("stable", "")
    return min(seen, key=lambda one: one.visible_share(stable))


def slots_asked(settings: KServe, found: Object | None) -> dict[str, str]:
    """Slots that get requests or copies of them in any rule, and which of the two."""
    asked: dict[str, str] = {}
    for rule in () if found is None else _carrying(found):
        if (mirrored := _mirrored(settings, rule)) is not None:
            asked.setdefault(mirrored, "is mirrored to")
        for reference in rule["backendRefs"]:
            slot = _slot(settings, reference)
            if slot is not None and reference.get("weight", 1):
                asked[slot] = "answers requests"
    return asked


def prediction_rules(settings: KServe) -> range:
    """The places, in the list of rules, of those that share out predictions."""
    classes = 2  # bulk, and the rest
    return range(1, 1 + classes * len(settings.pools))


def problem(found: Object) -> str | None:
    """Why the gateway does not carry this route as it is now: None where it does."""
    parents = found.get("status", {}).get("parents", [])
    conditions = [one for parent in parents for one in parent.get("conditions", [])]
    generation = found["metadata"].get("generation")
    current = [one for one in conditions if one.get("observedGeneration") == generation]
    for condition in current:
        if condition["type"] in ("Accepted", "ResolvedRefs") and condition["status"] != "True":
            return f"{condition.get('reason', '')}: {condition.get('message', '')}"
    if not any(one["type"] == "Accepted" for one in current):
        return "no gateway has looked at it"
    return None


def _rules(settings: KServe, traffic: Traffic | None) -> list[Object]:
    if traffic is None:
        return [_answered("no-champion", "weir-no-champion", _prefixes("/v1", "/v2"))]
    unknown = _matching({PRIORITY_HEADER: "unknown"})
    arm = max(traffic.slots, key=lambda name: traffic.weights.get(name, 0))
    contents = [content for content in CONTENTS if content in settings.pools]
    return [
        _answered("unknown-priority", "weir-unknown-priority", unknown),
        *(
            _predict(settings, traffic, content, bulk=bulk)
            for content in contents
            for bulk in (True, False)
        ),
        _answered("repository", "weir-no-repository", _prefixes("/v2/repository")),
        {
            "name": "protocol",
            "matches": _prefixes("/v1", "/v2"),
            "filters": _concealing(),
            "timeouts": {"request": f"{REQUEST_TIMEOUT_SECONDS}s"},
            "backendRefs": [_backend(settings, contents[0], arm, traffic.slots[arm], 100)],
        },
    ]


def _predict(settings: KServe, traffic: Traffic, content: Content, *, bulk: bool) -> Object:
    """Predictions of one pool and class. The canary's share is the last, as affinity needs it."""
    headers = {CONTENT_HEADER: "text"} if content == "text" else {}
    if bulk:
        headers[PRIORITY_HEADER] = "bulk"
    filters = _concealing()
    if traffic.mirror is not None:
        copies = _reference(settings, content, traffic.mirror)
        filters.append({"type": "RequestMirror", "requestMirror": {"backendRef": copies}})
    return {
        "name": f"{content}-bulk" if bulk else content,
        "matches": _matching(headers),
        "filters": filters,
        "timeouts": {
            "request": f"{REQUEST_TIMEOUT_SECONDS}s",
            "backendRequest": f"{TRY_TIMEOUT_SECONDS}s",
        },
        "backendRefs": [
            _backend(settings, content, arm, traffic.slots[arm], traffic.weights[arm])
            for arm in ARMS
            if traffic.weights.get(arm, 0)
        ],
    }


def _backend(settings: KServe, content: Content, arm: TrafficArm, slot: str, weight: int) -> Object:
    """The filter stays where one backend is alone: see infra/kubernetes/traffic/route.yaml."""
    named = {"set": [{"name": ARM_HEADER, "value": arm}]}
    return {
        **_reference(settings, content, slot),
        "weight": weight,
        "filters": [{"type": "RequestHeaderModifier", "requestHeaderModifier": named}],
    }


def _reference(settings: KServe, content: Content, slot: str) -> Object:
    name = service_name(settings.pools[content].inference_service, slot)
    return {"group": "", "kind": "Service", "name": name, "port": SERVICE_PORT}


def _answered(name: str, by: str, matches: list[Object]) -> Object:
    """A rule that infra/kubernetes/traffic/refusals.yaml answers."""
    reference = {"group": "gateway.envoyproxy.io", "kind": "HTTPRouteFilter", "name": by}
    filters = [{"type": "ExtensionRef", "extensionRef": reference}]
    return {"name": name, "matches": matches, "filters": filters}


def _concealing() -> list[Object]:
    """What servers do not get from clients: the account's hash, whose work is done, and the Host,
    by which one could pass for a copy (`-shadow` at its end marks those).
    """
    removed = {"remove": [ACCOUNT_HEADER]}
    return [
        {"type": "RequestHeaderModifier", "requestHeaderModifier": removed},
        {"type": "URLRewrite", "urlRewrite": {"hostname": UPSTREAM_HOST_NAME}},
    ]


def _matching(headers: Mapping[str, str]) -> list[Object]:
    match: Object = {"path": dict(PREDICTIONS)}
    if headers:
        match["headers"] = [
            {"type": "Exact", "name": name, "value": value} for name, value in headers.items()
        ]
    return [match]


def _prefixes(*paths: str) -> list[Object]:
    return [{"path": {"type": "PathPrefix", "value": path}} for path in paths]


def _carrying(found: Object) -> Iterator[Object]:
    """The rules that share out predictions."""
    for rule in found.get("spec", {}).get("rules", []):
        if rule.get("backendRefs") and rule.get("name") != "protocol":
            yield rule


def _of_rule(settings: KServe, rule: Object, asked: Traffic) -> Traffic | None:
    """Weights are relative on a cluster: percentages here, whatever they sum to."""
    mirror = _mirrored(settings, rule)
    arms = {slot: arm for arm, slot in asked.slots.items() if slot != mirror}
    weights: dict[TrafficArm, int] = {}
    for reference in rule["backendRefs"]:
        arm = arms.get(_slot(settings, reference) or "")
        if arm is not None:
            weights[arm] = weights.get(arm, 0) + int(reference.get("weight", 1))
    if not sum(weights.values()):
        return None
    if {arm: weight for arm, weight in asked.weights.items() if weight} == weights:
        return Traffic(asked.slots, asked.weights, mirror)
    return Traffic({arm: slot for slot, arm in arms.items()}, _in_percent(weights), mirror)


def _in_percent(weights: Mapping[TrafficArm, int]) -> dict[TrafficArm, int]:
    """Rounded down, and what is left to the greatest."""
    total = sum(weights.values())
    shares = {arm: weight * 100 // total for arm, weight in weights.items()}
    greatest = max(shares, key=lambda arm: shares[arm])
    return {**shares, greatest: shares[greatest] + 100 - sum(shares.values())}


def _mirrored(settings: KServe, rule: Object) -> str | None:
    for one in rule.get("filters", []):
        if one["type"] == "RequestMirror":
            return _slot(settings, one["requestMirror"]["backendRef"])
    return None


def _slot(settings: KServe, reference: Object) -> str | None:
    """The slot whose Service this is, of any pool; None for a Service that is no slot's."""
    for pool in settings.pools.values():
        before, after = f"{pool.inference_service}-", "-predictor"
        name = reference["name"]
        if name.startswith(before) and name.endswith(after) and len(name) > len(before + after) - 1:
            return str(name[len(before) : -len(after)])
    return None


def _as_text(traffic: Traffic | None) -> str:
    if traffic is None:
        return "null"
    slots = cast("dict[str, Any]", dict(traffic.slots))
    return json.dumps({"slots": slots, "weights": dict(traffic.weights), "mirror": traffic.mirror})
