"""A real server seen from outside: its log, its traces, and its metrics in a real Prometheus."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from data_contracts.config import PROJECT
from serving.worker_metrics import environment, prepare
from tests.otlp_collector import collector, span_names
from tests.prometheus_names import ALERTS, rules
from tests.promtool import NEEDED, promtool
from tests.stand_ins.ports import free_port

pytestmark = pytest.mark.services
CANARY = "zebra-canary-4711"
V1, V2 = "/v1/models/spam:predict", "/v2/models/spam/infer"
GOOD = {"instances": [{"event_id": "e1", "text": "Hello"}]}


@contextmanager
def server(folder: Path, **variables: str) -> Iterator[tuple[str, Path]]:
    """Its address and the file of its stderr; stopped by SIGTERM."""
    log = folder / "server.log"
    environment = {**os.environ, "WEIR_HOME": str(folder / "home"), **variables}
    with log.open("w") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.stand_ins.capital_letters", "0", "stable"],
            cwd=PROJECT, env=environment, stderr=stderr, stdout=subprocess.PIPE,
        )  # fmt: skip
    try:
        found = waited(lambda: re.search(r"http://127\.0\.0\.1:\d+", log.read_text()))
        yield found[0], log
        process.terminate()
        process.communicate(timeout=20)
    finally:
        process.kill()
        process.communicate()


def waited(look: Callable[[], Any], seconds: float = 60.0) -> Any:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(0.1)
    raise AssertionError(f"not within {seconds:g} seconds")


def tensor(data: object) -> dict[str, Any]:
    return {"inputs": [{"name": "event", "shape": [1], "datatype": "BYTES", "data": data}]}


def event(**fields: object) -> dict[str, Any]:
    return {"instances": [{"event_id": "e", "text": "hi", **fields}]}


Request = tuple[str, str, Mapping[str, str], Any]
MISTAKES: dict[str, Request] = {
    "a model that fails": ("POST", V1, {}, event(text=f"broken {CANARY}")),
    "a text that is decided": ("POST", V2, {}, tensor([f'{{"id": "e", "text": "{CANARY}"}}'])),
    "malformed JSON": ("POST", V1, {}, f'{{"{CANARY}'.encode()),
    "malformed JSON in V2": ("POST", V2, {}, f'{{"inputs": "{CANARY}'.encode()),
    "JSON in a tensor that is none": ("POST", V2, {}, tensor([CANARY])),
    "bytes that are no text": ("POST", V1, {}, b'{"instances": ["\xff' + CANARY.encode()),
    "a field that is not known": ("POST", V1, {}, event(**{CANARY: CANARY})),
    "an id with a line break": ("POST", V1, {}, event(event_id=f"{CANARY}\n")),
    "an id as text": ("POST", V1, {}, event(event_id=CANARY)),
    "an account": ("POST", V1, {}, event(account=CANARY)),
    "a time that is none": ("POST", V1, {}, event(occurred_at=CANARY)),
    "media that are none": ("POST", V1, {}, event(media=[{"kind": CANARY}])),
    "a model that is not here": ("POST", f"/v1/models/{CANARY}:predict", {}, GOOD),
    "a version that is not here": ("POST", f"/v2/models/spam/versions/{CANARY}/infer", {}, {}),
    "a request id": ("POST", V2, {"x-request-id": CANARY}, {"id": CANARY} | tensor([CANARY])),
    "an arm that is none": ("POST", V1, {"x-weir-arm": CANARY}, GOOD),
    "a priority that is none": ("POST", V1, {"x-weir-priority": CANARY}, GOOD),
    "a type that is not taken": ("POST", V1, {"content-type": CANARY}, GOOD),
    "a traceparent that is none": ("POST", V1, {"traceparent": CANARY}, GOOD),
    "a method that is not taken": ("PUT", f"{V1}?{CANARY}", {}, GOOD),
    "a body that is too long": ("POST", V1, {}, CANARY.encode() * 100_000),
    "a path of nobody": ("GET", f"/{CANARY}?{CANARY}", {}, None),
    "KServe, metadata": ("GET", f"/v2/models/{CANARY}", {}, None),
    "KServe, explanation": ("POST", "/v1/models/spam:explain", {}, event(text=CANARY)),
    "KServe, explanation of nothing": ("POST", "/v1/models/spam:explain", {}, CANARY.encode()),
    "KServe, load": ("POST", f"/v2/repository/models/{CANARY}/load", {}, {CANARY: CANARY}),
    "KServe, unload": ("POST", f"/v2/repository/models/{CANARY}/unload", {}, None),
}


def test_no_mistake_brings_a_users_words_into_the_log(tmp_path: Path) -> None:
    with server(tmp_path, WEIR__OBSERVABILITY__LOG_FORMAT="json", WEIR_ACCOUNT_KEY="k") as found:
        address, log = found
        with httpx.Client(base_url=address, timeout=20) as client:
            statuses = {what: sent(client, *request) for what, request in MISTAKES.items()}
        raw(address, f"{CANARY} / HTTP/9\r\n{CANARY}: {CANARY}\r\n\r\n".encode())
        raw(
            address, f"POST {V1} HTTP/1.1\r\nHost: a\r\nContent-Length: 99\r\n\r\n{CANARY}".encode()
        )
    assert statuses["a model that fails"] == 500
    assert len({status for status in statuses.values() if status >= 400}) >= 6
    said = [json.loads(line) for line in log.read_text().splitlines()]  # every line is JSON
    assert {"a request failed"} <= {line["message"] for line in said}
    (failed,) = [line for line in said if line["message"] == "a request failed"]
    assert failed["error"] == "RuntimeError"
    assert failed["places"][-1].endswith(" _assess")
    assert CANARY not in log.read_text()


def sent(client: httpx.Client, method: str, path: str, headers: Any, body: Any) -> int:
    content = body if isinstance(body, bytes | None) else json.dumps(body).encode()
    given = {"content-type": "application/json", **headers}
    return client.request(method, path, headers=given, content=content).status_code


def raw(address: str, content: bytes) -> None:
    host, _, port = address.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=5) as connection:
        connection.sendall(content)
        connection.shutdown(socket.SHUT_WR)
        connection.recv(4096)


def test_a_traced_server_sends_its_spans_before_it_ends(tmp_path: Path) -> None:
    pytest.importorskip("opentelemetry.exporter", reason="the OTLP exporter is not installed")
    with collector() as (endpoint, bodies):
        variables = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
            "WEIR__OBSERVABILITY__TRACES": "true",
            "WEIR__OBSERVABILITY__TRACE_SHARE": "1.0",
        }
        with server(tmp_path, **variables) as (address, _):
            assert httpx.post(address + V1, json=event(text=CANARY)).status_code == 200
        assert "infer v1" in span_names(bodies)
        assert CANARY.encode() not in b"".join(bodies)


def test_a_scrape_of_one_model_server_shows_its_fellow_workers(tmp_path: Path) -> None:
    folder = tmp_path / "metrics"
    prepare(folder)
    for number in range(2):
        (tmp_path / str(number)).mkdir()
    with (
        server(tmp_path / "0", **environment(folder, 0)) as (first, _),
        server(tmp_path / "1", **environment(folder, 1)) as (second, _),
    ):
        for address, times in ((first, 2), (second, 3)):
            for _ in range(times):
                assert httpx.post(address + V1, json=GOOD).status_code == 200
        labels = 'arm="stable",class="normal",protocol="v1",status="200"'
        counted = f"weir_requests_total{{{labels}}} 5.0"
        waited(lambda: counted in httpx.get(first + "/metrics").text, seconds=5)
        shown = httpx.get(first + "/metrics").text
        assert "weir_workers 2.0" in shown
        assert 'weir_worker_open_descriptors{pid="1"}' in shown
        assert counted in httpx.get(second + "/metrics").text


@NEEDED
def test_a_real_prometheus_scrapes_evaluates_and_alerts(tmp_path: Path) -> None:
    with server(tmp_path) as (address, _):
        exposed = httpx.get(address + "/metrics").text
        (tmp_path / "exposed.txt").write_text(exposed)
        with prometheus(tmp_path, address.removeprefix("http://")) as asked:
            for number in range(40):
                text = "broken" if number % 2 else "HELLO there"
                httpx.post(address + V1, json=event(text=text), headers={"x-weir-arm": "canary"})
                time.sleep(0.1)
            counted = 'sum(weir_requests_total{arm="canary", status="500"})'
            waited(lambda: value(asked("query", query=counted)) == 20)
            ratio = value(asked("query", query="weir:unavailable:ratio_rate5m"))
            assert 0.3 < ratio < 0.7
            groups = asked("rules")["groups"]
            evaluated = [rule for group in groups for rule in group["rules"]]
            assert len(evaluated) == len(rules())
            assert {rule["health"] for rule in evaluated} == {"ok"}
            states = {rule["name"]: rule.get("state") for rule in evaluated}
            assert states["WeirCanaryErrors"] == "pending"
            assert states["WeirServerDown"] == "inactive"
            empty = [name for name in DRAWN if not asked("query", query=DRAWN[name])["result"]]
            assert empty == []


DRAWN = {
    panel["title"]: panel["targets"][0]["expr"]
    .replace("$__rate_interval", "10s")
    .replace("$instance", ".*")
    for panel in json.loads((PROJECT / "infra/dashboards/weir-serving.json").read_text())["panels"]
    if panel["title"] not in ("Deadlines", "Within 80 ms", "Failures by arm")
}


@contextmanager
def prometheus(folder: Path, target: str) -> Iterator[Callable[..., Any]]:
    """A Prometheus on a free port of loopback; yields how to ask its API."""
    port = free_port()
    configuration = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(path) for path in sorted(faster(folder))],
        "scrape_configs": [{"job_name": "weir", "static_configs": [{"targets": [target]}]}],
    }
    (folder / "prometheus.yaml").write_text(yaml.safe_dump(configuration))
    promtool("check", "config", str(folder / "prometheus.yaml"))
    with (folder / "prometheus.log").open("w") as log:
        process = subprocess.Popen(
            ["prometheus", f"--config.file={folder / 'prometheus.yaml'}",
             f"--storage.tsdb.path={folder / 'tsdb'}", f"--web.listen-address=127.0.0.1:{port}"],
            stdout=log, stderr=log,
        )  # fmt: skip

    def asked(what: str, **parameters: str) -> Any:
        answer = httpx.get(f"http://127.0.0.1:{port}/api/v1/{what}", params=parameters)
        assert answer.status_code == 200, answer.text
        return answer.json()["data"]

    def is_scraped() -> bool:
        try:
            if httpx.get(f"http://127.0.0.1:{port}/-/ready").status_code != httpx.codes.OK:
                return False  # it answers before its storage is there
            return value(asked("query", query='up{job="weir"}')) == 1
        except httpx.ConnectError:
            assert process.poll() is None, (folder / "prometheus.log").read_text()
            return False

    try:
        waited(is_scraped)
        yield asked
    finally:
        process.terminate()
        process.wait(timeout=20)


def faster(folder: Path) -> Iterator[Path]:
    """The rules as they are, but evaluated every second."""
    for path in ALERTS.glob("*.yaml"):
        content = yaml.safe_load(path.read_text())
        for group in content["groups"]:
            group["interval"] = "1s"
        (folder / path.name).write_text(yaml.safe_dump(content))
        yield folder / path.name


def value(data: Any) -> float | None:
    """Of a query with one answer; None where there is none yet."""
    return float(data["result"][0]["value"][1]) if data["result"] else None
