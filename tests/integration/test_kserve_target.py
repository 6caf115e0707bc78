"""The cluster target on a real API server, driven by the real controller through whole rollouts.

What is real: the API server (storage, strict validation, conflicts), its CRDs, the target, the
controller and its store. What is emulated: KServe's controller and the gateway's, which set
status over the same API (`tests/stand_ins/kserve_emulator.py`), and the evidence of the judge.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
import yaml

from data_contracts.config import PROJECT
from data_contracts.errors import BadInput, ContractViolation, ServiceUnavailable
from serving.rollout.targets.base import Traffic
from serving.rollout.targets.kserve_cluster import HTTP_ROUTE, INFERENCE_SERVICE, Kind, Object
from serving.rollout.targets.kserve_routes import asked_of
from serving.rollout.targets.kserve_rules import check_route, check_service
from serving.rollout.targets.kserve_services import is_main, slots_in
from tests.stand_ins.kserve_api_server import RecordingCluster, connected
from tests.stand_ins.kserve_memory import EmulatedKServeTarget, kserve_settings
from tests.unit.serving.rollout.test_controller import NEW, OLD, World, answered

pytestmark = pytest.mark.services
ROUTE = "weir-predictions"
CANARY = Traffic({"stable": "a", "canary": "b"}, {"stable": 90, "canary": 10})


class CrashError(BaseException):
    """The process is gone: nothing in it may catch this."""


@pytest.fixture(scope="module")
def server(empty_api_server: Mapping[str, str]) -> RecordingCluster:
    return connected(empty_api_server)


@pytest.fixture
def cluster(server: RecordingCluster) -> Iterator[RecordingCluster]:
    """Empty, and undisturbed."""
    server.writes.clear()
    yield server
    server.meanwhile = None
    for kind in (HTTP_ROUTE, INFERENCE_SERVICE):
        server.erase(kind)


def target_on(cluster: RecordingCluster) -> EmulatedKServeTarget:
    return EmulatedKServeTarget(kserve_settings("text", "media"), cluster)


def in_canary(cluster: RecordingCluster) -> EmulatedKServeTarget:
    target = target_on(cluster)
    for slot, model in (("a", OLD), ("b", NEW)):
        target.deploy(slot, model.model_uri, model.version)
        assert any(target.ready(slot) for _ in range(4))
    target.set_traffic(CANARY)
    cluster.writes.clear()
    return target


def world_on(cluster: RecordingCluster, **settings: Any) -> World:
    """A controller with a champion in traffic."""
    world = World(target=target_on(cluster), **settings)
    world.step(5)
    assert world.target.traffic() == Traffic({"stable": "a"})
    cluster.writes.clear()
    return world


def object_of(cluster: RecordingCluster, kind: Kind, name: str) -> Object:
    found = cluster.get(kind, name)
    assert found is not None
    return found


def told(cluster: RecordingCluster) -> list[str]:
    """Every write in words: what a route then carries, which slots an InferenceService names."""
    lines = []
    for _, what, change in cluster.writes:
        if what.startswith("HTTPRoute"):
            traffic = asked_of(change).traffic
            assert traffic is not None
            shares = {slot: traffic.visible_share(slot) for slot in traffic.slots.values()}
            lines.append(f"route {shares}, copies to {traffic.mirror}")
        elif "canary" in change["spec"]:
            canaries = change["spec"]["canary"] or []
            main = change["spec"]["predictor"].get("name", "as before")
            lines.append(f"main {main}, canaries {[one['predictor']['name'] for one in canaries]}")
    return lines


def test_a_whole_rollout_is_valid_and_when_it_is_over_nothing_is_written_any_more(
    cluster: RecordingCluster,
) -> None:
    world = world_on(cluster)
    world.start()
    world.run_until("done", most=60)
    world.step(3)
    assert told(cluster) == [
        *["main as before, canaries ['b']"] * 2,  # text and media
        "route {'a': 100}, copies to b",
        *["main as before, canaries ['b', 'c']"] * 2,
        "route {'a': 80, 'c': 10, 'b': 10}, copies to None",
        "route {'b': 100, 'a': 0}, copies to None",
        *["main as before, canaries ['b']"] * 2,
        "route {'b': 100}, copies to None",
        *["main b, canaries []"] * 2,
    ]
    for name in ("weir-text", "weir-media"):
        service = object_of(cluster, INFERENCE_SERVICE, name)
        assert is_main(service, "b")
        assert list(slots_in(service)) == ["b"]
    before = len(cluster.writes)
    world.step(5)  # the server's own defaults are no difference
    assert len(cluster.writes) == before
    assert world.champions == ["2"]
    assert world.target.said == []


def test_a_rollback_sends_everything_to_the_champion_before_it_clears_the_canary(
    cluster: RecordingCluster,
) -> None:
    world = world_on(cluster)
    world.start()
    world.run_until("canary 10 %", most=60)
    world.canary = answered(200, errors=120)
    world.run_until("rolled_back")
    world.step(2)
    lines = told(cluster)
    raised = lines.index("route {'a': 80, 'c': 10, 'b': 10}, copies to None")
    assert lines[raised + 1] == "route {'a': 100, 'c': 0}, copies to None"
    cleared = [line for line in lines[raised + 2 :] if line.startswith("main")]
    assert cleared == [
        *["main as before, canaries ['c']"] * 2,
        *["main as before, canaries []"] * 2,
    ]
    for name in ("weir-text", "weir-media"):
        assert list(slots_in(object_of(cluster, INFERENCE_SERVICE, name))) == ["a"]


def test_a_crash_between_two_writes_is_finished_by_the_next_controller(
    cluster: RecordingCluster,
) -> None:
    """After the route, before the canary is cleared; and between the pools' InferenceServices."""
    for writes_before_the_crash in (1, 2):
        world = world_on(cluster)
        world.start()
        world.run_until("canary 10 %", most=60)
        world.step(3)
        world.store.ask("abort", "test")
        left = iter(range(writes_before_the_crash))

        def crash(left: Iterator[int] = left) -> None:
            if next(left, None) is None:
                raise CrashError

        cluster.meanwhile = crash
        with pytest.raises(CrashError):
            world.step(10)
        cluster.meanwhile = None
        world.target = world.target.successor()
        world.controller = world.new_controller()
        world.run_until("aborted")
        world.step(2)
        assert world.target.traffic() == Traffic({"stable": "a"})
        assert dict(world.target.deployed()) == {"a": OLD}
        for kind in (HTTP_ROUTE, INFERENCE_SERVICE):
            cluster.erase(kind)


