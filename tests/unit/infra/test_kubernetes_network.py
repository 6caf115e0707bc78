"""Who may talk to whom, as the rendered network policies say it, read as Kubernetes reads them."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest

from tests.kustomized import Object, of_kind, pods, rendered

OURS = "weir"


class Peer(NamedTuple):
    """A pod: its namespace and labels."""

    namespace: str
    labels: dict[str, str]


def matches(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    """Kubernetes' label selector: labels, and expressions with In."""
    wanted = selector.get("matchLabels", {}).items() <= labels.items()
    expressions = selector.get("matchExpressions", [])
    assert all(one["operator"] == "In" for one in expressions)
    return wanted and all(labels.get(one["key"]) in one["values"] for one in expressions)


def is_meant(peer: dict[str, Any], pod: Peer) -> bool:
    space = {"kubernetes.io/metadata.name": pod.namespace}
    if "namespaceSelector" in peer:
        if not matches(peer["namespaceSelector"], space):
            return False
    elif pod.namespace != OURS:
        return False
    return matches(peer.get("podSelector", {}), pod.labels)


def lets(policies: list[Object], pod: Peer, other: Peer | None, port: int, way: str) -> bool:
    """Whether `pod` may get (Ingress) or send (Egress); `other` None is an address outside."""
    if pod.namespace != OURS:
        return True
    key, peers = ("ingress", "from") if way == "Ingress" else ("egress", "to")
    specs = [one["spec"] for one in policies if way in one["spec"]["policyTypes"]]
    chosen = [spec for spec in specs if matches(spec["podSelector"], pod.labels)]
    if not chosen:
        return True
    return any(
        port in {one["port"] for one in rule["ports"]} and covers(rule.get(peers), other)
        for spec in chosen
        for rule in spec.get(key, [])
    )


def covers(peers: list[dict[str, Any]] | None, other: Peer | None) -> bool:
    """A rule that names no peers is for all, addresses outside included."""
    if peers is None:
        return True
    return other is not None and any(is_meant(peer, other) for peer in peers)


def flows(policies: list[Object], source: Peer, target: Peer, port: int) -> bool:
    return lets(policies, source, target, port, "Egress") and lets(
        policies, target, source, port, "Ingress"
    )


def pod(name: str, **labels: str) -> Peer:
    return Peer(OURS, {"app.kubernetes.io/name": name, **labels})


TEXT = Peer(OURS, {"serving.kserve.io/inferenceservice": "weir-text", "component": "predictor"})
GATEWAY = Peer(OURS, {"gateway.envoyproxy.io/owning-gateway-name": "weir"})
CONTROLLER = pod(
    "weir-controller", **{"weir.dev/asks-database": "true", "weir.dev/asks-registry": "true"}
)
APPROVAL = pod(
    "weir-approval", **{"weir.dev/asks-database": "true", "weir.dev/asks-registry": "true"}
)
TRACKING = pod("weir-tracking", **{"weir.dev/asks-database": "true"})
POSTGRESQL, REDIS, STRANGER = pod("postgresql"), pod("redis"), pod("stranger")
API = Peer(OURS, {"tier": "airflow", "component": "api-server"})
WORKER = Peer(OURS, {"tier": "airflow", "component": "worker", "weir.dev/runs-steps": "true"})
PROMETHEUS = Peer("monitoring", {"app.kubernetes.io/name": "prometheus"})
DNS = Peer("kube-system", {"k8s-app": "kube-dns"})
ENVOY_GATEWAY = Peer("envoy-gateway-system", {"control-plane": "envoy-gateway"})
ELSEWHERE = Peer("default", {"app.kubernetes.io/name": "anything"})

