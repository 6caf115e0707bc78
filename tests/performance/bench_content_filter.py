"""What reading a request's content costs the gateway: CPU a request, with the filter and without.

    make bench-content-filter        (or: python -m tests.performance.bench_content_filter)

Four gateways with the same configuration but for one filter stand before one Envoy that answers
at once: none; a Lua filter that only takes the body; the content filter; and `json_to_metadata`,
which parses the body but cannot look into a list or a string (shown as the price of a parser).
Each in turn gets REQUESTS of a body over CONNECTIONS connections that wait for each answer, for
ROUNDS interleaved rounds after one to warm up. CPU is what the gateway's threads ran, user and
system, by the kernel's own nanoseconds; a difference is the median over rounds, with their range.
"""

from __future__ import annotations

import json
import selectors
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from copy import deepcopy
from pathlib import Path
from statistics import median
from typing import Any

import orjson

from data_contracts.config import load_settings
from data_contracts.files import write_atomically
from serving.rollout.gateway import envoy_command, envoy_program
from serving.rollout.targets.base import Traffic
from serving.rollout.targets.envoy_config import EXTENSIONS, DataPlane
from serving.rollout.targets.envoy_listener import CONTENT_FILTER
from serving.rollout.targets.local import LocalTarget
from tests.performance.provenance import commit
from tests.stand_ins.data_plane import wait_for
from tests.stand_ins.ports import free_ports

CONNECTIONS, ROUNDS, REQUESTS, LARGE_REQUESTS = 16, 7, 4000, 300
NOTHING, BODY_ONLY, CONTENT, PARSER = "no filter", "Lua, body only", "content filter", "JSON parser"
GOAL_MICROSECONDS = 25.0  # a twentieth of the 500 us of a verdict at 2,000 a core-second
TAKES_BODY = """
function envoy_on_request(request)
  local buffer = request:body()
  local body = buffer and buffer:getBytes(0, buffer:length())
end
"""
HTTP_FILTERS = f"{EXTENSIONS}.filters.http"


def main() -> int:
    settings = load_settings()
    rows = list(_measured(_bodies()))
    worst = max(row["difference_microseconds"] for row in rows
                if row["filter"] == CONTENT and row["bytes"] < 10_000)  # fmt: skip
    goal = {
        "id": "content-filter-cost",
        "statement": "the content filter costs the gateway at most this on an ordinary event, us",
        "target": GOAL_MICROSECONDS, "measured": worst, "met": worst <= GOAL_MICROSECONDS,
    }  # fmt: skip
    report = {"name": "content-filter", "commit": commit(), "rows": rows, "goals": [goal]}
    path = settings.reports / "bench-content-filter.json"
    write_atomically(path, orjson.dumps(report, option=orjson.OPT_INDENT_2))
    print(_table(rows))
    print(path)
    return 0


def _bodies() -> dict[str, tuple[str, bytes]]:
    """Path and body of each kind of request; sizes as the names say."""
    v1, v2 = "/v1/models/spam:predict", "/v2/models/spam/infer"
    text = "You have won! Claim your prize at http://example.com before midnight. " * 2
    event: dict[str, Any] = {
        "event_id": "5c1f-0001", "text": text, "occurred_at": "2026-01-05T12:00:00Z",
        "account": "account-4711", "context": {"device": "phone", "country": "DE"},
    }  # fmt: skip
    picture = {"kind": "image", "sha256": "ab" * 32, "bytes": "/9j/4AAQSkZJRg" * 4400}
    tensor = {"name": "event", "shape": [1], "datatype": "BYTES", "data": [json.dumps(event)]}
    large = {"instances": [{**event, "text": text * 26}] * 240}
    return {
        "text, V1": (v1, json.dumps({"instances": [event]}).encode()),
        "text, V2": (v2, json.dumps({"inputs": [tensor]}).encode()),
        "image, V1": (v1, json.dumps({"instances": [{**event, "media": [picture]}]}).encode()),
        "240 texts, V1": (v1, json.dumps(large).encode()),
    }


def _measured(bodies: Mapping[str, tuple[str, bytes]]) -> Iterator[dict[str, Any]]:
    with (
        tempfile.TemporaryDirectory(prefix="weir-content-filter-") as folder,
        _gateways(Path(folder)) as gateways,
    ):
        for name, (path, body) in bodies.items():
            request = _request(path, body)
            number = REQUESTS if len(body) < 100_000 else LARGE_REQUESTS
            spent: dict[str, list[float]] = {variant: [] for variant in gateways}
            for turn in range(ROUNDS + 1):
                for variant, gateway in gateways.items():
                    microseconds = gateway.microseconds_a_request(request, number)
                    if turn:
                        spent[variant].append(microseconds)
            print(f"{name}: done", file=sys.stderr, flush=True)
            yield from (_row(name, len(body), variant, spent) for variant in gateways)


def _row(name: str, size: int, variant: str, spent: Mapping[str, list[float]]) -> dict[str, Any]:
    extra = [mine - bare for mine, bare in zip(spent[variant], spent[NOTHING], strict=True)]
    return {
        "body": name, "bytes": size, "filter": variant,
        "microseconds": round(median(spent[variant]), 1),
        "difference_microseconds": round(median(extra), 1),
        "difference_range": [round(min(extra), 1), round(max(extra), 1)],
    }  # fmt: skip


class Gateway:
    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self._process = process
        self.port = port

    def microseconds_a_request(self, request: bytes, number: int) -> float:
        before = self._nanoseconds()
        _load(self.port, request, number)
        return (self._nanoseconds() - before) / number / 1000

    def _nanoseconds(self) -> int:
        tasks = Path(f"/proc/{self._process.pid}/task").glob("*/schedstat")
        return sum(int(task.read_text().split()[0]) for task in tasks)