def test_another_writers_change_is_met_with_a_conflict_and_kept(cluster: RecordingCluster) -> None:
    target = in_canary(cluster)
    changes = iter(({"metadata": {"annotations": {"team": "spam"}}},))
    cluster.meanwhile = lambda: [cluster.edit(HTTP_ROUTE, ROUTE, one) for one in changes] and None
    target.set_traffic(Traffic({"stable": "a"}))
    route = object_of(cluster, HTTP_ROUTE, ROUTE)
    assert route["metadata"]["annotations"]["team"] == "spam"
    assert target.traffic() == Traffic({"stable": "a"})
    managers = {one["manager"] for one in route["metadata"]["managedFields"]}
    assert {"weir", "kubectl-edit"} <= managers


def test_a_writer_who_is_always_faster_is_named(cluster: RecordingCluster) -> None:
    target = in_canary(cluster)
    turns = iter(range(100))
    cluster.meanwhile = lambda: cluster.edit(
        HTTP_ROUTE, ROUTE, {"metadata": {"annotations": {"turn": str(next(turns))}}}
    )
    with pytest.raises(ServiceUnavailable, match="last by kubectl-edit at 2"):
        target.set_traffic(Traffic({"stable": "a"}))


def edit_weights(cluster: RecordingCluster) -> None:
    rules = object_of(cluster, HTTP_ROUTE, ROUTE)["spec"]["rules"]
    for rule in rules:
        for reference, weight in zip(rule.get("backendRefs", []), (1, 99), strict=False):
            reference["weight"] = weight
    cluster.edit(HTTP_ROUTE, ROUTE, {"spec": {"rules": rules}})


def delete_route(cluster: RecordingCluster) -> None:
    cluster.erase(HTTP_ROUTE)


def scale_canary_to_zero(cluster: RecordingCluster) -> None:
    canary = object_of(cluster, INFERENCE_SERVICE, "weir-media")["spec"]["canary"]
    canary[0]["predictor"]["minReplicas"] = 0
    cluster.edit(INFERENCE_SERVICE, "weir-media", {"spec": {"canary": canary}})


@pytest.mark.parametrize("edit", [edit_weights, delete_route, scale_canary_to_zero])
def test_drift_is_repaired_and_said(
    cluster: RecordingCluster, edit: Callable[[RecordingCluster], None]
) -> None:
    target = in_canary(cluster)
    services = ("weir-text", "weir-media")
    before = [object_of(cluster, INFERENCE_SERVICE, name)["spec"] for name in services]
    edit(cluster)
    target.set_traffic(CANARY)
    assert target.traffic() == CANARY
    check_route(object_of(cluster, HTTP_ROUTE, ROUTE))
    assert [object_of(cluster, INFERENCE_SERVICE, name)["spec"] for name in services] == before
    assert len(target.said) == 1
    cluster.writes.clear()
    target.set_traffic(CANARY)
    assert cluster.writes == []


