"""Bodies are bounded in size and time, whatever a client sends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import orjson

from data_contracts.config import load_settings
from data_contracts.events import Event
from serving.cascade import Cascade, Decision
from serving.hot_path import HotPath
from serving.shedding import Refusal, Refused
from serving.verdict_service import Origin, Urgency
from tests.stand_ins.capital_letters import CapitalLetters

SERVING = load_settings({}).serving.model_copy(update={"maximum_body_bytes": 100})
PREDICT = "/v1/models/spam:predict"
BODY = b'{"instances": [{"event_id": "e1", "text": "hi"}]}'


class AtOnce:
    """Decides in the caller's thread and records nothing."""

    cascade = Cascade(CapitalLetters(), "7", "t")

    def turn_away(self, urgency: Urgency) -> None:
        if urgency.priority == "bulk":
            raise Refused(Refusal("bulk", "saturated", 3))

    async def decide(
        self, events: list[Event], origin: Origin, size_bytes: int, *rest: object
    ) -> Decision:
        return self.cascade.decide(events, origin.arm)


class Ready:
    def has(self, model_name: str) -> bool:
        return model_name == "spam"

    def is_ready(self, model_name: str) -> bool:
        return True


async def fallback(scope: Any, receive: Any, send: Any) -> None:
    body = (await receive())["body"]
    await send({"type": "http.response.start", "status": 299, "headers": []})
    await send({"type": "http.response.body", "body": b"fallback got " + body})


def ask(
    chunks: AsyncIterator[bytes],
    path: str = PREDICT,
    method: str = "POST",
    headers: tuple[tuple[bytes, bytes], ...] = (),
    body_seconds: float = 60.0,
) -> tuple[int, bytes, dict[bytes, bytes]]:
    front = HotPath(
        AtOnce(), Ready(), fallback, SERVING, body_seconds=body_seconds  # type: ignore[arg-type]
    )  # fmt: skip
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        try:
            return {"type": "http.request", "body": await anext(chunks), "more_body": True}
        except StopAsyncIteration:
            return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "path": path, "method": method, "headers": list(headers)}
    asyncio.run(front(scope, receive, send))
    return sent[0]["status"], sent[1]["body"], dict(sent[0]["headers"])


async def parts(*chunks: bytes, pause_seconds: float = 0) -> AsyncIterator[bytes]:
    for chunk in chunks:
        await asyncio.sleep(pause_seconds)
        yield chunk


def test_a_body_may_come_in_pieces() -> None:
    status, body, headers = ask(parts(BODY[:10], BODY[10:]))
    assert (status, headers[b"x-weir-model-version"]) == (200, b"7")
    assert orjson.loads(body)["predictions"][0]["event_id"] == "e1"


def test_a_body_that_is_too_long_is_dropped_not_kept_and_the_connection_ends() -> None:
    seen = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal seen
        while True:
            seen += 50
            yield b"x" * 50

    status, body, headers = ask(endless())
    assert (status, headers[b"connection"]) == (413, b"close")
    assert b"100 bytes" in body
    assert 100 * 32 <= seen <= 100 * 34


def test_a_client_that_waits_for_continue_is_refused_before_it_sends() -> None:
    headers = ((b"content-length", b"101"), (b"expect", b"100-continue"))
    assert ask(parts(), headers=headers)[0] == 413


def test_a_body_that_does_not_arrive_in_time_is_refused() -> None:
    status, body, _ = ask(parts(BODY, pause_seconds=1), body_seconds=0.05)
    assert status == 408
    assert b"within 0.05 seconds" in body


def test_other_routes_get_their_bounded_body_from_the_fallback() -> None:
    assert ask(parts(b"ab", b"cd"), "/other")[:2] == (299, b"fallback got abcd")
    assert ask(parts(b"x" * 101), "/other")[0] == 413
    assert ask(parts(b"x" * 101), "/other", "GET")[0] == 299


def test_a_shed_request_is_told_when_to_come_again_before_its_body_is_read() -> None:
    status, body, headers = ask(parts(b"never read"), headers=((b"x-weir-priority", b"bulk"),))
    assert (status, headers[b"retry-after"]) == (503, b"3")
    assert headers[b"x-envoy-ratelimited"] == b"true"  # else Envoy tries again at once
    assert b"the waiting room is full" in body


def test_a_class_and_a_deadline_that_are_none_are_refused_by_name() -> None:
    for name, value in ((b"x-weir-priority", b"now"), (b"x-weir-deadline-milliseconds", b"-1")):
        status, body, _ = ask(parts(BODY), headers=((name, value),))
        assert status == 400
        assert name in body
