"""A real model server process: what it answers, what it refuses, and how it stops."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from serving.decision_records import read_records
from serving.replay import replay
from tests.stand_ins.capital_letters import CapitalLetters

pytestmark = pytest.mark.services
PROJECT = Path(__file__).resolve().parents[2]
V1 = "/v1/models/spam:predict"
V2 = "/v2/models/spam/infer"
SECRET = "my secret words"


@dataclass
class Server:
    process: subprocess.Popen[str]
    url: str
    home: Path
    log: Path

    def records(self) -> list[Any]:
        return [one for path in self.home.glob("decisions/*.jsonl") for one in read_records(path)]


@contextmanager
def running_server(folder: Path, slot: str = "stable") -> Iterator[Server]:
    home, log = folder / "home", folder / "server.log"
    environment = {**os.environ, "WEIR_HOME": str(home), "WEIR_ACCOUNT_KEY": "key", "VERSION": "7"}
    command = [sys.executable, "-m", "tests.stand_ins.capital_letters", "0", slot]
    with log.open("w") as stderr:
        process = subprocess.Popen(
            command, cwd=PROJECT, env=environment, stderr=stderr, stdout=subprocess.PIPE, text=True
        )
    try:
        yield Server(process, wait_for_address(process, log), home, log)
    finally:
        process.kill()
        process.communicate()


def wait_for_address(process: subprocess.Popen[str], log: Path) -> str:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        if found := re.search(r"http://127\.0\.0\.1:\d+", log.read_text()):
            return found[0]
        time.sleep(0.05)
    raise AssertionError(f"no server:\n{log.read_text()}")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("server")) as started:
        yield started


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=20) as connected:
        yield connected


def event(number: int = 1, text: str = "Hello YOU") -> dict[str, Any]:
    return {"event_id": f"e{number}", "text": text}


def tensor(*events: object, **changes: object) -> dict[str, Any]:
    data = [json.dumps(one) for one in events]
    return {"name": "event", "shape": [len(data)], "datatype": "BYTES", "data": data, **changes}


def test_v1_answers_with_score_action_and_the_whole_verdict(client: httpx.Client) -> None:
    answer = client.post(V1, json={"instances": [event(text="ALL caps")]})
    assert answer.status_code == 200
    (prediction,) = answer.json()["predictions"]
    assert prediction == {
        "event_id": "e1",
        "score": 0.375,
        "action": "allow",
        "verdict": {
            "event_id": "e1",
            "score": 0.375,
            "action": "allow",
            "reasons": [],
            "stages": [{"name": "capitals", "ran": True, "score": 0.375, "skipped_because": None}],
            "model_version": "7",
            "threshold_version": "thresholds-1",
            "arm": "stable",
            "revision": 0,
        },
    }


def test_v2_gives_the_same_verdicts_as_v1(client: httpx.Client) -> None:
    events = [event(n, "A" * n + "b" * 5) for n in range(1, 6)]
    first = client.post(V1, json={"instances": events}).json()["predictions"]
    second = client.post(V2, json={"id": "r1", "inputs": [tensor(*events)]}).json()
    outputs = {one["name"]: one for one in second["outputs"]}
    assert (second["model_name"], second["model_version"], second["id"]) == ("spam", "7", "r1")
    assert [outputs[name]["datatype"] for name in ("score", "action", "verdict")] == [
        "FP64",
        "BYTES",
        "BYTES",
    ]
    assert all(one["shape"] == [5] for one in outputs.values())
    assert outputs["score"]["data"] == [one["score"] for one in first]
    assert outputs["action"]["data"] == [one["action"] for one in first]
    assert [json.loads(one) for one in outputs["verdict"]["data"]] == [
        one["verdict"] for one in first
    ]


def test_a_v2_request_without_an_id_gets_one_and_only_the_outputs_it_asks_for(
    client: httpx.Client,
) -> None:
    body = {"inputs": [tensor(event())], "outputs": [{"name": "action"}]}
    answer = client.post("/v2/models/spam/versions/7/infer", json=body)
    assert answer.status_code == 200
    assert answer.json()["id"]
    assert [one["name"] for one in answer.json()["outputs"]] == ["action"]


@pytest.mark.parametrize(
    ("headers", "arm", "mirrored"),
    [
        ({}, "stable", False),
        ({"x-weir-arm": "canary"}, "canary", False),
        ({"x-weir-arm": "baseline"}, "baseline", False),
        ({"host": "weir.example-shadow", "x-weir-arm": "canary"}, "shadow", True),
        ({"host": "127.0.0.1-shadow:8600"}, "shadow", True),
    ],
)
def test_the_arm_comes_from_what_envoy_sends_and_is_recorded(
    server: Server, client: httpx.Client, headers: dict[str, str], arm: str, mirrored: bool
) -> None:
    name = f"arm-{arm}-{len(headers)}-{headers.get('host', '')}"
    body = {"instances": [{"event_id": name, "text": "hi", "account": "zoë"}]}
    answer = client.post(V1, json=body, headers=headers)
    assert answer.headers["x-weir-arm"] == arm
    assert answer.headers["x-weir-model-version"] == "7"
    time.sleep(0.3)
    (record,) = [one for one in server.records() if one.verdict.event_id == name]
    assert (record.verdict.arm, record.mirrored) == (arm, mirrored)
    assert re.fullmatch("[0-9a-f]{64}", record.event["account"])
    assert replay([record], CapitalLetters()) == [record.verdict]


JSON = {"content-type": "application/json"}
ATTEMPTS_ON_A_BUSY_MACHINE = 5
GOOD = {"instances": [event()]}
REFUSED = {
    "malformed JSON": (V1, b'{"instances": [' + SECRET.encode(), JSON, 400, "not JSON"),
    "malformed JSON in V2": (V2, b"{", JSON, 400, "not JSON"),
    "an empty body": (V1, b"", JSON, 400, "not JSON"),
    "a list": (V1, b"[]", JSON, 400, "a list, not an object"),
    "a string": (V1, b'"x"', JSON, 400, "a string, not an object"),
    "no instances": (V1, {"instance": []}, JSON, 400, "instances is missing"),
    "instances as an object": (V1, {"instances": event()}, JSON, 400, "an object, not a list"),
    "no events": (V1, {"instances": []}, JSON, 400, "empty; send 1 to 256"),
    "instances of strings": (V1, {"instances": [SECRET]}, JSON, 400, "instances[0] is a string"),
    "no text": (V1, {"instances": [{"event_id": "e"}]}, JSON, 400, "instances[0]: text = None"),
    "a text that is a list": (
        V1,
        {"instances": [event(), {"event_id": "e", "text": [SECRET]}]},
        JSON,
        400,
        "instances[1]: text = 'list of 1'",
    ),
    "an unknown field": (
        V1,
        {"instances": [{**event(), "label": SECRET}]},
        JSON,
        400,
        "instances[0]: label = '15 characters': is not a field",
    ),
    "too long a text": (V1, {"instances": [event(1, SECRET * 9000)]}, JSON, 400, "text = '135000"),
    "too long a context": (
        V1,
        {"instances": [{**event(), "context": {"subject": SECRET * 99}}]},
        JSON,
        400,
        "longer than 1024",
    ),
    "a time out of range": (
        V1,
        {"instances": [{**event(), "time": "0001-01-01T00:00:00+14:00"}]},
        JSON,
        400,
        "years 1 to 9999",
    ),
    "a form": (V1, GOOD, {"content-type": "application/x-www-form-urlencoded"}, 415, "send JSON"),
    "gzip": (V1, GOOD, {**JSON, "content-encoding": "gzip"}, 415, "plain JSON"),
    "binary V2": (V2, GOOD, {**JSON, "inference-header-content-length": "9"}, 415, "plain JSON"),
    "257 events": (V1, {"instances": [event()] * 257}, JSON, 413, "serving.maximum_batch"),
    "257 events in V2": (V2, {"inputs": [tensor(*[event()] * 257)]}, JSON, 413, "at most 256"),
    "an unknown model": ("/v1/models/ham:predict", GOOD, JSON, 404, "'ham' is not served"),
    "an unknown model in V2": ("/v2/models/ham/infer", GOOD, JSON, 404, "ask for 'spam'"),
    "an unknown version": ("/v2/models/spam/versions/8/infer", GOOD, JSON, 404, "ask for '7'"),
    "an unknown arm": (V1, GOOD, {**JSON, "x-weir-arm": "green"}, 400, "x-weir-arm is 'green'"),
    "no tensor": (V2, {"inputs": []}, JSON, 400, "a list of one tensor"),
    "two tensors": (V2, {"inputs": [tensor(event())] * 2}, JSON, 400, "a list of one tensor"),
    "a wrong tensor": (V2, {"inputs": [tensor(event(), name="x")]}, JSON, 400, "send 'event'"),
    "a wrong datatype": (
        V2,
        {"inputs": [tensor(event(), datatype="FP32")]},
        JSON,
        400,
        "inputs[0].datatype = 'FP32'",
    ),
    "a wrong shape": (V2, {"inputs": [tensor(event(), shape=[2])]}, JSON, 400, "send [1]"),
    "a shape of true": (V2, {"inputs": [tensor(event(), shape=[True])]}, JSON, 400, "send [1]"),
    "no shape": (V2, {"inputs": [tensor(event(), shape=None)]}, JSON, 400, "send [1]"),
    "no data": (V2, {"inputs": [tensor(data=None)]}, JSON, 400, "data is missing"),
    "an event that is no string": (
        V2,
        {"inputs": [tensor(event(), data=[event(1, SECRET)])]},
        JSON,
        400,
        "inputs[0].data[0] is an object",
    ),
    "an event that is no JSON": (
        V2,
        {"inputs": [tensor(event(), data=[SECRET])]},
        JSON,
        400,
        "inputs[0].data[0]: line = '15 bytes': not JSON",
    ),
    "an id that is a number": (V2, {"id": 5, "inputs": [tensor(event())]}, JSON, 400, "id is a n"),
    "an unknown output": (
        V2,
        {"inputs": [tensor(event())], "outputs": [{"name": "logits"}]},
        JSON,
        400,
        "outputs[0].name",
    ),
    "outputs as a list in a list": (
        V2,
        {"inputs": [tensor(event())], "outputs": [{"name": []}]},
        JSON,
        400,
        "outputs[0].name",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_wrong_request_is_refused_with_its_cause_and_without_its_text(
    client: httpx.Client, case: str
) -> None:
    path, body, headers, status, message = REFUSED[case]
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = client.post(path, content=content, headers=headers)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/json")
    assert message in answer.json()["error"]
    assert SECRET not in answer.text
    assert len(answer.text) < 500


@pytest.mark.parametrize("path", [V1, V2, "/v1/models/spam:explain", "/nowhere"])
@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_of_ten_megabytes_is_refused_on_every_route(
    server: Server, client: httpx.Client, path: str, chunked: bool
) -> None:
    body = b"x" * 10_000_000
    content = iter([body[i : i + 65_536] for i in range(0, len(body), 65_536)])
    answer = client.post(path, content=content if chunked else body, headers=JSON)
    assert answer.status_code == 413
    assert "1048576 bytes (serving.maximum_body_bytes)" in answer.json()["error"]


def test_get_is_not_for_inference_and_the_answer_says_what_is(client: httpx.Client) -> None:
    answer = client.get(V1)
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


def test_a_failing_model_is_a_clear_500_and_no_text_reaches_answer_or_log(
    server: Server, client: httpx.Client
) -> None:
    answer = client.post(V1, json={"instances": [event(1, f"broken {SECRET}")]})
    assert answer.status_code == 500
    assert "the model failed (RuntimeError)" in answer.json()["error"]
    assert "a request failed: RuntimeError" in server.log.read_text()
    assert SECRET not in answer.text + server.log.read_text()
    assert client.post(V1, json=GOOD).status_code == 200


def test_health_readiness_and_metadata_follow_the_open_inference_protocol(
    client: httpx.Client,
) -> None:
    assert client.get("/v2/health/live").json() == {"live": True}
    assert client.get("/v2/health/ready").json() == {"ready": True}
    assert client.get("/v2/models/spam/ready").json() == {"name": "spam", "ready": True}
    assert client.get("/v1/models/spam").json() == {"name": "spam", "ready": True}
    assert client.get("/v2").json()["extensions"] == ["model_repository_extension"]
    metadata = client.get("/v2/models/spam").json()
    assert metadata["inputs"] == [{"name": "event", "datatype": "BYTES", "shape": [-1]}]
    assert [one["name"] for one in metadata["outputs"]] == ["score", "action", "verdict"]
    assert client.get("/v2/models/ham/ready").status_code == 404


def test_a_model_that_is_unloaded_is_not_ready_until_it_is_loaded_again(
    client: httpx.Client,
) -> None:
    assert client.post("/v2/repository/models/spam/unload").status_code == 200
    try:
        assert client.get("/v2/models/spam/ready").status_code == 503
        assert client.post(V1, json=GOOD).status_code == 503
    finally:
        assert client.post("/v2/repository/models/spam/load").status_code == 200
    assert client.post(V1, json=GOOD).status_code == 200


def test_metrics_count_requests_verdicts_and_records(client: httpx.Client) -> None:
    before = client.get("/metrics").text
    client.post(V1, json=GOOD)
    after = client.get("/metrics").text
    name = 'weir_requests_total{arm="stable",class="normal",protocol="v1",status="200"} '
    count = [float(text.partition(name)[2].partition("\n")[0] or 0) for text in (before, after)]
    assert count[1] == count[0] + 1
    assert "weir_decision_records_lost_total" in after
    assert 'weir_verdicts_total{action="allow",arm="stable"}' in after


def test_neighbours_and_concurrency_do_not_change_a_verdict(client: httpx.Client) -> None:
    events = [event(n, "A" * (n % 9) + "b" * 4) for n in range(40)]
    alone = [client.post(V1, json={"instances": [one]}).json()["predictions"][0] for one in events]
    together = client.post(V1, json={"instances": events}).json()["predictions"]
    with ThreadPoolExecutor(8) as threads:
        posts = threads.map(lambda one: client.post(V1, json={"instances": [one]}), events)
        at_once = [one.json()["predictions"][0] for one in posts]
    assert alone == together == at_once


def test_a_long_assessment_does_not_hold_up_the_rest(client: httpx.Client) -> None:
    def is_overtaken() -> bool:
        slow = threads.submit(client.post, V1, json={"instances": [event(1, "slow")]})
        time.sleep(0.1)
        began = time.monotonic()
        assert client.get("/v2/health/live").status_code == 200
        assert client.post(V1, content=b"{", headers=JSON).status_code == 400
        overtaken = not slow.done() and time.monotonic() - began < 0.4
        assert slow.result().status_code == 200
        return overtaken

    with ThreadPoolExecutor(1) as threads:  # where nothing overtakes, no attempt shows it
        assert any(is_overtaken() for _ in range(ATTEMPTS_ON_A_BUSY_MACHINE))


def test_it_listens_on_loopback_only(server: Server) -> None:
    listening = {
        one.laddr.ip
        for one in psutil.net_connections()
        if one.pid == server.process.pid and one.status == psutil.CONN_LISTEN
    }
    assert listening == {"127.0.0.1"}


def test_decision_files_are_for_their_owner_only(server: Server, client: httpx.Client) -> None:
    client.post(V1, json=GOOD)
    files = list(server.home.glob("decisions/*"))
    stem = f"stable-{server.process.pid}"
    assert {path.name for path in files} == {f"{stem}.jsonl", f"{stem}.ledger"}
    assert {oct(path.stat().st_mode)[-3:] for path in files} == {"600"}


def test_a_term_signal_loses_no_request_and_no_record(tmp_path: Path) -> None:
    answered: list[str] = []
    with running_server(tmp_path, "canary") as server:
        threads = [threading.Thread(target=ask_until_refused, args=(server, n, answered))
                   for n in range(4)]  # fmt: skip
        for thread in threads:
            thread.start()
        time.sleep(1)
        server.process.send_signal(signal.SIGTERM)
        began = time.monotonic()
        output, _ = server.process.communicate(timeout=10)
        assert time.monotonic() - began < 5
        for thread in threads:
            thread.join()
        assert server.process.returncode == 0
        assert len(answered) > 20
        recorded = [one.verdict.event_id for one in server.records()]
        assert set(answered) <= set(recorded)
        assert len(recorded) == len(set(recorded)) == output_count(output)
        noise = server.log.read_text().splitlines()
        assert noise == [f"serving: {server.url} serves spam version 7 in slot canary"]


def ask_until_refused(server: Server, worker: int, answered: list[str]) -> None:
    with httpx.Client(base_url=server.url, timeout=10) as client:
        for number in range(100_000):
            name = f"{worker}-{number}"
            try:
                answer = client.post(V1, json={"instances": [{"event_id": name, "text": "Hi"}]})
            except httpx.TransportError:
                return
            assert answer.status_code == 200
            answered.append(name)


def output_count(output: str) -> int:
    found = re.search(r"'decisions': (\d+), 'decisions_lost': 0", output)
    assert found, output
    return int(found[1])


def test_a_busy_port_is_named_before_any_model_is_loaded(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as occupied:
        port = occupied.getsockname()[1]
        ended = command(
            tmp_path, "serve", "--model", "/nowhere", "--port", str(port), "--slot", "a"
        )
    assert ended.returncode == 2
    assert f"port {port} on 127.0.0.1 is in use" in ended.stderr
    assert "WEIR__SERVING__FIRST_SLOT_PORT" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--model", "/nowhere", "--port", "0", "--slot", "a"), "neither a folder nor"),
        (("--model", ".", "--port", "0", "--slot", "../a"), "--slot '../a'"),
        (("--model", ".", "--port", "99999", "--slot", "a"), "--port 99999"),
    ],
)
def test_wrong_arguments_end_with_exit_2_and_the_remedy(
    tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    ended = command(tmp_path, "serve", *arguments)
    assert ended.returncode == 2
    assert message in ended.stderr
    assert "Traceback" not in ended.stderr


def command(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "serving", *arguments],
        cwd=PROJECT,
        env={**os.environ, "WEIR_HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