def _load(port: int, request: bytes, number: int) -> None:
    """Closed loop: every connection sends its next request when it has its answer."""
    left = number
    with ExitStack() as stack:
        selector = stack.enter_context(selectors.DefaultSelector())
        for _ in range(CONNECTIONS):
            client = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
            client.sendall(request)
            left -= 1
            selector.register(client, selectors.EVENT_READ)
        waiting = CONNECTIONS
        while waiting:
            for key, _ in selector.select():
                client = key.fileobj  # type: ignore[assignment]
                answer = client.recv(65_536)
                if not answer.startswith(b"HTTP/1.1 200"):
                    raise AssertionError(f"the gateway answered {answer[:40]!r}")
                if left:
                    client.sendall(request)
                    left -= 1
                else:
                    waiting -= 1


def _request(path: str, body: bytes) -> bytes:
    head = (
        f"POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
        f"content-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


@contextmanager
def _gateways(folder: Path) -> Iterator[dict[str, Gateway]]:
    with ExitStack() as stack:
        answering = free_ports(1)
        stack.enter_context(_envoy(_answers_at_once(answering), folder / "upstream", answering))
        made = {}
        for variant in (NOTHING, BODY_ONLY, CONTENT, PARSER):
            home = folder / variant.replace(" ", "-")
            port = free_ports(2)
            bootstrap = _bootstrap(variant, home, port, answering)
            made[variant] = stack.enter_context(_envoy(bootstrap, home, port))
        yield made


def _bootstrap(variant: str, home: Path, port: int, upstream: int) -> dict[str, Any]:
    """The gateway's own configuration, its one champion being `upstream`; with another filter."""
    plane = DataPlane(
        host="127.0.0.1", gateway_port=port, admin_port=port + 1,
        slots=dict.fromkeys("abc", upstream), folder=home / "envoy",
        access_log=home / "logs" / "access.jsonl", maximum_body_bytes=2**21, model_name="spam",
    )  # fmt: skip
    target = LocalTarget(plane, home)
    target.set_traffic(Traffic({"stable": "a"}))
    made: dict[str, Any] = orjson.loads(target.write_gateway_files().read_bytes())
    (chain,) = made["static_resources"]["listeners"][0]["filter_chains"]
    manager = chain["filters"][0]["typed_config"]
    manager["http_filters"] = [
        replaced
        for one in manager["http_filters"]
        for replaced in (_instead(variant, one) if one["name"] == CONTENT_FILTER else [one])
    ]
    if variant in (NOTHING, PARSER):  # the routes' settings for a filter that is not there
        found = orjson.loads(plane.routes_file.read_bytes())
        del found["resources"][0]["virtual_hosts"][0]["typed_per_filter_config"]
        plane.routes_file.write_bytes(orjson.dumps(found))
    return made


def _instead(variant: str, content: dict[str, Any]) -> list[dict[str, Any]]:
    if variant == NOTHING:
        return []
    other = deepcopy(content)
    if variant == BODY_ONLY:
        other["typed_config"]["default_source_code"] = {"inline_string": TAKES_BODY}
    elif variant == PARSER:
        found = {"metadata_namespace": "weir", "key": "instances", "value": "true"}
        rule = {"selectors": [{"key": "instances"}], "on_present": found, "on_missing": found}
        other = {
            "name": "envoy.filters.http.json_to_metadata",
            "typed_config": {
                "@type": f"{HTTP_FILTERS}.json_to_metadata.v3.JsonToMetadata",
                "request_rules": {"rules": [rule]},
            },
        }
    return [other]


def _answers_at_once(port: int) -> dict[str, Any]:
    body = {"inline_string": '{"predictions": []}'}
    route = {"match": {"prefix": "/"}, "direct_response": {"status": 200, "body": body}}
    manager = {
        "@type": f"{EXTENSIONS}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "upstream",
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
        "http_filters": [
            {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": f"{HTTP_FILTERS}.router.v3.Router"},
            }
        ],
    }
    filters = [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]
    address = {"socket_address": {"address": "127.0.0.1", "port_value": port}}
    listener = {"name": "all", "address": address, "filter_chains": [{"filters": filters}]}
    return {"static_resources": {"listeners": [listener]}}


@contextmanager
def _envoy(bootstrap: dict[str, Any], home: Path, port: int) -> Iterator[Gateway]:
    home.mkdir(parents=True, exist_ok=True)
    file = home / "bootstrap.json"
    file.write_bytes(orjson.dumps(bootstrap))
    with (home / "envoy.log").open("wb") as log:
        process = subprocess.Popen(envoy_command(envoy_program(), file), stdout=log, stderr=log)
    try:
        wait_for(lambda: _listens(port), f"envoy; see its log: {home / 'envoy.log'}", 20)
        yield Gateway(process, port)
    finally:
        process.terminate()
        process.wait()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _table(rows: list[dict[str, Any]]) -> str:
    head = f"{'body':16}{'bytes':>9}  {'filter':16}{'us CPU':>9}{'more':>9}  range of rounds"
    lines = [
        f"{row['body']:16}{row['bytes']:>9}  {row['filter']:16}{row['microseconds']:>9}"
        f"{row['difference_microseconds']:>9}  {row['difference_range']}"
        for row in rows
    ]
    return "\n".join([head, *lines])


if __name__ == "__main__":
    sys.exit(main())
