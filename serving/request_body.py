"""A request's body, bounded in size and in time, whatever a client sends."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from http import HTTPStatus
from typing import Any

from serving.requests import BadRequest

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
BODY_SECONDS = 10.0  # a slower client gets 408
DISCARDED_BODIES = 32  # of a body that is too long, this many times the limit is read and dropped


class ClientLeftError(Exception):
    """The client left before its request was complete."""


def check_content(headers: Mapping[bytes, bytes]) -> None:
    """Raises BadRequest (415) for anything but plain JSON."""
    kind = headers.get(b"content-type", b"application/json").partition(b";")[0].strip().lower()
    encoding = headers.get(b"content-encoding", b"identity").strip().lower()
    if kind != b"application/json":
        shown = kind[:40].decode("ascii", "replace")
        raise BadRequest(
            f"Content-Type is {shown!r}; send JSON with Content-Type: application/json",
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        )
    if encoding != b"identity" or b"inference-header-content-length" in headers:
        raise BadRequest(
            "compressed and binary bodies are not taken; send plain JSON",
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        )


async def read_body(
    receive: Receive, headers: Mapping[bytes, bytes], maximum: int, seconds: float
) -> bytes:
    """The whole body, never more than `maximum` bytes of it in memory.

    Raises BadRequest (408, 413), or ClientLeftError.
    """
    declared = headers.get(b"content-length", b"")
    if declared.isdigit() and int(declared) > maximum and b"expect" in headers:
        raise _too_long(maximum)
    with _Alarm(seconds):
        message = await receive()
        body: bytes = message.get("body", b"")
        if not message.get("more_body") and message["type"] != "http.disconnect":
            if len(body) > maximum:
                raise _too_long(maximum)
            return body  # in one piece, as nearly always
        return await _joined(message, receive, maximum)


class _Alarm:
    """Bounds what a body may take; a third of the cost of `asyncio.timeout`, paid by every request.

    The task is woken by a cancellation, which leaves this block as BadRequest (408).
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._has_rung = False

    def __enter__(self) -> None:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a body is read outside of a task")
        self._task: asyncio.Task[Any] = task
        self._timer = task.get_loop().call_later(self._seconds, self._ring)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._timer.cancel()
        if self._has_rung and kind is asyncio.CancelledError and self._task.uncancel() == 0:
            raise BadRequest(
                f"the body did not arrive within {self._seconds:g} seconds; send it faster",
                HTTPStatus.REQUEST_TIMEOUT,
            ) from None

    def _ring(self) -> None:
        self._has_rung = True
        self._task.cancel()


async def _joined(message: Message, receive: Receive, maximum: int) -> bytes:
    """The pieces of a body that begins with `message`; what is too long is dropped, not kept."""
    body, size = bytearray(), 0
    while True:
        if message["type"] == "http.disconnect":
            raise ClientLeftError
        chunk = message.get("body", b"")
        size += len(chunk)
        if size <= maximum:
            body += chunk
        if not message.get("more_body") or size > maximum * DISCARDED_BODIES:
            break
        message = await receive()
    if size > maximum:
        raise _too_long(maximum)
    return bytes(body)


def _too_long(maximum: int) -> BadRequest:
    return BadRequest(
        f"the body is longer than {maximum} bytes (serving.maximum_body_bytes); "
        "send fewer events a request, and large media by path",
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    )
