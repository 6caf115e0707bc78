"""The scorer over the gateway, against a small real HTTP server on loopback."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import orjson
import pytest

from data_contracts.config import Serving, load_settings
from data_contracts.errors import BadInput, ServiceUnavailable
from data_contracts.events import Event
from data_contracts.verdicts import Stage, Verdict
from pipelines.scoring import GatewayScorer


class Gateway(BaseHTTPRequestHandler):
    """Answers V1 predict, or what the test sets on the server."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        instances = orjson.loads(body)["instances"]
        self.server.seen.append((self.path, self.headers, instances, len(body)))
        status, content = self.server.answer or (200, predictions(instances))
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def verdict(event_id: str) -> Verdict:
    stages = (Stage("prefilter", True, 0.25),)
    return Verdict(event_id, 0.25, "allow", ("short_text",), stages, "3", "t1")


def predictions(instances: list[dict[str, object]]) -> bytes:
    verdicts = [verdict(str(one["event_id"])) for one in instances]
    return orjson.dumps({"predictions": [{"score": v.score, "verdict": v} for v in verdicts]})


@pytest.fixture
def gateway() -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Gateway)
    server.seen, server.answer = [], None
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def serving(port: int, **changes: int) -> Serving:
    return load_settings({}).serving.model_copy(update={"gateway_port": port} | changes)


def events(n: int, text: str = "hi") -> list[Event]:
    return [Event(event_id=f"e{i}", text=text) for i in range(n)]


def test_verdicts_come_back_whole_and_in_order(gateway: ThreadingHTTPServer) -> None:
    with GatewayScorer(serving(gateway.server_port)) as scorer:
        assert scorer.score(events(3)) == [verdict("e0"), verdict("e1"), verdict("e2")]
        assert scorer.score([]) == []
    ((path, headers, instances, _),) = gateway.seen
    assert path == "/v1/models/spam:predict"
    assert headers["X-Weir-Priority"] == "bulk"
    assert instances[0] == {"event_id": "e0", "text": "hi"}


def test_batches_keep_to_the_bounds_in_events_and_in_bytes(gateway: ThreadingHTTPServer) -> None:
    limits = serving(gateway.server_port, maximum_batch=4, maximum_body_bytes=400)
    with GatewayScorer(limits) as scorer:
        scorer.score(events(10))
        scorer.score(events(5, text="x" * 150))
    assert [len(instances) for _, _, instances, _ in gateway.seen] == [4, 4, 2, 2, 2, 1]
    assert all(size <= 400 for _, _, _, size in gateway.seen)


def test_no_gateway_is_said_with_address_and_remedy() -> None:
    with (
        GatewayScorer(serving(1)) as scorer,
        pytest.raises(ServiceUnavailable, match=r"127.0.0.1:1/.* does not answer .*make up"),
    ):
        scorer.score(events(1))


@pytest.mark.parametrize("status", [404, 429, 500, 503])
def test_a_gateway_without_a_ready_model_is_unavailable(
    gateway: ThreadingHTTPServer, status: int
) -> None:
    gateway.answer = (status, b"no healthy upstream")
    with (
        GatewayScorer(serving(gateway.server_port)) as scorer,
        pytest.raises(ServiceUnavailable, match=f"answered {status}: no healthy upstream"),
    ):
        scorer.score(events(1))


def test_a_refused_event_is_bad_input(gateway: ThreadingHTTPServer) -> None:
    gateway.answer = (400, b'{"error": "instances[0].language"}')
    with (
        GatewayScorer(serving(gateway.server_port)) as scorer,
        pytest.raises(BadInput, match="answered 400"),
    ):
        scorer.score(events(1))


@pytest.mark.parametrize(
    "answer",
    [b"<html>", b"{}", b"[]", b'{"predictions": []}', b'{"predictions": [{"verdict": 1}]}'],
)
def test_another_program_on_the_port_is_noticed(
    gateway: ThreadingHTTPServer, answer: bytes
) -> None:
    gateway.answer = (200, answer)
    with (
        GatewayScorer(serving(gateway.server_port)) as scorer,
        pytest.raises(ServiceUnavailable, match="another program"),
    ):
        scorer.score(events(1))


def test_verdicts_for_other_events_are_noticed(gateway: ThreadingHTTPServer) -> None:
    gateway.answer = (200, predictions([{"event_id": "other"}]))
    with (
        GatewayScorer(serving(gateway.server_port)) as scorer,
        pytest.raises(ServiceUnavailable, match="out of order"),
    ):
        scorer.score(events(1))
