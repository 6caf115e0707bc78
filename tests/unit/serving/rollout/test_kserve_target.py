"""The cluster target on an emulated cluster: what it writes, in which order, what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from data_contracts.config import KServe, load_settings
from data_contracts.errors import (
    BadInput,
    ConfigurationError,
    ContractViolation,
    ServiceUnavailable,
)
from serving.rollout.commands import chosen_target
from serving.rollout.targets.base import Counters, Deployment, Traffic
from serving.rollout.targets.kserve import INCOMPLETE
from serving.rollout.targets.kserve_cluster import (
    DEPLOYMENT,
    EXTENSION_POLICY,
    HTTP_ROUTE,
    INFERENCE_SERVICE,
    NODE,
    POD,
    SERVING_RUNTIME,
)
from serving.rollout.targets.kserve_configured import check_evidence
from serving.rollout.targets.kserve_counts import prometheus_counts
from serving.rollout.targets.kserve_writes import ATTEMPTS
from tests.stand_ins.kserve_memory import (
    EmulatedKServeTarget,
    MemoryCluster,
    kserve_settings,
    kserve_target_in_memory,
)

OLD, NEW = Deployment("models:/spam/1", "1"), Deployment("models:/spam/2", "2")
ROUTE, SERVICE = "weir-predictions", "weir-media"
CANARY = Traffic({"stable": "a", "canary": "b"}, {"stable": 90, "canary": 10})


def with_slots(target: EmulatedKServeTarget, **slots: Deployment) -> EmulatedKServeTarget:
    for slot, model in slots.items():
        target.deploy(slot, model.model_uri, model.version)
    for slot in slots:
        assert any(target.ready(slot) for _ in range(3))
    return target


def in_canary() -> EmulatedKServeTarget:
    target = with_slots(kserve_target_in_memory(), a=OLD, b=NEW)
    target.set_traffic(CANARY)
    target.cluster.writes.clear()
    return target


def written(target: EmulatedKServeTarget) -> list[tuple[str, str]]:
    return [(verb, what.split()[0]) for verb, what, _ in target.cluster.writes]


def canary_of(cluster: MemoryCluster) -> dict[str, Any]:
    service = cluster.get(INFERENCE_SERVICE, SERVICE)
    assert service is not None
    found: dict[str, Any] = service["spec"]["canary"][0]
    return found


def test_nothing_is_written_where_nothing_differs() -> None:
    target = in_canary()
    target.deploy("b", NEW.model_uri, NEW.version)
    target.set_traffic(CANARY)
    assert target.cluster.writes == []
    assert target.said == []


def test_a_write_carries_the_version_that_was_read_and_only_what_differs() -> None:
    target = in_canary()
    route = target.cluster.get(HTTP_ROUTE, ROUTE)
    assert route is not None
    target.set_traffic(Traffic({"stable": "a", "canary": "b"}, {"stable": 50, "canary": 50}))
    ((verb, _, change),) = target.cluster.writes
    assert verb == "patch"
    assert change["metadata"]["resourceVersion"] == route["metadata"]["resourceVersion"]
    assert set(change) == {"metadata", "spec"}
    assert set(change["spec"]) == {"rules"}


def test_a_rollback_writes_the_route_and_then_clears_the_canary() -> None:
    target = in_canary()
    target.set_traffic(Traffic({"stable": "a"}))
    target.remove("b")
    assert written(target) == [("patch", "HTTPRoute"), ("patch", "InferenceService")]
    assert target.cluster.writes[1][2]["spec"]["canary"] is None


def test_the_canary_is_kept_until_the_gateway_has_taken_the_route() -> None:
    target = in_canary()
    target.emulator.stopped = True
    with pytest.raises(ServiceUnavailable, match="Gateway weir did not take HTTPRoute weir-pred"):
        target.set_traffic(Traffic({"stable": "a"}))
    assert dict(target.deployed()) == {"a": OLD, "b": NEW}
    target.emulator.stopped = False
    target.emulator.refuses_routes = "NoMatchingParent"
    with pytest.raises(ServiceUnavailable, match="NoMatchingParent: emulated; see kubectl -n weir"):
        target.set_traffic(Traffic({"stable": "a"}))


def test_promotion_is_one_write_and_leaves_the_pods_alone() -> None:
    target = in_canary()
    target.set_traffic(Traffic({"stable": "a", "canary": "b"}, {"canary": 100}))
    target.set_traffic(Traffic({"stable": "b"}))
    before = target.cluster.get(DEPLOYMENT, "weir-media-b-predictor")
    target.cluster.writes.clear()
    target.remove("a")
    assert written(target) == [("patch", "InferenceService")]
    assert target.ready("b")
    assert target.cluster.get(DEPLOYMENT, "weir-media-b-predictor") == before
    assert target.cluster.get(DEPLOYMENT, "weir-media-a-predictor") is None


def test_the_champion_keeps_its_pods_while_others_stand_beside_it() -> None:
    target = with_slots(kserve_target_in_memory(), a=OLD, b=NEW, c=OLD)
    target.emulator.reconcile()
    deployments = [target.cluster.get(DEPLOYMENT, f"weir-media-{slot}-predictor") for slot in "abc"]
    assert [one and one["spec"]["replicas"] for one in deployments] == [2, 2, 2]


def test_a_conflict_is_read_again_and_the_other_writers_work_is_kept() -> None:
    target = in_canary()
    edits = iter([{"metadata": {"annotations": {"team": "spam"}}}])

    def meanwhile() -> None:
        for change in edits:
            target.cluster.edit(HTTP_ROUTE, ROUTE, change)

    target.cluster.meanwhile = meanwhile
    target.set_traffic(Traffic({"stable": "a"}))
    route = target.cluster.get(HTTP_ROUTE, ROUTE)
    assert route is not None
    assert route["metadata"]["annotations"]["team"] == "spam"
    assert target.traffic() == Traffic({"stable": "a"})


def test_a_writer_who_is_always_faster_is_named() -> None:
    target = in_canary()
    attempts = iter(range(100))

    def meanwhile() -> None:
        note = {"metadata": {"annotations": {"turn": str(next(attempts))}}}
        target.cluster.edit(HTTP_ROUTE, ROUTE, note, manager="argocd")

    target.cluster.meanwhile = meanwhile
    with pytest.raises(ServiceUnavailable, match=f"each of {ATTEMPTS} writes; last by argocd at"):
        target.set_traffic(Traffic({"stable": "a"}))


def edit_weights(cluster: MemoryCluster) -> None:
    route = cluster.get(HTTP_ROUTE, ROUTE)
    assert route is not None
    rules = route["spec"]["rules"]
    for rule in rules:
        for reference, weight in zip(rule.get("backendRefs", []), (10, 90), strict=False):
            reference["weight"] = weight
    cluster.edit(HTTP_ROUTE, ROUTE, {"spec": {"rules": rules}})


def delete_route(cluster: MemoryCluster) -> None:
    cluster.drop(HTTP_ROUTE, ROUTE)


def scale_canary_to_zero(cluster: MemoryCluster) -> None:
    canary = canary_of(cluster)
    canary["predictor"]["minReplicas"] = 0
    cluster.edit(INFERENCE_SERVICE, SERVICE, {"spec": {"canary": [canary]}})


def give_kserve_a_weight(cluster: MemoryCluster) -> None:
    canary = canary_of(cluster)
    canary["trafficPercent"] = 50
    cluster.edit(INFERENCE_SERVICE, SERVICE, {"spec": {"canary": [canary]}})


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (edit_weights, "HTTPRoute weir-predictions was changed by hand: put back spec.rules"),
        (delete_route, "HTTPRoute weir-predictions was deleted by somebody: made again"),
        (scale_canary_to_zero, "InferenceService weir-media was not as it was left: put back"),
        (give_kserve_a_weight, "InferenceService weir-media was not as it was left: put back"),
    ],
)
def test_what_was_changed_by_hand_is_put_back_and_said(
    edit: Callable[[MemoryCluster], None], said: str
) -> None:
    target = in_canary()
    before = target.cluster.get(INFERENCE_SERVICE, SERVICE)
    assert before is not None
    edit(target.cluster)
    if edit is delete_route:
        assert target.traffic() is None
    target.set_traffic(CANARY)
    after = target.cluster.get(INFERENCE_SERVICE, SERVICE)
    assert after is not None
    assert after["spec"] == before["spec"]
    assert target.traffic() == CANARY
    assert len(target.said) == 1
    assert said in target.said[0]


def test_a_canary_that_was_scaled_to_zero_counts_as_dead_and_restarting_gives_it_its_pods() -> None:
    target = in_canary()
    scale_canary_to_zero(target.cluster)
    assert not target.alive("b")
    target.restart("b")
    assert target.alive("b")
    assert canary_of(target.cluster)["predictor"]["minReplicas"] == 2


def test_weights_edited_by_hand_are_what_traffic_says_and_protect_the_slot() -> None:
    target = in_canary()
    edit_weights(target.cluster)
    seen = target.traffic()
    assert seen is not None
    assert seen.visible_share("b") == 90
    with pytest.raises(ValueError, match="slot b answers requests"):
        target.remove("b")


def test_a_mirrored_slot_cannot_be_removed() -> None:
    target = with_slots(kserve_target_in_memory(), a=OLD, b=NEW)
    target.set_traffic(Traffic({"stable": "a"}, mirror="b"))
    with pytest.raises(ValueError, match="slot b is mirrored to; take its traffic away first"):
        target.remove("b")


@pytest.mark.parametrize(
    "traffic", [CANARY, Traffic({"stable": "a"}, mirror="b")], ids=["weight", "copies"]
)
def test_a_slot_without_ready_pods_gets_neither_weight_nor_copies(traffic: Traffic) -> None:
    target = with_slots(kserve_target_in_memory(), a=OLD)
    target.set_traffic(Traffic({"stable": "a"}))
    target.cluster.writes.clear()
    with pytest.raises(ContractViolation, match=r"slot = 'b': .+ holds no model; deploy one first"):
        target.set_traffic(traffic)
    target.deploy("b", NEW.model_uri, NEW.version)
    target.cluster.writes.clear()
    with pytest.raises(ContractViolation, match=r"ready pods of slot b = 0: .+; wait until all 2"):
        target.set_traffic(traffic)
    assert target.cluster.writes == []


def test_a_rollback_is_not_refused_because_the_champion_is_ill() -> None:
    target = in_canary()
    target.emulator.hang("a")
    target.emulator.reconcile()
    assert not target.ready("a")
    target.set_traffic(Traffic({"stable": "a"}))
    assert target.traffic() == Traffic({"stable": "a"})


def test_a_new_slot_needs_free_accelerators_before_anything_is_written() -> None:
    target = kserve_target_in_memory()
    asked = {"limits": {"nvidia.com/gpu": 1}}
    container = {"name": "kserve-container", "resources": asked}
    runtime = {"metadata": {"name": "weir-media"}, "spec": {"containers": [container]}}
    target.cluster.put(SERVING_RUNTIME, runtime)
    node = {"metadata": {"name": "n1"}, "status": {"allocatable": {"nvidia.com/gpu": "3"}}}
    target.cluster.put(NODE, node)
    target.cluster.put(POD, {"metadata": {"name": "p1"}, "spec": {"containers": [container]}})
    target.deploy("a", OLD.model_uri, OLD.version)  # two pods, two are free
    target.cluster.put(POD, {"metadata": {"name": "p2"}, "spec": {"containers": [container]}})
    target.cluster.writes.clear()
    with pytest.raises(ContractViolation, match=r"nvidia.com/gpu of slot b = 2: only 1 are free"):
        target.deploy("b", NEW.model_uri, NEW.version)
    assert target.cluster.writes == []
    target.cluster.forbidden = {"Node"}
    target.deploy("b", NEW.model_uri, NEW.version)
    assert ["not checked whether accelerators are free" in line for line in target.said] == [True]


def test_what_may_not_be_asked_is_said_once_and_not_guessed() -> None:
    target = kserve_target_in_memory()
    target.cluster.has_deployments = False
    target.cluster.forbidden = {"Deployment", "Pod"}
    with_slots(target, a=OLD)
    assert target.alive("a")
    assert sorted(line.split(";")[0] for line in target.said) == [
        "cannot get deployments", "cannot get pods",
    ]  # fmt: skip


def test_pods_that_crash_are_dead_and_say_why() -> None:
    target = in_canary()
    target.emulator.kill("b")
    target.emulator.reconcile()
    assert not target.alive("b")
    assert target.last_words("b").splitlines() == [
        "pod weir-media-b-predictor-0 waiting: CrashLoopBackOff: back-off 5m0s restarting",
        "last words of weir-media-b-predictor-0",
    ]
    target.restart("b")
    assert any(target.ready("b") for _ in range(3))


def test_another_model_in_a_slot_is_ready_only_when_the_former_is_gone() -> None:
    target = with_slots(kserve_target_in_memory(), a=OLD)
    target.deploy("a", NEW.model_uri, NEW.version)
    assert not target.answering("a")  # KServe's status still speaks of the former pods
    assert any(target.ready("a") for _ in range(3))


def test_a_slot_that_only_one_pool_has_is_incomplete_until_it_is_deployed_or_removed() -> None:
    target = with_slots(kserve_target_in_memory("text", "media"), a=OLD, b=NEW)
    target.set_traffic(Traffic({"stable": "a"}))
    service = target.cluster.get(INFERENCE_SERVICE, "weir-text")
    assert service is not None
    target.cluster.edit(INFERENCE_SERVICE, "weir-text", {"spec": {"canary": None}})
    assert dict(target.deployed()) == {"a": OLD, "b": INCOMPLETE}
    target.remove("b")
    assert dict(target.deployed()) == {"a": OLD}


def test_an_object_that_is_not_ours_is_left_alone_with_the_command_that_hands_it_over() -> None:
    target = kserve_target_in_memory()
    theirs = {"metadata": {"name": SERVICE, "labels": {"team": "other"}}, "spec": {"predictor": {}}}
    target.cluster.put(INFERENCE_SERVICE, theirs)
    with pytest.raises(
        BadInput, match=r"kubectl label inferenceservices weir-media app.kubernetes"
    ):
        target.deploy("a", OLD.model_uri, OLD.version)
    assert target.cluster.writes == []


def test_the_affinity_key_changes_when_a_rollout_is_over_and_stands_in_the_policy() -> None:
    settings = kserve_settings().model_copy(update={"affinity_policy": "weir-content-kind"})
    target = EmulatedKServeTarget(settings, MemoryCluster())
    policy = {
        "metadata": {
            "name": "weir-content-kind",
            "labels": {"app.kubernetes.io/part-of": "weir"},
        },
        "spec": {"lua": [{"type": "ValueRef", "filterContext": {"affinity_key": "0" * 16}}]},
    }
    target.cluster.put(EXTENSION_POLICY, policy)
    with_slots(target, a=OLD, b=NEW)
    keys = []
    for traffic in (Traffic({"stable": "a"}), CANARY, Traffic({"stable": "b"})):
        target.set_traffic(traffic)
        found = target.cluster.get(EXTENSION_POLICY, "weir-content-kind")
        assert found is not None
        keys.append(found["spec"]["lua"][0]["filterContext"]["affinity_key"])
    assert keys[0] == keys[1] != keys[2]


def test_a_successor_knows_everything_from_the_cluster() -> None:
    target = in_canary()
    successor = target.successor()
    assert successor.traffic() == CANARY
    assert dict(successor.deployed()) == {"a": OLD, "b": NEW}
    successor.set_traffic(CANARY)
    assert target.cluster.writes == []


def answering(values: dict[str, str], status: int = 200) -> httpx.Client:
    """A Prometheus that knows these answers by a word of the query."""

    def respond(request: httpx.Request) -> httpx.Response:
        query = request.url.params["query"]
        found = [{"value": [0, value]} for word, value in values.items() if word in query]
        return httpx.Response(status, json={"data": {"result": found[:1]}})

    return httpx.Client(transport=httpx.MockTransport(respond))


def test_counters_are_what_prometheus_counted_of_the_slots_pods() -> None:
    settings = kserve_settings("text", "media")
    asked = "(weir-text-b-predictor|weir-media-b-predictor)-.+"
    known = {"[45]..": "3", f'pod=~"{asked}"': "41"}
    counts = prometheus_counts(settings, answering(known))
    assert counts(asked) == Counters(41, 3)
    assert counts("nobody") == Counters(0, 3)
    with pytest.raises(ServiceUnavailable, match=r"prometheus_url = http://127.0.0.1:1 did not"):
        prometheus_counts(settings, answering({}, status=503))(asked)


def test_a_query_that_asks_of_no_pods_is_a_mistake_in_the_configuration() -> None:
    settings = kserve_settings().model_copy(update={"errors_query": "sum(errors)"})
    with pytest.raises(ConfigurationError, match=r"errors_query = 'sum.errors.' names no pods"):
        prometheus_counts(settings)


def settings_with(folder: Path) -> KServe:
    return kserve_settings().model_copy(update={"decisions": folder / "decisions"})


def test_evidence_that_cannot_come_is_said_before_a_rollout_waits_for_it(tmp_path: Path) -> None:
    settings = settings_with(tmp_path)
    log, decisions = tmp_path / "logs" / "access.jsonl", tmp_path / "decisions"
    with pytest.raises(
        ConfigurationError, match=r"rollout.kserve.access_log = .+ no folder .+logs"
    ):
        check_evidence(settings, log, decisions)
    log.parent.mkdir()
    with pytest.raises(ConfigurationError, match=r"rollout.kserve.decisions = .+ no folder"):
        check_evidence(settings, log, decisions)
    decisions.mkdir()
    check_evidence(settings, log, decisions)


def test_the_configuration_chooses_the_target_and_says_what_is_missing(tmp_path: Path) -> None:
    production = load_settings({"WEIR_ENV": "production", "WEIR_HOME": str(tmp_path)})
    with pytest.raises(ConfigurationError, match=r"rollout.kserve.access_log"):
        chosen_target(production)
    with pytest.raises(ConfigurationError, match=r"rollout.kserve = None: .+ give this section"):
        load_settings({"WEIR__ROLLOUT__TARGET": "kserve", "WEIR_HOME": str(tmp_path)})
