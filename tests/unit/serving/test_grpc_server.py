"""Calls over a real channel to a server in the same loop: how shed requests end, and deadlines."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import pytest

from data_contracts.config import load_settings
from data_contracts.errors import BadInput
from serving.cascade import Cascade, Decision
from serving.grpc_server import GrpcServer
from serving.predictor import LoadedModels, SpamModel, messages
from serving.shedding import Reason, Refusal, Refused
from serving.verdict_service import Origin, Urgency
from tests.stand_ins.capital_letters import CapitalLetters

SERVING = load_settings({}).serving
INFER = "/inference.GRPCInferenceService/ModelInfer"


class AtOnce:
    """Decides in the caller's thread, records nothing, and sheds where it has a reason."""

    cascade = Cascade(CapitalLetters(), "7", "t")

    def __init__(self, reason: Reason | None = None) -> None:
        self.reason = reason
        self.urgencies: list[Urgency] = []

    def turn_away(self, urgency: Urgency) -> None:
        self.urgencies.append(urgency)
        if self.reason is not None:
            raise Refused(Refusal(urgency.priority, self.reason, 3))

    async def decide(self, events: Any, origin: Origin, *_rest: object) -> Decision:
        return self.cascade.decide(events, origin.arm)


def talk(service: AtOnce, say: Callable[[Any], Awaitable[Any]]) -> Any:
    """What `say` returns of a channel to a server around the service."""

    async def run() -> Any:
        models = LoadedModels()
        model = SpamModel("spam")
        model.load()
        models.update(model)
        server = GrpcServer(service, models, SERVING)  # type: ignore[arg-type]
        port = await server.start("127.0.0.1", 0)
        try:
            async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
                return await say(channel.unary_unary(INFER))
        finally:
            await server.stop(0)

    return asyncio.run(run())


def payload() -> bytes:
    request = messages.ModelInferRequest(model_name="spam")
    tensor = request.inputs.add(name="event", datatype="BYTES", shape=[1])
    tensor.contents.bytes_contents.append(b'{"event_id": "e1", "text": "hi"}')
    return bytes(request.SerializeToString())


@pytest.mark.parametrize(
    ("reason", "code"),
    [
        ("over_share", "RESOURCE_EXHAUSTED"),
        ("saturated", "UNAVAILABLE"),
        ("displaced", "UNAVAILABLE"),
        ("stopping", "UNAVAILABLE"),
        ("deadline", "DEADLINE_EXCEEDED"),
        ("expired", "DEADLINE_EXCEEDED"),
    ],
)
def test_a_shed_call_ends_with_its_code_and_says_when_to_come_again(
    reason: Reason, code: str
) -> None:
    async def say(infer: Any) -> tuple[str, dict[str, str]]:
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await infer(b"\xff is never parsed")
        return raised.value.code().name, dict(raised.value.trailing_metadata())

    found, metadata = talk(AtOnce(reason), say)
    assert found == code
    assert (metadata["retry-after"], metadata["grpc-retry-pushback-ms"]) == ("3", "3000")


def test_the_deadline_of_a_call_shortens_the_time_of_its_class_and_never_lengthens_it() -> None:
    service = AtOnce()

    async def say(infer: Any) -> None:
        interactive = (("x-weir-priority", "interactive"),)
        await infer(payload(), timeout=60, metadata=interactive)
        await infer(payload(), metadata=interactive)
        await infer(payload(), timeout=4, metadata=(("x-weir-priority", "bulk"),))

    talk(service, say)
    longest = SERVING.admission.classes["interactive"].deadline_milliseconds / 1000
    assert [one.seconds for one in service.urgencies[:2]] == [longest, longest]
    assert 0 < service.urgencies[2].seconds < 4.5  # gRPC rounds what it sends a little up


def test_a_busy_port_is_named_with_the_setting_to_change() -> None:
    async def start_two() -> None:
        first, second = (
            GrpcServer(AtOnce(), LoadedModels(), SERVING)  # type: ignore[arg-type]
            for _ in range(2)
        )
        port = await first.start("127.0.0.1", 0)
        try:
            with pytest.raises(BadInput, match=rf"grpc_port = {port}: .*WEIR__SERVING__GRPC_PORT"):
                await second.start("127.0.0.1", port)
        finally:
            await first.stop(0)

    asyncio.run(start_two())
