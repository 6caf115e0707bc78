"""What every traffic target does, whatever carries the traffic. A new one joins `TARGETS`.

The second half is what only a data plane that answers can show: local alone has one here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import httpx
import orjson
import psutil
import pytest

from serving.rollout.targets.base import Deployment, Traffic, TrafficTarget
from serving.rollout.targets.kserve_cluster import HTTP_ROUTE, INFERENCE_SERVICE
from tests.stand_ins.data_plane import Laboratory, laboratory, wait_for
from tests.stand_ins.kserve_api_server import RecordingCluster, connected
from tests.stand_ins.kserve_memory import (
    EmulatedKServeTarget,
    kserve_settings,
    kserve_target_in_memory,
)
from tests.stand_ins.memory_target import MemoryTarget
from tests.stand_ins.ports import free_ports

OLD, NEW = Deployment("stand-in/good", "1"), Deployment("stand-in/disagrees", "2")
BROKEN = Deployment("stand-in/never-ready", "3")


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laboratory]:
    with laboratory(tmp_path_factory.mktemp("home")) as lab:
        lab.start_gateway()
        yield lab


@pytest.fixture
def local(lab: Laboratory) -> Iterator[TrafficTarget]:
    yield lab.target
    lab.target.set_traffic(None)
    lab.target.stop_servers()


@pytest.fixture(scope="module")
def two_pools_lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laboratory]:
    first = free_ports(8)
    ports = {
        "SERVING__GATEWAY_PORT": first,
        "SERVING__ENVOY_ADMIN_PORT": first + 1,
        "SERVING__FIRST_SLOT_PORT": first + 2,
    }
    media_pool = {"first_slot_port": first + 5, "variables": {"WEIR_POOL": "media"}}
    home = tmp_path_factory.mktemp("home")
    with laboratory(home, **ports, SERVING__MEDIA_POOL=media_pool) as lab:
        lab.start_gateway()
        yield lab


@pytest.fixture
def two_pools(two_pools_lab: Laboratory) -> Iterator[TrafficTarget]:
    """Local, with a server of its own for media in every slot."""
    yield two_pools_lab.target
    two_pools_lab.target.set_traffic(None)
    two_pools_lab.target.stop_servers()


@pytest.fixture
def memory() -> TrafficTarget:
    target = MemoryTarget()
    target.never_ready.add(BROKEN.version)
    return target


@pytest.fixture
def kserve_memory() -> TrafficTarget:
    """The target for clusters, two pools, on an emulated cluster."""
    target = kserve_target_in_memory("text", "media")
    target.emulator.never_ready.add(BROKEN.version)
    return target


@pytest.fixture(scope="module")
def api_cluster(empty_api_server: Mapping[str, str]) -> RecordingCluster:
    return connected(empty_api_server)


@pytest.fixture
def kserve(api_cluster: RecordingCluster) -> Iterator[TrafficTarget]:
    """The same on a real API server, which validates, stores and refuses."""
    target = EmulatedKServeTarget(kserve_settings("text", "media"), api_cluster)
    target.emulator.never_ready.add(BROKEN.version)
    yield target
    for kind in (HTTP_ROUTE, INFERENCE_SERVICE):
        api_cluster.erase(kind)


TARGETS = [
    "memory",
    "kserve_memory",
    pytest.param("local", marks=pytest.mark.services),
    pytest.param("two_pools", marks=pytest.mark.services),
    pytest.param("kserve", marks=pytest.mark.services),
]


@pytest.fixture(params=TARGETS)
def target(request: pytest.FixtureRequest) -> TrafficTarget:
    chosen: TrafficTarget = request.getfixturevalue(request.param)
    return chosen


def deploy(target: TrafficTarget, **slots: Deployment) -> None:
    for slot, model in slots.items():
        target.deploy(slot, model.model_uri, model.version)
    for slot in slots:
        wait_for(lambda slot=slot: target.ready(slot), f"slot {slot} ready")  # type: ignore[misc]


def test_a_deployed_model_becomes_ready_and_is_known_by_uri_and_version(
    target: TrafficTarget,
) -> None:
    assert not target.ready("a")
    deploy(target, a=OLD)
    assert target.alive("a")
    assert dict(target.deployed()) == {"a": OLD}


def test_deploying_the_same_again_leaves_the_server_alone(target: TrafficTarget) -> None:
    deploy(target, a=OLD)
    target.deploy("a", OLD.model_uri, OLD.version)
    wait_for(lambda: target.ready("a"), "slot a still ready")


def test_another_model_takes_the_slot(target: TrafficTarget) -> None:
    deploy(target, a=OLD)
    deploy(target, a=NEW)
    assert dict(target.deployed()) == {"a": NEW}


def test_a_removed_slot_is_empty_and_removing_twice_is_nothing(target: TrafficTarget) -> None:
    deploy(target, a=OLD)
    target.remove("a")
    target.remove("a")
    assert not target.alive("a")
    assert not target.deployed()


def test_a_slot_that_answers_requests_cannot_be_removed(target: TrafficTarget) -> None:
    deploy(target, a=OLD)
    target.set_traffic(Traffic({"stable": "a"}))
    with pytest.raises(ValueError, match="slot a answers requests"):
        target.remove("a")


def test_traffic_is_what_was_set_last_and_setting_it_twice_is_nothing(
    target: TrafficTarget,
) -> None:
    deploy(target, a=OLD, b=NEW)
    traffic = Traffic({"stable": "a", "canary": "b"}, {"stable": 75, "canary": 25})
    for _ in range(2):
        target.set_traffic(traffic)
        assert target.traffic() == traffic
    target.set_traffic(None)
    assert target.traffic() is None


def test_restarting_brings_the_same_model_back(target: TrafficTarget) -> None:
    deploy(target, a=OLD)
    target.restart("a")
    wait_for(lambda: target.ready("a"), "slot a ready again")
    assert dict(target.deployed()) == {"a": OLD}


def test_a_mirror_is_kept_and_ends_when_it_is_told_to(target: TrafficTarget) -> None:
    deploy(target, a=OLD, b=NEW)
    mirrored = Traffic({"stable": "a"}, mirror="b")
    for traffic in (mirrored, Traffic({"stable": "a"})):
        target.set_traffic(traffic)
        assert target.traffic() == traffic


def test_a_slot_that_lost_its_weight_goes_and_the_champion_stays(target: TrafficTarget) -> None:
    deploy(target, a=OLD, b=NEW)
    target.set_traffic(Traffic({"stable": "a", "canary": "b"}, {"stable": 90, "canary": 10}))
    champion = Traffic({"stable": "a", "baseline": "b"})
    target.set_traffic(champion)
    target.remove("b")
    assert dict(target.deployed()) == {"a": OLD}
    assert target.traffic() == champion
    wait_for(lambda: target.ready("a"), "slot a still ready")


def test_the_slot_that_was_first_may_go_once_another_answers(target: TrafficTarget) -> None:
    deploy(target, a=OLD, b=NEW)
    target.set_traffic(Traffic({"stable": "a", "canary": "b"}, {"canary": 100}))
    target.set_traffic(Traffic({"stable": "b"}))
    target.remove("a")
    assert dict(target.deployed()) == {"b": NEW}
    wait_for(lambda: target.ready("b"), "slot b still ready")
    assert not target.alive("a")


def test_a_model_that_is_never_ready_is_alive_but_not_ready(target: TrafficTarget) -> None:
    target.deploy("a", BROKEN.model_uri, BROKEN.version)
    wait_for(lambda: target.alive("a"), "slot a alive")
    assert not any(target.ready("a") for _ in range(3))


# what clients see: only where something carries traffic


@pytest.fixture
def ask(lab: Laboratory) -> Iterator[Callable[[int], Counter[str]]]:
    with httpx.Client(trust_env=False, timeout=20) as client:

        def versions(times: int) -> Counter[str]:
            seen: Counter[str] = Counter()
            for number in range(times):
                event = {"event_id": f"e{number}", "text": "hello"}
                answer = client.post(lab.url, json={"instances": [event]})
                version = answer.headers.get("x-weir-model-version", "none")
                seen[f"{answer.status_code} {version}"] += 1
            return seen

        yield versions


Ask = Callable[[int], Counter[str]]
services = pytest.mark.services


@services
def test_before_the_first_champion_clients_are_told_so(lab: Laboratory, ask: Ask) -> None:
    assert ask(1) == {"503 none": 1}
    assert "no champion deployed yet" in httpx.post(lab.url, json={}).json()["error"]


@services
def test_weights_are_kept(local: TrafficTarget, ask: Ask) -> None:
    deploy(local, a=OLD, b=NEW)
    local.set_traffic(Traffic({"stable": "a", "canary": "b"}, {"stable": 80, "canary": 20}))
    # until Envoy's own first health check of the canary, the champion stands in (decision 0005)
    wait_for(lambda: "200 2" in ask(20), "the canary answers")
    seen = ask(300)
    assert set(seen) == {"200 1", "200 2"}
    assert 30 <= seen["200 2"] <= 95  # 60 expected; 30 and 95 are four standard deviations


@services
def test_a_mirror_gets_every_request_and_answers_none(local: TrafficTarget, ask: Ask) -> None:
    deploy(local, a=OLD, b=NEW)
    local.set_traffic(Traffic({"stable": "a"}, mirror="b"))
    before = local.counters("b")
    assert ask(50) == {"200 1": 50}
    wait_for(lambda: local.counters("b").since(before).requests == 50, "50 copies")


@services
def test_a_dead_canary_or_stable_server_costs_no_request(
    lab: Laboratory, local: TrafficTarget, ask: Ask
) -> None:
    deploy(local, a=OLD, b=NEW, c=OLD)
    slots = {"stable": "a", "baseline": "c", "canary": "b"}
    local.set_traffic(Traffic(slots, {"stable": 40, "baseline": 30, "canary": 30}))  # type: ignore[arg-type]
    lab.kill_server("b")
    assert ask(60) == {"200 1": 60}
    lab.kill_server("a")
    assert ask(60) == {"200 1": 60}


@services
def test_servers_outlive_the_process_that_started_them(
    lab: Laboratory, local: TrafficTarget, tmp_path: Path
) -> None:
    deploy(local, a=OLD)
    successor = Laboratory.target_of(lab.settings)
    assert successor.ready("a")
    assert dict(successor.deployed()) == {"a": OLD}


@services
def test_a_server_whose_record_was_never_written_is_ended_before_the_next_starts(
    lab: Laboratory, local: TrafficTarget
) -> None:
    deploy(local, a=OLD)
    (lab.home / "run" / "slot-a.json").unlink()
    assert not local.alive("a")
    deploy(local, a=NEW)
    assert dict(local.deployed()) == {"a": NEW}


@services
def test_a_body_that_is_too_large_is_refused_with_the_limit(
    lab: Laboratory, local: TrafficTarget
) -> None:
    deploy(local, a=OLD)
    local.set_traffic(Traffic({"stable": "a"}))
    limit = lab.settings.serving.maximum_body_bytes
    answer = httpx.post(lab.url, content=b"x" * (limit + 1), trust_env=False)
    assert answer.status_code == 413
    assert f"larger than {limit} bytes" in answer.json()["error"]


@services
def test_a_client_cannot_choose_its_arm_or_pass_for_a_copy(
    lab: Laboratory, local: TrafficTarget
) -> None:
    deploy(local, a=OLD)
    local.set_traffic(Traffic({"stable": "a"}))
    event = {"instances": [{"event_id": "e1", "text": "hello"}]}
    headers = {"host": "gateway-shadow", "x-weir-arm": "canary"}
    answer = httpx.post(lab.url, json=event, headers=headers, trust_env=False)
    assert answer.headers["x-weir-arm"] == "stable"


@services
def test_of_two_pools_only_the_dead_server_is_restarted(
    two_pools_lab: Laboratory, two_pools: TrafficTarget
) -> None:
    deploy(two_pools, a=OLD)
    two_pools.set_traffic(Traffic({"stable": "a"}))
    text_server = process_of(two_pools_lab, "a")
    assert process_of(two_pools_lab, "a-media").environ()["WEIR_POOL"] == "media"
    two_pools_lab.kill_server("a-media")
    wait_for(lambda: not two_pools.alive("a"), "the slot counted as dead")
    two_pools.restart("a")
    wait_for(lambda: two_pools.ready("a"), "slot a ready again")
    assert process_of(two_pools_lab, "a") == text_server


@services
def test_both_pools_count_as_the_slots_answers(
    two_pools_lab: Laboratory, two_pools: TrafficTarget
) -> None:
    deploy(two_pools, a=OLD)
    two_pools.set_traffic(Traffic({"stable": "a"}))
    before = two_pools.counters("a")
    media = [{"kind": "image", "sha256": "ab" * 32, "bytes": ""}]
    for event in (
        {"event_id": "e1", "text": "hi"},
        {"event_id": "e2", "text": "hi", "media": media},
    ):
        assert httpx.post(two_pools_lab.url, json={"instances": [event]}).status_code == 200
    assert two_pools.counters("a").since(before).requests == 2


def process_of(lab: Laboratory, server: str) -> psutil.Process:
    record = (lab.home / "run" / f"slot-{server}.json").read_bytes()
    return psutil.Process(orjson.loads(record)["pid"])