WANTED = [
    (GATEWAY, TEXT, 8080), (PROMETHEUS, TEXT, 8080), (TEXT, REDIS, 6379), (TEXT, TRACKING, 5000),
    (CONTROLLER, POSTGRESQL, 5432), (CONTROLLER, TRACKING, 5000), (CONTROLLER, PROMETHEUS, 9090),
    (TRACKING, POSTGRESQL, 5432), (TRACKING, APPROVAL, 8602), (APPROVAL, API, 8080),
    (APPROVAL, POSTGRESQL, 5432), (APPROVAL, TRACKING, 5000), (WORKER, TRACKING, 5000),
    (WORKER, POSTGRESQL, 5432), (WORKER, REDIS, 6379), (WORKER, API, 8080),
    (WORKER, GATEWAY, 10080), (GATEWAY, ENVOY_GATEWAY, 18000), (ELSEWHERE, GATEWAY, 10080),
    *((one, DNS, 53) for one in (TEXT, GATEWAY, CONTROLLER, APPROVAL, TRACKING, WORKER)),
]  # fmt: skip
REFUSED = [
    (STRANGER, TEXT, 8080), (ELSEWHERE, TEXT, 8080), (CONTROLLER, TEXT, 8080), (WORKER, TEXT, 8080),
    (TEXT, POSTGRESQL, 5432), (TEXT, CONTROLLER, 443), (TEXT, ELSEWHERE, 8080), (TEXT, API, 8080),
    (GATEWAY, POSTGRESQL, 5432), (GATEWAY, TRACKING, 5000), (ELSEWHERE, TRACKING, 5000),
    (ELSEWHERE, APPROVAL, 8602), (CONTROLLER, APPROVAL, 8602), (APPROVAL, TEXT, 8080),
    (APPROVAL, REDIS, 6379), (ELSEWHERE, POSTGRESQL, 5432), (ELSEWHERE, REDIS, 6379),
    (STRANGER, REDIS, 6379), (STRANGER, TRACKING, 5000), (PROMETHEUS, TRACKING, 5000),
    (TRACKING, API, 8080), (TRACKING, ELSEWHERE, 443),
]  # fmt: skip


@pytest.fixture(scope="module")
def policies() -> list[Object]:
    return of_kind(rendered("overlays/standard-gateway"), "NetworkPolicy")


@pytest.mark.parametrize(("source", "target", "port"), WANTED)
def test_what_must_reach_each_other_can(
    policies: list[Object], source: Peer, target: Peer, port: int
) -> None:
    assert flows(policies, source, target, port)


@pytest.mark.parametrize(("source", "target", "port"), REFUSED)
def test_what_has_no_business_with_each_other_cannot(
    policies: list[Object], source: Peer, target: Peer, port: int
) -> None:
    assert not flows(policies, source, target, port)


def test_only_who_asks_the_api_server_may_leave_the_cluster(policies: list[Object]) -> None:
    for inside in (TEXT, GATEWAY, APPROVAL, TRACKING, WORKER):
        assert not lets(policies, inside, None, 443, "Egress")
    scheduler = Peer(OURS, {"tier": "airflow", "component": "scheduler"})
    for inside in (CONTROLLER, scheduler):
        assert lets(policies, inside, None, 443, "Egress")
        assert not lets(policies, inside, None, 80, "Egress")


def test_every_pod_is_bound_both_ways_and_has_its_own_policy(policies: list[Object]) -> None:
    for name, labels, _ in pods(rendered("overlays/standard-gateway")):
        own = [one for one in policies if matches(one["spec"]["podSelector"], labels)]
        ways = [way for one in own for way in one["spec"]["policyTypes"]]
        assert {"Ingress", "Egress"} <= set(ways), name
        assert any(one["spec"]["podSelector"] for one in own), name


def test_without_the_default_a_stranger_would_reach_what_no_other_policy_covers(
    policies: list[Object],
) -> None:
    """The reading of policies can tell the difference."""
    rest = [one for one in policies if one["metadata"]["name"] != "weir-deny-all"]
    assert not flows(policies, STRANGER, STRANGER, 80)
    assert lets(rest, STRANGER, STRANGER, 80, "Ingress")
