"""Bearer tokens in front of a model server: who has one may ask, health is for all."""

from __future__ import annotations

import re
from collections.abc import MutableMapping
from http import HTTPStatus
from typing import Any

import orjson

from serving.hot_path import Application, inference_protocol
from serving.meter import Meter
from serving.request_body import Receive, Send
from serving.request_origin import counted_as
from serving.tokens import Tokens

CHALLENGE = 'Bearer realm="weir"'
_OPEN = re.compile(
    r"/(?:v2/health/(?:live|ready)|v2/models/[^/]+(?:/versions/[^/]+)?/ready|v1/models/[^/:]+)?"
)


class Authenticated:
    """ASGI application: `application` for who brings a token, health and readiness for all."""

    def __init__(self, application: Application, tokens: Tokens, meter: Meter):
        self._application = application
        self._tokens = tokens
        self._meter = meter

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or _is_open(scope["method"], scope["path"]):
            await self._application(scope, receive, send)
            return
        headers = dict(scope["headers"])
        refusal = self._tokens.refusal(headers.get(b"authorization"))
        if refusal is None:
            await self._application(scope, receive, send)
            return
        if (protocol := inference_protocol(scope["path"])) is not None:
            status = str(HTTPStatus.UNAUTHORIZED.value)
            self._meter.refused(protocol, status, *counted_as(headers))
        await _refuse(send, refusal, brought=b"authorization" in headers)


def _is_open(method: str, path: str) -> bool:
    return method in ("GET", "HEAD") and _OPEN.fullmatch(path) is not None


async def _refuse(send: Send, refusal: str, *, brought: bool) -> None:
    challenge = CHALLENGE + (', error="invalid_token"' if brought else "")
    body = orjson.dumps({"error": refusal})
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"www-authenticate", challenge.encode()),
    ]
    status = HTTPStatus.UNAUTHORIZED.value
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
