"""The Open Inference Protocol over gRPC, on a port of its own, in the event loop of REST.

ModelInfer takes the way of the hot path: the same checks, admission, deadline and verdicts; every
other call is KServe's. Messages are parsed here and not by gRPC, so that what is none is told so.
A call whose client left is cancelled by gRPC, and its request leaves the queue.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import Any, NoReturn, Protocol
from uuid import uuid4

import grpc
from google.protobuf.message import DecodeError

from data_contracts.config import Serving
from data_contracts.errors import BadInput
from serving.exposure import Protection
from serving.infer_messages import as_json, fill_answer
from serving.logs import say
from serving.meter import Meter, content_kind
from serving.predictor import LoadedModels, Servicer, as_bad_request, messages
from serving.request_origin import counted_as, origin_of, urgency_of
from serving.requests import BadRequest, infer_request
from serving.served_model import check_name, check_ready, check_version
from serving.shedding import Reason, Refused
from serving.tracing import NoTracing, Trace, Tracing
from serving.verdict_service import VerdictService

SERVICE = messages.DESCRIPTOR.services_by_name["GRPCInferenceService"]
OPEN_CALLS = frozenset(("ServerLive", "ServerReady", "ModelReady"))  # asked by probes, no token
_CLIENT_CLOSED_REQUEST = 499
_CODES = {
    HTTPStatus.BAD_REQUEST: grpc.StatusCode.INVALID_ARGUMENT,
    HTTPStatus.UNAUTHORIZED: grpc.StatusCode.UNAUTHENTICATED,
    HTTPStatus.NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: grpc.StatusCode.INVALID_ARGUMENT,
    HTTPStatus.TOO_MANY_REQUESTS: grpc.StatusCode.RESOURCE_EXHAUSTED,
    HTTPStatus.INTERNAL_SERVER_ERROR: grpc.StatusCode.INTERNAL,
    HTTPStatus.SERVICE_UNAVAILABLE: grpc.StatusCode.UNAVAILABLE,
}
_TOO_LATE: frozenset[Reason] = frozenset(("deadline", "expired"))


class Context(Protocol):
    """What is asked of grpc.aio's ServicerContext."""

    def invocation_metadata(self) -> Sequence[tuple[str, str | bytes]] | None: ...

    def time_remaining(self) -> float | None: ...

    def set_trailing_metadata(self, metadata: Sequence[tuple[str, str]], /) -> None: ...

    async def abort(
        self, code: Any, details: str, trailing_metadata: Sequence[tuple[str, str]]
    ) -> NoReturn: ...


@dataclass(frozen=True)
class _Problem:
    """How a call ends that has no answer; `status` is what REST would say, and is counted."""

    status: HTTPStatus
    code: Any  # grpc.StatusCode
    message: str
    metadata: tuple[tuple[str, str], ...] = ()


