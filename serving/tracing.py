"""Where the time of a request went, as OpenTelemetry spans; the one door to OpenTelemetry.

Off unless `observability.traces` says otherwise. Then spans go to the OTLP endpoint of the standard
variables (`OTEL_EXPORTER_OTLP_ENDPOINT`, `OTEL_TRACES_SAMPLER`, `OTEL_SERVICE_NAME`, …), over HTTP.
Attributes are codes of a known list: no text, no account, no id of an event. A `traceparent` is
taken up and handed on (W3C Trace Context); a `tracestate` is not, for a client may write anything
into it. Spans are made after the fact from times that are measured anyway, by any thread.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol, TypedDict, Unpack

from data_contracts.config import Observability
from data_contracts.errors import ConfigurationError, MissingPart

if TYPE_CHECKING:
    from opentelemetry.trace import Span, Tracer

HTTP_PROTOCOLS = ("http/protobuf", "")
_CODE = re.compile(r"[A-Za-z0-9_.:+-][A-Za-z0-9_.:+ -]{0,63}")
_ROUTES = {"v1": "/v1/models/{name}:predict", "v2": "/v2/models/{name}/infer",
           "grpc": "/inference.GRPCInferenceService/ModelInfer"}  # fmt: skip
_SERVER_ERRORS = 500


class Attributes(TypedDict, total=False):
    """All that a span may say."""

    priority: str
    arm: str
    content: str
    stage: str
    outcome: str
    reason: str
    model_version: str
    events: int
    budget_milliseconds: float


class Trace(Protocol):
    """One request. `recording` is False where nothing will come of it: then measure nothing."""

    @property
    def recording(self) -> bool: ...

    @property
    def headers(self) -> tuple[tuple[bytes, bytes], ...]:
        """What a request to another server carries, so that its spans belong to this trace."""
        ...

    def span(self, name: str, began: float, ended: float, **attributes: Unpack[Attributes]) -> None:
        """Something that is over (`queue`, `batch`, `stage text`); times of `perf_counter`."""
        ...

    def end(self, status: int, **attributes: Unpack[Attributes]) -> None:
        """The request was answered with this HTTP status."""
        ...


class Tracing(Protocol):
    """Begins the trace of each request; `close` sends what waits."""

    def begin(self, protocol: str, headers: Mapping[bytes, bytes], /) -> Trace: ...

    def close(self) -> None: ...


def open_tracing(settings: Observability, slot: str) -> Tracing:
    """MissingPart where traces are on and their packages are not installed."""
    switched_off = os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true"
    if not settings.traces or switched_off or os.environ.get("OTEL_TRACES_EXPORTER") == "none":
        return NoTracing()
    return OpenTelemetryTracing(settings.trace_share, slot)


class NotTraced:
    """Takes everything and keeps nothing."""

    recording = False
    headers: tuple[tuple[bytes, bytes], ...] = ()

    def span(
        self, name: str, began: float, ended: float, **attributes: Unpack[Attributes]
    ) -> None: ...

    def end(self, status: int, **attributes: Unpack[Attributes]) -> None: ...


NOT_TRACED = NotTraced()


class NoTracing:
    """Tracing that is off."""

    def begin(self, _protocol: str, _headers: Mapping[bytes, bytes], /) -> Trace:
        return NOT_TRACED

    def close(self) -> None: ...


class OpenTelemetryTracing:
    """Tracing by the SDK. `share` of the requests is traced where `OTEL_TRACES_SAMPLER` is unset;
    a caller that traces its request is followed.
    """

    def __init__(self, share: float, slot: str):
        protocol = os.environ.get("OTEL_EXPORTER_OTLP_PROTOCOL", "")
        if protocol not in HTTP_PROTOCOLS:
            raise ConfigurationError(
                f"OTEL_EXPORTER_OTLP_PROTOCOL={protocol}: spans are sent by http/protobuf only; "
                "unset it, and name the collector's HTTP port (4318)"
            )
        try:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.resources import Resource
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor
            from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
            from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
        except ImportError as error:
            raise MissingPart(
                f"observability.traces is on, but {error.name} is not installed; install "
                "opentelemetry-exporter-otlp-proto-http, or set WEIR__OBSERVABILITY__TRACES=false"
            ) from None
        named = "OTEL_SERVICE_NAME" in os.environ
        resource = Resource.create(
            {"service.instance.id": slot} | ({} if named else {"service.name": "weir-serving"})
        )
        by_variable = "OTEL_TRACES_SAMPLER" in os.environ
        self._provider = TracerProvider(
            sampler=None if by_variable else ParentBased(TraceIdRatioBased(share)),
            resource=resource,
            shutdown_on_exit=False,
        )
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("weir.serving")
        self._context = TraceContextTextMapPropagator()

    def begin(self, protocol: str, headers: Mapping[bytes, bytes], /) -> Trace:
        from opentelemetry.trace import SpanKind

        caller = headers.get(b"traceparent", b"").decode("ascii", "replace")
        span = self._tracer.start_span(
            f"infer {protocol}",
            self._context.extract({"traceparent": caller}),
            SpanKind.SERVER,
            {"http.request.method": "POST", "http.route": _ROUTES.get(protocol, "")},
        )
        return _Traced(self._tracer, span) if span.is_recording() else _passed_on(span)

    def close(self) -> None:
        self._provider.shutdown()


class _Traced:
    recording = True

    def __init__(self, tracer: Tracer, span: Span):
        from opentelemetry.trace import set_span_in_context

        self._tracer, self._span = tracer, span
        self._context = set_span_in_context(span)
        self._epoch = time.time() - time.perf_counter()

    @property
    def headers(self) -> tuple[tuple[bytes, bytes], ...]:
        return _headers(self._span)

    def span(self, name: str, began: float, ended: float, **attributes: Unpack[Attributes]) -> None:
        made = self._tracer.start_span(
            _code(name),
            self._context,
            attributes=_named(attributes),
            start_time=self._nanoseconds(began),
        )
        made.end(self._nanoseconds(ended))

    def end(self, status: int, **attributes: Unpack[Attributes]) -> None:
        from opentelemetry.trace import StatusCode

        self._span.set_attributes({"http.response.status_code": status} | _named(attributes))
        if status >= _SERVER_ERRORS:
            self._span.set_status(StatusCode.ERROR)
        self._span.end()

    def _nanoseconds(self, seconds: float) -> int:
        return int((self._epoch + seconds) * 1e9)


class _PassedOn(NotTraced):
    """Not sampled here, and so the next server does not sample it either."""

    def __init__(self, headers: tuple[tuple[bytes, bytes], ...]):
        self.headers = headers


def _passed_on(span: Span) -> Trace:
    return _PassedOn(_headers(span))


def _headers(span: Span) -> tuple[tuple[bytes, bytes], ...]:
    """Version 00 of https://www.w3.org/TR/trace-context/#traceparent-header."""
    context = span.get_span_context()
    value = f"00-{context.trace_id:032x}-{context.span_id:016x}-{int(context.trace_flags):02x}"
    return ((b"traceparent", value.encode()),)


def _named(attributes: Attributes) -> dict[str, Any]:
    unknown = attributes.keys() - Attributes.__annotations__.keys()
    if unknown:
        raise ValueError(f"attributes {sorted(unknown)} are not on the list; see Attributes")
    return {f"weir.{name}": _code(value) for name, value in attributes.items()}


def _code(value: object) -> Any:
    """A number, or a short code; anything else is not said."""
    if isinstance(value, str) and not _CODE.fullmatch(value):
        return "unsayable"
    return value