def test_a_weight_of_130_is_refused_by_the_server_and_before_it(cluster: RecordingCluster) -> None:
    in_canary(cluster)
    service = object_of(cluster, INFERENCE_SERVICE, "weir-media")
    service["spec"]["canary"][0]["trafficPercent"] = 130
    with pytest.raises(
        BadInput, match=r"trafficPercent: Invalid value: 130: .+ less than or equal"
    ):
        cluster.patch(INFERENCE_SERVICE, "weir-media", _written_anew(service))
    with pytest.raises(ContractViolation, match=r"canary\[b\].trafficPercent = 130: no percentage"):
        check_service(service)
    with pytest.raises(ValueError, match="weight of canary is 130; give a percentage"):
        Traffic({"stable": "a", "canary": "b"}, {"canary": 130})


def test_weights_that_do_not_sum_to_100_pass_the_server_and_not_our_check(
    cluster: RecordingCluster,
) -> None:
    target = in_canary(cluster)
    route = object_of(cluster, HTTP_ROUTE, ROUTE)
    for rule in route["spec"]["rules"]:
        for reference in rule.get("backendRefs", []):
            reference["weight"] = 60
    with pytest.raises(ContractViolation, match="weight = 120: weights do not sum to 100"):
        check_route(route)
    cluster.patch(HTTP_ROUTE, ROUTE, _written_anew(route))  # Gateway API takes them for relative
    seen = target.traffic()
    assert seen is not None
    assert dict(seen.weights) == {"stable": 50, "canary": 50}


@pytest.mark.parametrize("replicas", [0, 5])
def test_a_canary_without_capacity_passes_the_server_and_not_our_check(
    cluster: RecordingCluster, replicas: int
) -> None:
    """None, or more than the main predictor's: the first has no pods, the second a webhook."""
    in_canary(cluster)
    service = object_of(cluster, INFERENCE_SERVICE, "weir-media")
    service["spec"]["canary"][0]["predictor"]["minReplicas"] = replicas
    with pytest.raises(ContractViolation, match=f"predictor.minReplicas = {replicas}: "):
        check_service(service)
    cluster.patch(INFERENCE_SERVICE, "weir-media", _written_anew(service))


def test_a_canary_that_is_not_ready_gets_no_weight_and_nothing_is_written(
    cluster: RecordingCluster,
) -> None:
    target = in_canary(cluster)
    target.emulator.never_ready.add("3")
    target.deploy("c", "models:/spam/3", "3")
    cluster.writes.clear()
    slots = {"stable": "a", "canary": "c"}
    with pytest.raises(ContractViolation, match="ready pods of slot c = 0: 10 per cent for a slot"):
        target.set_traffic(Traffic(slots, {"stable": 90, "canary": 10}))  # type: ignore[arg-type]
    assert cluster.writes == []


def test_this_server_would_have_found_a_misspelt_field(cluster: RecordingCluster) -> None:
    in_canary(cluster)
    for kind, name in ((HTTP_ROUTE, ROUTE), (INFERENCE_SERVICE, "weir-text")):
        found = object_of(cluster, kind, name)
        change = {"metadata": _written_anew(found)["metadata"], "spec": {"wieght": 1}}
        with pytest.raises(BadInput, match="unknown field"):
            cluster.patch(kind, name, change)


def test_the_manifests_predictors_are_what_slots_are_made_like(cluster: RecordingCluster) -> None:
    """infra/kubernetes starts them without a slot's name and without a model."""
    folder = PROJECT / "infra" / "kubernetes" / "base" / "platform"
    for service in yaml.safe_load_all((folder / "predictors.yaml").read_text()):
        service["metadata"]["namespace"] = "weir"
        cluster.create(INFERENCE_SERVICE, service)
    theirs = object_of(cluster, INFERENCE_SERVICE, "weir-text")["spec"]["predictor"]
    world = world_on(cluster)
    world.start()
    world.run_until("done", most=60)
    world.step(3)
    ours = object_of(cluster, INFERENCE_SERVICE, "weir-text")["spec"]
    assert "canary" not in ours
    assert ours["predictor"]["name"] == "b"
    for key in ("serviceAccountName", "priorityClassName", "securityContext"):
        assert ours["predictor"][key] == theirs[key]


def _written_anew(seen: Object) -> Object:
    """All of it as a change that names the version that was seen."""
    version = {"resourceVersion": seen["metadata"]["resourceVersion"]}
    return {"metadata": version, "spec": seen["spec"]}