class GrpcServer:
    """Answers between `start` and `stop`, both called in the event loop that decides."""

    def __init__(
        self,
        service: VerdictService,
        models: LoadedModels,
        settings: Serving,
        protection: Protection | None = None,
        meter: Meter | None = None,
        tracing: Tracing | None = None,
        new_id: Callable[[], str] = lambda: str(uuid4()),
    ):
        self._service = service
        self._models = models
        self._kserve = Servicer(models)
        self._settings = settings
        self._protection = protection or Protection()
        self._meter = meter or Meter()
        self._tracing = tracing or NoTracing()
        self._new_id = new_id
        self._server: Any = None
        self.in_flight = 0

    async def start(self, host: str, port: int) -> int:
        """Listen, and return the port. Raises BadInput where it is taken."""
        self._server = grpc.aio.server(options=self._options())
        handlers = {
            method.name: grpc.unary_unary_rpc_method_handler(partial(self._call, method))
            for method in SERVICE.methods
        }
        generic = grpc.method_handlers_generic_handler(SERVICE.full_name, handlers)
        self._server.add_generic_rpc_handlers((generic,))
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        try:
            bound = self._bind(self._server, address)
        except RuntimeError:
            raise BadInput(
                f"serving.grpc_port = {port}: {address} is not free; stop what listens there, or "
                "choose another in WEIR__SERVING__GRPC_PORT (0: any free one)"
            ) from None
        await self._server.start()
        return bound

    async def stop(self, grace_seconds: float) -> None:
        """Take no more calls, and wait for those in flight."""
        if self._server is not None:
            await self._server.stop(grace_seconds)

    def _options(self) -> tuple[tuple[str, int], ...]:
        return (
            ("grpc.max_receive_message_length", self._settings.maximum_body_bytes),
            ("grpc.max_concurrent_streams", self._settings.admission.waiting_requests),
            ("grpc.so_reuseport", 0),  # two servers on one port would share its calls unseen
        )

    def _bind(self, server: Any, address: str) -> int:
        tls = self._protection.tls
        if tls is None:
            return int(server.add_insecure_port(address))
        pair = (tls.key.read_bytes(), tls.certificate.read_bytes())
        return int(server.add_secure_port(address, grpc.ssl_server_credentials([pair])))

    async def _call(self, method: Any, payload: bytes, context: Context) -> bytes:
        headers = _headers(context.invocation_metadata() or ())
        if method.name == "ModelInfer":
            answer = await self._counted(payload, headers, context)
        else:
            answer = await self._attempt(self._ask_kserve(method, payload, headers))
        if isinstance(answer, _Problem):
            await context.abort(answer.code, answer.message, answer.metadata)
        return answer

    async def _counted(
        self, payload: bytes, headers: Mapping[bytes, bytes], context: Context
    ) -> bytes | _Problem:
        priority, arm = counted_as(headers)
        trace: Trace = self._tracing.begin("grpc", headers)
        self.in_flight += 1
        try:
            answer = await self._attempt(self._infer(payload, headers, context))
        except asyncio.CancelledError:
            self._meter.refused("grpc", "disconnected", priority, arm)
            trace.end(_CLIENT_CLOSED_REQUEST, priority=priority, arm=arm)
            raise
        finally:
            self.in_flight -= 1
        status = HTTPStatus.OK
        if isinstance(answer, _Problem):
            status = answer.status
            self._meter.refused("grpc", str(status.value), priority, arm)
        trace.end(status.value, priority=priority, arm=arm)
        return answer

    async def _attempt(self, answer: Awaitable[bytes]) -> bytes | _Problem:
        """The bytes of an awaited answer, or the problem that came instead."""
        try:
            return await answer
        except BadRequest as problem:
            return _problem(problem.status, str(problem))
        except DecodeError:
            return _problem(
                HTTPStatus.BAD_REQUEST,
                "the message is not one of this call's; use the Open Inference Protocol's stubs",
            )
        except Refused as shed:
            return _shed(shed)
        except Exception as error:
            if (amiss := as_bad_request(error)) is not None:
                return _problem(amiss.status, str(amiss))
            say("a request failed", "error", error)
            return _problem(
                HTTPStatus.INTERNAL_SERVER_ERROR,
                f"the model failed ({type(error).__name__}); the server's log says where",
            )

    async def _ask_kserve(
        self, method: Any, payload: bytes, headers: Mapping[bytes, bytes]
    ) -> bytes:
        if method.name not in OPEN_CALLS:
            self._check_token(headers)
        request = getattr(messages, method.input_type.name).FromString(payload)
        if version := getattr(request, "version", ""):
            check_name(self._models, request.name, self._settings.model_name)
            check_version(version, self._service.cascade.model_version)
        answer = await getattr(self._kserve, method.name)(request, None)
        return bytes(answer.SerializeToString())

    async def _infer(
        self, payload: bytes, headers: Mapping[bytes, bytes], context: Context
    ) -> bytes:
        self._check_token(headers)
        origin = origin_of(headers)
        left = context.time_remaining()
        urgency = urgency_of(headers, self._settings.admission, left)
        self._service.turn_away(urgency)
        began = time.perf_counter()
        message = messages.ModelInferRequest.FromString(payload)
        version = self._service.cascade.model_version
        check_name(self._models, message.model_name, self._settings.model_name)
        check_ready(self._models, message.model_name)
        check_version(message.model_version or None, version)
        request = infer_request(as_json(message), self._settings.maximum_batch)
        decision = await self._service.decide(request.events, origin, len(payload), urgency)
        answer = messages.ModelInferResponse(id=request.request_id or self._new_id())
        fill_answer(answer, request, decision, self._settings.model_name, version)
        encoded = bytes(answer.SerializeToString())
        self._meter.answered(
            "grpc", urgency.priority, origin.arm, content_kind(request.events),
            time.perf_counter() - began, urgency.is_in_time,
        )  # fmt: skip
        self._meter.verdicts(decision.verdicts)
        context.set_trailing_metadata(
            (("x-weir-model-version", version), ("x-weir-arm", origin.arm))
        )
        return encoded

    def _check_token(self, headers: Mapping[bytes, bytes]) -> None:
        tokens = self._protection.tokens
        refusal = None if tokens is None else tokens.refusal(headers.get(b"authorization"))
        if refusal is not None:
            raise BadRequest(refusal, HTTPStatus.UNAUTHORIZED)


def _headers(metadata: Sequence[tuple[str, str | bytes]]) -> dict[bytes, bytes]:
    return {
        name.encode(): value if isinstance(value, bytes) else value.encode()
        for name, value in metadata
    }


def _problem(status: HTTPStatus, message: str) -> _Problem:
    return _Problem(status, _CODES[status], message)


def _shed(shed: Refused) -> _Problem:
    """A client that retries by itself waits as long as REST's Retry-After (gRFC A6)."""
    refusal = shed.refusal
    too_late = refusal.reason in _TOO_LATE
    code = grpc.StatusCode.DEADLINE_EXCEEDED if too_late else _CODES[refusal.status]
    seconds = refusal.retry_after_seconds
    metadata = (("retry-after", str(seconds)), ("grpc-retry-pushback-ms", str(1000 * seconds)))
    return _Problem(refusal.status, code, str(shed), metadata)
