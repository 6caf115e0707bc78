"""Who may talk to whom, as the rendered network policies say it, read as Kubernetes reads them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from types import MappingProxyType
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pytest
import yaml

from data_contracts.config import CONFIG_FOLDER, PROJECT, load_settings
from tests.kustomized import Object, of_kind, pods, rendered

OURS = "weir"


class Peer(NamedTuple):
    """A pod: its namespace and labels."""

    namespace: str
    labels: dict[str, str]
    space: Mapping[str, str] = MappingProxyType({})  # labels of its namespace, beside its name


Address = IPv4Address | IPv6Address  # of what is no pod


def matches(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    """Kubernetes' label selector: labels, and expressions with In."""
    wanted = selector.get("matchLabels", {}).items() <= labels.items()
    expressions = selector.get("matchExpressions", [])
    assert all(one["operator"] == "In" for one in expressions)
    return wanted and all(labels.get(one["key"]) in one["values"] for one in expressions)


def is_meant(peer: dict[str, Any], pod: Peer) -> bool:
    """An address block is for what is no pod; a pod's address is none to write down."""
    if "ipBlock" in peer:
        return False
    space = {"kubernetes.io/metadata.name": pod.namespace, **pod.space}
    if "namespaceSelector" in peer:
        if not matches(peer["namespaceSelector"], space):
            return False
    elif pod.namespace != OURS:
        return False
    return matches(peer.get("podSelector", {}), pod.labels)


def is_within(block: dict[str, Any], address: Address) -> bool:
    return address in ip_network(block["cidr"]) and not any(
        address in ip_network(left_out) for left_out in block.get("except", [])
    )


def lets(policies: list[Object], pod: Peer, other: Peer | Address, port: int, way: str) -> bool:
    """Whether `pod` may get (Ingress) or send (Egress)."""
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


def covers(peers: list[dict[str, Any]] | None, other: Peer | Address) -> bool:
    """A rule that names no peers is for all, addresses included."""
    if peers is None:
        return True
    if isinstance(other, Peer):
        return any(is_meant(peer, other) for peer in peers)
    return any("ipBlock" in peer and is_within(peer["ipBlock"], other) for peer in peers)


def flows(policies: list[Object], source: Peer, target: Peer, port: int) -> bool:
    return lets(policies, source, target, port, "Egress") and lets(
        policies, target, source, port, "Ingress"
    )


def pod(name: str, **labels: str) -> Peer:
    return Peer(OURS, {"app.kubernetes.io/name": name, **labels})


