"""Bearer tokens in front of a model server (RFC 6750): who has one may ask, health is for all.

The tokens come from the environment (WEIR_SERVING_TOKENS, parted by commas or white space) or from
a file (one a line); several at a time, so that one can follow another without a gap. Only their
hashes are kept, and every one is compared in constant time.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
from collections.abc import Iterable, Mapping, MutableMapping
from http import HTTPStatus
from pathlib import Path
from typing import Any

import orjson

from data_contracts.config import Serving
from data_contracts.errors import ConfigurationError
from serving.hot_path import Application, inference_protocol
from serving.meter import Meter
from serving.request_body import Receive, Send
from serving.request_origin import counted_as

TOKENS = "WEIR_SERVING_TOKENS"
SHORTEST_TOKEN = 16  # characters
CHALLENGE = 'Bearer realm="weir"'
_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")  # RFC 6750, section 2.1
_OPEN = re.compile(
    r"/(?:v2/health/(?:live|ready)|v2/models/[^/]+(?:/versions/[^/]+)?/ready|v1/models/[^/:]+)?"
)


class Tokens:
    """The tokens that are let in. Raises ConfigurationError for none, or for one that is weak."""

    def __init__(self, tokens: Iterable[str]):
        known = tuple(tokens)
        if not known:
            raise ConfigurationError(
                f"serving.authentication is tokens, and there is none; set {TOKENS}, or "
                "serving.tokens_file with one token a line"
            )
        for number, token in enumerate(known, 1):
            if len(token) < SHORTEST_TOKEN or not _TOKEN.fullmatch(token):
                raise ConfigurationError(
                    f"token {number} of {len(known)} has {len(token)} characters: give at least "
                    f"{SHORTEST_TOKEN}, letters, digits and ._~+/- only (`openssl rand -hex 32`)"
                )
        self._digests = tuple(_digest(token.encode()) for token in known)

    def refusal(self, authorization: bytes | None) -> str | None:
        """Why a request with this Authorization is not let in; None where it is.

        >>> tokens = Tokens(["0123456789abcdef"])
        >>> tokens.refusal(b"Bearer 0123456789abcdef"), tokens.refusal(b"bearer 0123456789abcdef")
        (None, None)
        >>> tokens.refusal(None)
        'no bearer token; send Authorization: Bearer TOKEN'
        """
        scheme, _, token = (authorization or b"").partition(b" ")
        if scheme.lower() != b"bearer":
            return "no bearer token; send Authorization: Bearer TOKEN"
        asked = _digest(token.strip())
        matches = [hmac.compare_digest(asked, known) for known in self._digests]  # always all
        return None if any(matches) else "the bearer token is not known here; ask who runs this"


def read_tokens(settings: Serving, environment: Mapping[str, str] = os.environ) -> Tokens | None:
    """The configured tokens; None where none are asked for. Raises ConfigurationError."""
    if settings.authentication == "none":
        return None
    return Tokens(_configured(settings, environment))


def own_headers(settings: Serving, environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """What Weir's own clients send to a model server: the first of its tokens, read anew, so that
    it may follow another; nothing where none are asked for. Raises ConfigurationError.
    """
    if read_tokens(settings, environment) is None:
        return {}
    return {"authorization": f"Bearer {_configured(settings, environment)[0]}"}


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


def _configured(settings: Serving, environment: Mapping[str, str]) -> list[str]:
    if settings.tokens_file is None:
        return environment.get(TOKENS, "").replace(",", " ").split()
    return _lines(settings.tokens_file)


def _lines(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"serving.tokens_file {path}: {type(error).__name__}; name a readable text file "
            "with one token a line"
        ) from None
    return [line.strip() for line in lines if line.strip()]


def _digest(token: bytes) -> bytes:
    return hashlib.sha256(token).digest()
