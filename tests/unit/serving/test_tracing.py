"""Traces over a real OTLP receiver: what a span says, whose trace it joins, what it never says."""

from __future__ import annotations

import importlib.util
import re
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

from data_contracts.config import Observability, load_settings
from data_contracts.errors import ConfigurationError, MissingPart
from serving.tracing import NOT_TRACED, NoTracing, Tracing, open_tracing
from tests import otlp_collector
from tests.otlp_collector import collector

CANARY = "zebra-canary-4711"
CALLER = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
OFF = load_settings({}).observability
ON = OFF.model_copy(update={"traces": True, "trace_share": 1.0})
NEEDED = pytest.mark.skipif(
    importlib.util.find_spec("opentelemetry.exporter") is None,
    reason="opentelemetry-exporter-otlp-proto-http is not installed",
)


@pytest.fixture
def received(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[bytes]]:
    """The bodies that a collector got."""
    with collector() as (endpoint, bodies):
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
        yield bodies


def spans(tracing: Tracing, bodies: list[bytes]) -> dict[str, Any]:
    """What the collector has when the tracing is closed, by name."""
    tracing.close()
    return {span.name: span for span in otlp_collector.spans(bodies)}


def attributes(span: Any) -> dict[str, Any]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in span.attributes}


@NEEDED
def test_a_request_its_queue_and_its_stages_are_one_trace_of_the_callers(
    received: list[bytes],
) -> None:
    tracing = open_tracing(ON, "a")
    now = time.perf_counter()
    trace = tracing.begin("v2", {b"traceparent": CALLER})
    assert trace.recording
    trace.span("queue", now, now + 0.002, priority="normal")
    trace.span("stage", now + 0.002, now + 0.005, stage="image", outcome="slow", events=3)
    (name, onward), *_ = trace.headers
    trace.end(200, arm="canary", priority="normal")
    found = spans(tracing, received)
    request, queue, stage = found["infer v2"], found["queue"], found["stage"]
    assert request.trace_id.hex() == "0af7651916cd43dd8448eb211c80319c"
    assert request.parent_span_id.hex() == "b7ad6b7169203331"
    assert {queue.trace_id, stage.trace_id} == {request.trace_id}
    assert {queue.parent_span_id, stage.parent_span_id} == {request.span_id}
    assert (name, onward.decode().split("-")[2]) == (b"traceparent", request.span_id.hex())
    assert queue.end_time_unix_nano - queue.start_time_unix_nano == pytest.approx(2e6, abs=1e3)
    assert abs(queue.start_time_unix_nano / 1e9 - time.time()) < 60
    assert attributes(stage) == {
        "weir.stage": "image", "weir.outcome": "slow", "weir.events": 3,
    }  # fmt: skip
    assert attributes(request) == {
        "http.request.method": "POST",
        "http.route": "/v2/models/{name}/infer",
        "http.response.status_code": 200,
        "weir.arm": "canary",
        "weir.priority": "normal",
    }


@NEEDED
def test_a_failed_request_is_an_error_and_nothing_a_user_wrote_is_sent(
    received: list[bytes],
) -> None:
    tracing = open_tracing(ON, "a")
    headers = {
        b"tracestate": b"vendor=" + CANARY.encode(),
        b"x-weir-arm": CANARY.encode(),
        b"traceparent": CANARY.encode(),
    }
    trace = tracing.begin("v1", headers)
    trace.span("stage", 0.0, 1.0, reason=f"{CANARY} said: hello!", stage="line\nbreak")
    trace.end(500)
    found = spans(tracing, received)
    assert found["infer v1"].status.code == 2
    assert attributes(found["stage"]) == {
        "weir.reason": "unsayable",
        "weir.stage": "unsayable",
    }
    assert CANARY.encode() not in b"".join(received)


def test_an_attribute_that_is_not_on_the_list_is_a_mistake() -> None:
    pytest.importorskip("opentelemetry.exporter", reason="the OTLP exporter is not installed")
    trace = open_tracing(ON, "a").begin("v2", {})
    with pytest.raises(ValueError, match="account"):
        trace.span("stage", 0.0, 1.0, account=CANARY)  # type: ignore[call-arg]


@NEEDED
def test_what_is_not_sampled_says_so_to_the_next_server(received: list[bytes]) -> None:
    tracing = open_tracing(ON.model_copy(update={"trace_share": 0.0}), "a")
    trace = tracing.begin("v2", {})
    assert not trace.recording
    # the last bit of the flags is "sampled"; Level 2 of the standard uses the one before
    assert re.fullmatch(rb"00-[0-9a-f]{32}-[0-9a-f]{16}-0[02]", trace.headers[0][1])
    followed = tracing.begin("v2", {b"traceparent": CALLER})
    assert followed.recording
    followed.end(200)
    assert list(spans(tracing, received)) == ["infer v2"]


@pytest.mark.parametrize(
    ("settings", "name", "value"),
    [
        (OFF, "OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9"),
        (ON, "OTEL_SDK_DISABLED", "true"),
        (ON, "OTEL_TRACES_EXPORTER", "none"),
    ],
)
def test_it_is_off_unless_it_is_wanted(
    monkeypatch: pytest.MonkeyPatch, settings: Observability, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    tracing = open_tracing(settings, "a")
    assert isinstance(tracing, NoTracing)
    trace = tracing.begin("v2", {b"traceparent": CALLER})
    trace.span("queue", 0.0, 1.0)
    trace.end(200)
    assert trace is NOT_TRACED
    assert (trace.recording, trace.headers) == (False, ())


def test_without_the_exporter_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    exporter = "opentelemetry.exporter.otlp.proto.http.trace_exporter"
    monkeypatch.setitem(sys.modules, exporter, None)
    with pytest.raises(MissingPart, match="install opentelemetry-exporter-otlp-proto-http"):
        open_tracing(ON, "a")


def test_a_protocol_that_is_not_spoken_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    with pytest.raises(ConfigurationError, match="http/protobuf"):
        open_tracing(ON, "a")
