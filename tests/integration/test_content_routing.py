"""A real Envoy before servers that say who they are: by content, class and account."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from serving.rollout.gateway import envoy_command, envoy_program
from serving.rollout.targets.base import Traffic
from serving.rollout.targets.envoy_clusters import MAXIMUM_IN_FLIGHT, PATIENT
from serving.rollout.targets.envoy_config import DataPlane
from serving.rollout.targets.local import LocalTarget
from tests.stand_ins.data_plane import wait_for
from tests.stand_ins.echo_server import EchoServer, echo_server
from tests.stand_ins.ports import free_ports

pytestmark = pytest.mark.services

MIB = 1_048_576
IMAGE = {"kind": "image", "sha256": "ab" * 32, "bytes": "/9j/AAAA"}
TEXT = {"event_id": "e1", "text": "hello"}
MEDIA = {**TEXT, "media": [IMAGE]}
SHARED = Traffic({"stable": "a", "canary": "b"}, {"stable": 70, "canary": 30})


class Gateway:
    """Envoy on the files that the local target writes; its slots are echo servers."""

    def __init__(self, plane: DataPlane, servers: Mapping[str, EchoServer], home: Path) -> None:
        self.plane = plane
        self.servers = servers
        keys = (f"{number:016x}" for number in range(1, 100))
        self.target = LocalTarget(plane, home, new_key=lambda: next(keys))
        self.client = httpx.Client(
            base_url=f"http://127.0.0.1:{plane.gateway_port}", timeout=20, trust_env=False
        )
        self.admin = httpx.Client(base_url=f"http://127.0.0.1:{plane.admin_port}", trust_env=False)

    def post(self, *events: Mapping[str, Any], **headers: str) -> httpx.Response:
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        path = self.plane.predict_path
        return self.client.post(path, json={"instances": events}, headers=names)

    def infer(self, *events: Mapping[str, Any]) -> httpx.Response:
        data = [orjson.dumps(one).decode() for one in events]
        tensor = {"name": "event", "shape": [len(data)], "datatype": "BYTES", "data": data}
        return self.client.post("/v2/models/spam/infer", json={"inputs": [tensor]})

    def stat(self, name: str) -> int:
        answer = self.admin.get("/stats", params={"format": "json", "filter": f"^{name}$"})
        return sum(int(one.get("value", 0)) for one in answer.json()["stats"])

    def log(self) -> list[dict[str, Any]]:
        path = self.plane.access_log
        return [orjson.loads(line) for line in path.read_bytes().splitlines()]

    def runs(self) -> bool:
        try:
            return self.admin.get("/ready").status_code == httpx.codes.OK
        except httpx.TransportError:
            return False


@contextmanager
def gateway(home: Path, *, media: bool = True, heap_bytes: int = 512 * MIB) -> Iterator[Gateway]:
    with ExitStack() as stack:
        names = ("a", "b", "c", *(("a-media", "b-media", "c-media") if media else ()))
        servers = {name: stack.enter_context(echo_server(name)) for name in names}
        first = free_ports(2)
        plane = DataPlane(
            host="127.0.0.1",
            gateway_port=first,
            admin_port=first + 1,
            slots={name: servers[name].port for name in "abc"},
            media_slots={name: servers[f"{name}-media"].port for name in "abc" if media},
            folder=home / "envoy",
            access_log=home / "logs" / "access.jsonl",
            maximum_body_bytes=MIB,
            maximum_heap_bytes=heap_bytes,
            model_name="spam",
        )
        made = Gateway(plane, servers, home)
        bootstrap = made.target.write_gateway_files()
        command = envoy_command(envoy_program(), bootstrap)
        log = stack.enter_context((home / "envoy.log").open("wb"))
        process = subprocess.Popen(command, stdout=log, stderr=log)
        stack.callback(process.wait)
        stack.callback(process.terminate)
        wait_for(made.runs, f"envoy\n{(home / 'envoy.log').read_text()}")
        yield made


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with gateway(tmp_path_factory.mktemp("home")) as made:
        yield made


@pytest.fixture
def pools(running: Gateway) -> Gateway:
    """One champion with two pools, as good as new."""
    for server in running.servers.values():
        server.status, server.headers, server.seconds = 200, {}, 0.0
        server.hosts.clear()
    running.target.set_traffic(Traffic({"stable": "a"}))
    return running


@pytest.mark.parametrize("media", [False, True])
def test_the_bootstrap_is_valid_for_this_envoy(tmp_path: Path, media: bool) -> None:
    ports = {"a": 9, "b": 10, "c": 11}
    plane = DataPlane(
        "127.0.0.1", 7, 8, ports, tmp_path / "envoy", tmp_path / "access.jsonl", MIB, "spam",
        media_slots={name: port + 3 for name, port in ports.items() if media},
    )  # fmt: skip
    bootstrap = LocalTarget(plane, tmp_path).write_gateway_files()
    command = [envoy_program(), "--mode", "validate", "--config-path", str(bootstrap)]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr


@pytest.mark.parametrize(
    ("events", "server"),
    [((TEXT,), "a"), ((TEXT, TEXT), "a"), ((MEDIA,), "a-media"), ((TEXT, MEDIA), "a-media")],
)
def test_events_go_to_the_pool_of_what_they_carry(
    pools: Gateway, events: tuple[dict[str, Any], ...], server: str
) -> None:
    assert pools.post(*events).json()["server"] == server
    assert pools.infer(*events).json()["server"] == server


def test_a_client_can_choose_neither_pool_nor_arm_nor_account(pools: Gateway) -> None:
    pools.target.set_traffic(Traffic({"stable": "a", "canary": "b"}))
    forged = {"x_weir_content": "text", "x_weir_arm": "canary", "x_weir_account": "99"}
    answer = pools.post(MEDIA, **forged).json()
    assert answer["server"] == "a-media"
    assert answer["headers"]["x-weir-content"] == "media"
    assert answer["headers"]["x-weir-arm"] == "stable"
    assert "x-weir-account" not in answer["headers"]


def test_a_copy_goes_to_the_same_pool_of_the_mirrored_slot(pools: Gateway) -> None:
    pools.target.set_traffic(Traffic({"stable": "a"}, mirror="b"))
    pools.post(MEDIA)
    wait_for(lambda: pools.servers["b-media"].hosts == ["weir-shadow"], "the copy")
    assert pools.servers["b"].hosts == []


def test_one_server_for_everything_is_told_the_content_all_the_same(tmp_path: Path) -> None:
    with gateway(tmp_path, media=False) as single:
        single.target.set_traffic(Traffic({"stable": "a"}))
        for event, content in ((TEXT, "text"), (MEDIA, "media")):
            answer = single.post(event).json()
            assert (answer["server"], answer["headers"]["x-weir-content"]) == ("a", content)


def test_the_access_log_says_content_and_class_and_no_account(pools: Gateway) -> None:
    pools.post({**MEDIA, "account": "somebody"}, x_weir_priority="bulk")
    pools.post(TEXT)

    def lines() -> list[dict[str, Any]]:
        return [one for one in pools.log() if one["content"] is not None]

    wait_for(lambda: [one["priority"] for one in lines()][-2:] == ["bulk", "interactive"], "log")
    first, second = lines()[-2:]
    assert (first["route"], first["content"], first["cluster"], first["arm"]) == (
        "predict", "media", "slot-a-media", "stable")  # fmt: skip
    assert (second["content"], second["cluster"]) == ("text", "slot-a")
    assert b"somebody" not in pools.plane.access_log.read_bytes()
    assert "account" not in first


def arms(pools: Gateway, accounts: range) -> dict[int, str]:
    """Which server answers each account, in V1 and V2 alike."""
    seen = {}
    for number in accounts:
        event = {**TEXT, "account": f"user-{number}"}
        answers = {pools.post(event).json()["server"], pools.infer(event).json()["server"]}
        assert len(answers) == 1, f"account {number} met {answers}"
        seen[number] = answers.pop()
    return seen


def test_an_account_stays_with_its_arm_while_the_canary_grows(pools: Gateway) -> None:
    accounts = range(300)
    canaries = []
    for weight in (10, 30, 60):
        split = {"stable": 100 - weight, "canary": weight}
        pools.target.set_traffic(Traffic({"canary": "b", "stable": "a"}, split))  # type: ignore[arg-type]
        seen = arms(pools, accounts)
        canaries.append({number for number, server in seen.items() if server == "b"})
        assert abs(len(canaries[-1]) - 3 * weight) < 35  # four standard deviations of 60 %
    assert canaries[0] < canaries[1] < canaries[2]


def test_the_next_rollout_meets_other_accounts(pools: Gateway) -> None:
    rollouts = []
    for _ in range(2):
        pools.target.set_traffic(SHARED)
        rollouts.append(arms(pools, range(100)))
        pools.target.set_traffic(Traffic({"stable": "a"}))
    assert rollouts[0] != rollouts[1]


def test_an_unknown_class_is_refused_with_the_known_ones(pools: Gateway) -> None:
    answer = pools.post(TEXT, x_weir_priority="shadow")
    assert answer.status_code == 400
    assert "interactive, normal, bulk" in answer.json()["error"]


def test_bulk_cannot_take_the_room_of_what_somebody_waits_for(pools: Gateway) -> None:
    slow = pools.servers["a"]
    slow.seconds = 1.0
    most = MAXIMUM_IN_FLIGHT[PATIENT]

    request = httpx.Request("POST", "http://x", json={"instances": [TEXT]}).read()
    head = (
        f"POST {pools.plane.predict_path} HTTP/1.1\r\nhost: x\r\nx-weir-priority: bulk\r\n"
        f"content-type: application/json\r\ncontent-length: {len(request)}\r\n\r\n"
    )
    with connections(pools, 3 * most) as clients:
        for client in clients:
            client.sendall(head.encode() + request)
        overflows = "cluster.slot-a.upstream_rq_pending_overflow"
        wait_for(lambda: pools.stat(overflows), "refused bulk requests")
        assert pools.post(TEXT).status_code == 200
        answers = [client.recv(65_536).decode() for client in clients]
    refused = [answer for answer in answers if answer.startswith("HTTP/1.1 503")]
    assert refused
    assert all("retry-after: 1" in answer for answer in refused)
    assert sum(answer.startswith("HTTP/1.1 200") for answer in answers) == 3 * most - len(refused)


def test_a_ready_server_that_fails_is_passed_by_and_clients_see_nothing(pools: Gateway) -> None:
    pools.target.set_traffic(Traffic({"stable": "a", "canary": "b"}, {"stable": 0, "canary": 100}))
    failing = pools.servers["b"]
    failing.status = 500
    assert {pools.post(TEXT).json()["server"] for _ in range(100)} == {"a"}
    assert pools.stat("cluster.slot-b.outlier_detection.ejections_enforced_total") >= 1
    assert len(failing.hosts) < 60  # five a second, the interval of health checks


def test_a_server_that_sheds_load_is_neither_passed_by_nor_asked_again(pools: Gateway) -> None:
    pools.target.set_traffic(Traffic({"stable": "a", "canary": "c"}, {"stable": 0, "canary": 100}))
    shedding = pools.servers["c"]
    shedding.status = 503
    shedding.headers = {"retry-after": "1", "x-envoy-ratelimited": "true"}
    assert {pools.post(TEXT).status_code for _ in range(20)} == {503}
    assert len(shedding.hosts) == 20, "asking again would only add to the load"
    assert pools.stat("cluster.slot-c.outlier_detection.ejections_enforced_total") == 0


def test_a_gateway_short_of_memory_turns_requests_away_and_recovers(tmp_path: Path) -> None:
    with gateway(tmp_path, heap_bytes=48 * MIB) as small:
        small.target.set_traffic(Traffic({"stable": "a"}))
        assert small.post(TEXT).status_code == 200
        with half_sent_requests(small, 60):
            refused = wait_for(lambda: answered(small, 503), "shedding", 5)
            assert refused.headers["retry-after"] == "1"
            assert "overloaded" in refused.json()["error"]
            wait_for(lambda: answered(small, 200), "recovery", 10)  # the clients still wait


def answered(gateway: Gateway, status: int) -> httpx.Response | None:
    """The answer, where it has this status; a connection may be refused."""
    try:
        answer = gateway.post(TEXT)
    except httpx.TransportError:
        return None
    return answer if answer.status_code == status else None


@contextmanager
def half_sent_requests(gateway: Gateway, number: int) -> Iterator[None]:
    """Clients that each leave most of a body of one MiB in the gateway's memory."""
    head = (
        f"POST {gateway.plane.predict_path} HTTP/1.1\r\nhost: x\r\n"
        f"content-type: application/json\r\ncontent-length: {MIB}\r\n\r\n"
    )
    with connections(gateway, number) as clients:
        for client in clients:
            client.sendall(head.encode() + b" " * (MIB * 9 // 10))
        yield


@contextmanager
def connections(gateway: Gateway, number: int) -> Iterator[list[socket.socket]]:
    address = ("127.0.0.1", gateway.plane.gateway_port)
    with ExitStack() as stack:
        yield [
            stack.enter_context(socket.create_connection(address, timeout=20))
            for _ in range(number)
        ]
