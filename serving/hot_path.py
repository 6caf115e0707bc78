"""The inference routes as a raw ASGI application in front of KServe's own.

It answers `POST /v1/models/{name}:predict` and `POST /v2/models/{name}/infer` itself (for a
fraction of the cost of KServe's routes, and every wrong request gets its 4xx), bounds every body,
and leaves health, readiness, metadata and metrics to KServe.
"""

from __future__ import annotations

import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import orjson

from data_contracts.config import Serving
from data_contracts.verdicts import Verdict
from serving.cascade import Decision
from serving.logs import say
from serving.meter import Meter, content_kind
from serving.micro_batching import ClientLeft
from serving.request_body import (
    BODY_SECONDS,
    ClientLeftError,
    Message,
    Receive,
    Scope,
    Send,
    check_content,
    read_body,
)
from serving.request_origin import counted_as, origin_of, urgency_of
from serving.requests import OUTPUT_DATATYPES, BadRequest, InferRequest, parse_infer, parse_predict
from serving.served_model import Readiness, check_name, check_ready, check_version
from serving.shedding import Refusal, Refused
from serving.tracing import NoTracing, Trace, Tracing
from serving.verdict_service import Origin, Urgency, VerdictService

Application = Callable[[Scope, Receive, Send], Awaitable[None]]
_CLIENT_CLOSED_REQUEST = 499  # nginx's number for it: nothing was answered
_ROUTE = re.compile(
    r"^/(?:(?P<protocol>v1)/models/(?P<v1>[^/]+):predict"
    r"|v2/models/(?P<v2>[^/]+)(?:/versions/(?P<version>[^/]+))?/infer)$"
)
_VERSIONED = re.compile(
    r"^/v2/models/(?P<model>[^/]+)/versions/(?P<version>[^/]+)(?P<rest>(?:/ready)?)$"
)
OUTPUTS: dict[str, Callable[[Verdict], float | str]] = {
    "score": lambda verdict: verdict.score,
    "action": lambda verdict: verdict.action,
    "verdict": lambda verdict: orjson.dumps(verdict).decode(),
}


@dataclass(frozen=True)
class _Answer:
    status: HTTPStatus
    body: bytes
    headers: tuple[tuple[bytes, bytes], ...] = ()