DATABASE, REGISTRY, AIRFLOW = (
    {f"weir.dev/asks-{one}": "true"} for one in ("database", "registry", "airflow")
)
TEXT = Peer(
    OURS,
    {"serving.kserve.io/inferenceservice": "weir-text", "component": "predictor", **DATABASE},
)
GATEWAY = Peer(OURS, {"gateway.envoyproxy.io/owning-gateway-name": "weir"})
CONTROLLER = pod("weir-controller", **DATABASE, **REGISTRY)
APPROVAL = pod("weir-approval", **DATABASE, **REGISTRY, **AIRFLOW)
TRACKING = pod("weir-tracking", **DATABASE)
METRICS = pod("weir-metrics", **DATABASE, **AIRFLOW)
RECEIVER = pod("weir-alert-receiver", **DATABASE)
RESPONDER = pod("weir-incidents", **DATABASE, **REGISTRY, **AIRFLOW)
APPEALS = pod("weir-appeals", **DATABASE)
STATUS = pod("weir-status-page", **DATABASE, **REGISTRY, **AIRFLOW)
OWN = (TEXT, CONTROLLER, APPROVAL, TRACKING, METRICS, RECEIVER, RESPONDER, APPEALS, STATUS)
POSTGRESQL, REDIS, STRANGER = pod("postgresql"), pod("redis"), pod("stranger")
API = Peer(OURS, {"tier": "airflow", "component": "api-server"})
WORKER = Peer(OURS, {"tier": "airflow", "component": "worker", "weir.dev/runs-steps": "true"})
PROMETHEUS = Peer("monitoring", {"app.kubernetes.io/name": "prometheus"})
ALERTMANAGER = Peer("monitoring", {"app.kubernetes.io/name": "alertmanager"})
PLATFORM = Peer(
    "platform", {"app.kubernetes.io/name": "enforcement"}, {"weir.dev/platform": "true"}
)
PEOPLE = Peer("ingress", {"app.kubernetes.io/name": "ingress"}, {"weir.dev/people": "true"})
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
    (TEXT, POSTGRESQL, 5432), (PROMETHEUS, METRICS, 8605), (METRICS, POSTGRESQL, 5432),
    (METRICS, API, 8080), (ALERTMANAGER, RECEIVER, 8606), (RECEIVER, POSTGRESQL, 5432),
    (RESPONDER, POSTGRESQL, 5432), (RESPONDER, TRACKING, 5000), (RESPONDER, API, 8080),
    (PLATFORM, APPEALS, 8603),
    (PEOPLE, APPEALS, 8603), (APPEALS, POSTGRESQL, 5432), (APPEALS, PLATFORM, 8080),
    (PEOPLE, STATUS, 8604), (PEOPLE, TRACKING, 5000), (STATUS, POSTGRESQL, 5432),
    (STATUS, TRACKING, 5000), (STATUS, API, 8080), (STATUS, REDIS, 6379),
    *((one, DNS, 53) for one in (*OWN, GATEWAY, WORKER)),
]  # fmt: skip
REFUSED = [
    (STRANGER, TEXT, 8080), (ELSEWHERE, TEXT, 8080), (CONTROLLER, TEXT, 8080), (WORKER, TEXT, 8080),
    (TEXT, CONTROLLER, 443), (TEXT, ELSEWHERE, 8080), (TEXT, API, 8080),
    (GATEWAY, POSTGRESQL, 5432), (GATEWAY, TRACKING, 5000), (ELSEWHERE, TRACKING, 5000),
    (ELSEWHERE, APPROVAL, 8602), (CONTROLLER, APPROVAL, 8602), (APPROVAL, TEXT, 8080),
    (APPROVAL, REDIS, 6379), (ELSEWHERE, POSTGRESQL, 5432), (ELSEWHERE, REDIS, 6379),
    (STRANGER, REDIS, 6379), (STRANGER, TRACKING, 5000), (PROMETHEUS, TRACKING, 5000),
    (TRACKING, API, 8080), (TRACKING, ELSEWHERE, 443), (ELSEWHERE, METRICS, 8605),
    (ALERTMANAGER, METRICS, 8605), (PEOPLE, METRICS, 8605), (PROMETHEUS, RECEIVER, 8606),
    (PLATFORM, RECEIVER, 8606), (STRANGER, RECEIVER, 8606), (ELSEWHERE, APPEALS, 8603),
    (TEXT, APPEALS, 8603), (ALERTMANAGER, APPEALS, 8603), (APPEALS, ELSEWHERE, 8080),
    (APPEALS, REDIS, 6379), (APPEALS, TRACKING, 5000), (PLATFORM, STATUS, 8604),
    (ELSEWHERE, STATUS, 8604), (PROMETHEUS, STATUS, 8604), (PLATFORM, TEXT, 8080),
    (RESPONDER, TEXT, 8080), (RESPONDER, ELSEWHERE, 443), (RESPONDER, REDIS, 6379),
    (METRICS, TRACKING, 5000), (RECEIVER, TRACKING, 5000),
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


PAGER, API_SERVER = ip_address("203.0.113.7"), ip_address("10.96.0.1")
METADATA = ip_address("169.254.169.254")  # where clouds tell a machine its credentials


def test_only_who_asks_the_api_server_may_leave_the_cluster_and_who_calls_people(
    policies: list[Object],
) -> None:
    scheduler = Peer(OURS, {"tier": "airflow", "component": "scheduler"})
    callers, askers = (RESPONDER,), (CONTROLLER, scheduler)
    for inside in (*OWN, GATEWAY, WORKER, scheduler):
        for address, port, let in (
            (PAGER, 443, callers + askers), (PAGER, 587, callers), (PAGER, 80, ()),
            (ip_address("2001:db8::7"), 443, callers + askers), (API_SERVER, 443, askers),
            (METADATA, 443, askers), (METADATA, 80, ()), (API_SERVER, 587, ()),
        ):  # fmt: skip
            assert lets(policies, inside, address, port, "Egress") == (inside in let)


def test_calls_to_people_have_a_policy_of_their_own_that_an_overlay_can_narrow(
    policies: list[Object],
) -> None:
    rest = [one for one in policies if one["metadata"]["name"] != "weir-incidents-calls-people"]
    assert not lets(rest, RESPONDER, PAGER, 443, "Egress")
    smtp = load_settings({"WEIR_ENV": "production"}, CONFIG_FOLDER).incidents.smtp
    assert smtp is not None
    assert lets(policies, RESPONDER, PAGER, smtp.port, "Egress")


def test_the_pods_here_carry_the_labels_that_the_files_give_them() -> None:
    found = {name: labels for name, labels, _ in pods(rendered("overlays/standard-gateway"))}
    for ours in OWN:
        name = ours.labels.get("app.kubernetes.io/name", "weir-text")
        asked = {key: value for key, value in ours.labels.items() if "/asks-" in key}
        assert {key: value for key, value in found[name].items() if "/asks-" in key} == asked
    named = {one.labels.get("app.kubernetes.io/name", "weir-text") for one in OWN}
    assert named == set(found) - {"weir-media"}  # is as the text's


def answering(service: Object, objects: list[Object]) -> Iterator[tuple[dict[str, str], int]]:
    """Labels and port of the pods behind a Service."""
    for port in service["spec"]["ports"]:
        for _, labels, spec in pods(objects):
            if service["spec"]["selector"].items() <= labels.items():
                (container,) = spec["containers"]
                opened = {one["name"]: one["containerPort"] for one in container.get("ports", [])}
                if port["targetPort"] in opened:
                    yield labels, opened[port["targetPort"]]


def out_of_reach(objects: list[Object]) -> list[str]:
    """Services without a pod that answers, or whose pods nobody may ask."""
    policies = of_kind(objects, "NetworkPolicy")
    return [
        one["metadata"]["name"]
        for one in of_kind(objects, "Service")
        if not any(
            port == let["port"]
            for labels, port in answering(one, objects)
            for policy in policies
            if matches(policy["spec"]["podSelector"], labels)
            for rule in policy["spec"].get("ingress", [])
            for let in rule["ports"]
        )
    ]


def test_every_service_has_pods_and_somebody_who_may_ask_them() -> None:
    objects = rendered("overlays/standard-gateway")
    assert {one["metadata"]["name"] for one in of_kind(objects, "Service")} == {
        "approval", "mlflow", "incidents", "appeals", "status-page",
    }  # fmt: skip
    assert out_of_reach(objects) == []
    without = [one for one in objects if one["metadata"]["name"] != "weir-appeals"]
    assert out_of_reach(without) == ["appeals"]
    for one in of_kind(objects, "NetworkPolicy"):
        if one["metadata"]["name"] == "weir-status-page":
            one["spec"]["ingress"][0]["ports"][0]["port"] = 8603
    assert out_of_reach(objects) == ["status-page"]


def test_addresses_that_others_are_told_are_those_of_services_here() -> None:
    """Of Alertmanager, from another namespace; of the configuration, where a name here is meant."""
    alertmanager = PROJECT / "infra" / "alerts" / "alertmanager" / "alertmanager.yaml"
    told = re.findall(r"https?://\S+", alertmanager.read_text())
    told += re.findall(r"http://approval\S+", (CONFIG_FOLDER / "production.yaml").read_text())
    known = {
        (name, port["port"])
        for one in of_kind(rendered("base"), "Service")
        for port in one["spec"]["ports"]
        for name in (one["metadata"]["name"], f"{one['metadata']['name']}.{OURS}")
    }
    assert len(told) == 2
    for url in map(urlsplit, told):
        assert (url.hostname, url.port) in known
    (incidents, _) = yaml.safe_load(alertmanager.read_text())["receivers"]
    hook = urlsplit(incidents["webhook_configs"][0]["url"])
    assert str(hook.hostname).endswith(f".{OURS}")  # for Alertmanager stands elsewhere


def test_what_appeals_take_back_can_be_told_to_the_platform(policies: list[Object]) -> None:
    url = load_settings({"WEIR_ENV": "production"}, CONFIG_FOLDER).appeals.webhook_url
    told = urlsplit(url or "")
    platform = Peer(str(told.hostname).partition(".")[2], {}, {"weir.dev/platform": "true"})
    assert platform.namespace == PLATFORM.namespace
    assert lets(policies, APPEALS, platform, told.port or 0, "Egress")


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