class HotPath:
    """ASGI application: the inference routes, then `fallback` for everything else."""

    def __init__(
        self,
        service: VerdictService,
        readiness: Readiness,
        fallback: Application,
        settings: Serving,
        new_id: Callable[[], str] = lambda: str(uuid4()),
        body_seconds: float = BODY_SECONDS,
        meter: Meter | None = None,
        tracing: Tracing | None = None,
    ):
        self._service = service
        self._readiness = readiness
        self._fallback = fallback
        self._settings = settings
        self._new_id = new_id
        self._body_seconds = body_seconds
        self._meter = meter or Meter()
        self._tracing = tracing or NoTracing()
        self.in_flight = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        route = _ROUTE.match(scope["path"]) if scope["type"] == "http" else None
        if route is None:
            await self._pass_on(scope, receive, send)
            return
        protocol, headers = route["protocol"] or "v2", dict(scope["headers"])
        trace = self._tracing.begin(protocol, headers)
        self.in_flight += 1
        try:
            answer = await self._answer(scope, receive, route, headers, trace)
        except ClientLeftError:
            self._ended(protocol, headers, trace, _CLIENT_CLOSED_REQUEST)
            return
        finally:
            self.in_flight -= 1
        if answer.status != HTTPStatus.OK or trace.recording:
            self._ended(protocol, headers, trace, answer.status.value)
        await _send(send, answer)

    def _ended(self, protocol: str, headers: dict[bytes, bytes], trace: Trace, status: int) -> None:
        """Answers of 200 were counted when they were made."""
        priority, arm = counted_as(headers)
        if status != HTTPStatus.OK:
            said = "disconnected" if status == _CLIENT_CLOSED_REQUEST else str(status)
            self._meter.refused(protocol, said, priority, arm)
        trace.end(status, priority=priority, arm=arm)

    async def _answer(
        self,
        scope: Scope,
        receive: Receive,
        route: re.Match[str],
        headers: dict[bytes, bytes],
        trace: Trace,
    ) -> _Answer:
        try:
            self._check_route(scope["method"], route)
            check_content(headers)
            origin = origin_of(headers)
            urgency = urgency_of(headers, self._settings.admission)
            self._service.turn_away(urgency)
            body = await self._body(receive, headers)
            is_v1 = route["protocol"] is not None
            return await self._decide(body, origin, urgency, receive, trace, is_v1=is_v1)
        except BadRequest as problem:
            return _problem(problem.status, str(problem))
        except Refused as shed:
            return _shed(shed.refusal, str(shed))
        except ClientLeft:
            raise ClientLeftError from None
        except ClientLeftError:
            raise
        except Exception as error:  # the last line of defence: an answer, and no user text logged
            say("a request failed", "error", error)
            return _problem(
                HTTPStatus.INTERNAL_SERVER_ERROR,
                f"the model failed ({type(error).__name__}); the server's log says where",
            )

    async def _decide(
        self,
        body: bytes,
        origin: Origin,
        urgency: Urgency,
        receive: Receive,
        trace: Trace,
        *,
        is_v1: bool,
    ) -> _Answer:
        began = time.perf_counter()
        maximum = self._settings.maximum_batch
        request = (
            InferRequest(parse_predict(body, maximum)) if is_v1 else parse_infer(body, maximum)
        )
        parsed = time.perf_counter()
        decision = await self._service.decide(
            request.events, origin, len(body), urgency, partial(_left, receive)
        )
        if trace.recording:
            trace.span("parse", began, parsed, events=len(request.events))
            trace.span("decide", parsed, time.perf_counter(), priority=urgency.priority)
        content = _v1_answer(decision) if is_v1 else self._v2_answer(request, decision)
        encoded = orjson.dumps(content)
        self._meter.answered(
            "v1" if is_v1 else "v2", urgency.priority, origin.arm, content_kind(request.events),
            time.perf_counter() - began, urgency.is_in_time,
        )  # fmt: skip
        self._meter.verdicts(decision.verdicts)
        version = self._service.cascade.model_version
        headers = (
            (b"x-weir-model-version", version.encode()),
            (b"x-weir-arm", origin.arm.encode()),
        )
        return _Answer(HTTPStatus.OK, encoded, headers)

    def _v2_answer(self, request: InferRequest, decision: Decision) -> dict[str, Any]:
        return {
            "model_name": self._settings.model_name,
            "model_version": self._service.cascade.model_version,
            "id": request.request_id or self._new_id(),
            "outputs": [
                {
                    "name": name,
                    "shape": [len(decision.verdicts)],
                    "datatype": OUTPUT_DATATYPES[name],
                    "data": [OUTPUTS[name](verdict) for verdict in decision.verdicts],
                }
                for name in request.outputs
            ],
        }

    def _check_route(self, method: str, route: re.Match[str]) -> None:
        if method != "POST":
            raise BadRequest(
                f"{method} is not for this route; use POST", HTTPStatus.METHOD_NOT_ALLOWED
            )
        model = route["v1"] or route["v2"]
        check_name(self._readiness, model, self._settings.model_name)
        check_ready(self._readiness, model)
        check_version(route["version"], self._service.cascade.model_version)

    async def _pass_on(self, scope: Scope, receive: Receive, send: Send) -> None:
        """To KServe, with a body that is bounded and complete where there may be one."""
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD"):
            try:
                scope = self._without_version(scope)
            except BadRequest as problem:
                await _send(send, _problem(problem.status, str(problem)))
            else:
                await self._fallback(scope, receive, send)
            return
        try:
            body = await self._body(receive, dict(scope["headers"]))
        except BadRequest as problem:
            await _send(send, _problem(problem.status, str(problem)))
        except ClientLeftError:
            return
        else:
            await self._fallback(scope, _replayed(body, receive), send)

    async def _body(self, receive: Receive, headers: dict[bytes, bytes]) -> bytes:
        return await read_body(
            receive, headers, self._settings.maximum_body_bytes, self._body_seconds
        )

    def _without_version(self, scope: Scope) -> Scope:
        """KServe answers 501 to a path with a version: the one that is served is taken off."""
        found = _VERSIONED.match(scope["path"]) if scope["type"] == "http" else None
        if found is None:
            return scope
        check_name(self._readiness, found["model"], self._settings.model_name)
        check_version(found["version"], self._service.cascade.model_version)
        path = f"/v2/models/{found['model']}{found['rest']}"
        return {**scope, "path": path, "raw_path": quote(path).encode()}


def inference_protocol(path: str) -> str | None:
    """`v1` or `v2` for the path of an inference route, None for any other."""
    route = _ROUTE.match(path)
    return None if route is None else route["protocol"] or "v2"


def _v1_answer(decision: Decision) -> dict[str, Any]:
    return {"predictions": [_prediction(verdict) for verdict in decision.verdicts]}


def _prediction(verdict: Verdict) -> dict[str, Any]:
    return {
        "event_id": verdict.event_id,
        "score": verdict.score,
        "action": verdict.action,
        "verdict": verdict,
    }


def _problem(status: HTTPStatus, message: str) -> _Answer:
    headers: tuple[tuple[bytes, bytes], ...] = ()
    if status in (HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.REQUEST_TIMEOUT):
        headers = ((b"connection", b"close"),)  # the rest of the body is not waited for
    elif status == HTTPStatus.METHOD_NOT_ALLOWED:
        headers = ((b"allow", b"POST"),)
    return _Answer(status, orjson.dumps({"error": message}), headers)


def _shed(refusal: Refusal, message: str) -> _Answer:
    """Envoy takes it for a limit that was reached, and does not try again at once."""
    headers = (
        (b"retry-after", str(refusal.retry_after_seconds).encode()),
        (b"x-envoy-ratelimited", b"true"),
    )
    return _Answer(refusal.status, orjson.dumps({"error": message}), headers)


async def _left(receive: Receive) -> None:
    """Ends when the client is gone; its request is complete."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def _send(send: Send, answer: _Answer) -> None:
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(answer.body)).encode()),
        *answer.headers,
    ]
    await send({"type": "http.response.start", "status": answer.status.value, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})


def _replayed(body: bytes, receive: Receive) -> Receive:
    """A body that was read already, then whatever the connection says next."""
    messages = iter([{"type": "http.request", "body": body, "more_body": False}])

    async def replay() -> Message:
        return next(messages, None) or await receive()

    return replay
