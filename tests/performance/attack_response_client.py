"""Clients that post by a plan, never retry, and note every verdict.

    python -m tests.performance.attack_response_client --plan FILE --url URL --out FILE

Lines of the plan are `at` (seconds after the start), `kind`, `group`, `event`. Each line of the
output is sent (seconds since 1970), kind, group, event id, action, version, arm; the action is ""
where no verdict came. Ends with the plan or at SIGTERM.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import httpx
import orjson

MAXIMUM_IN_FLIGHT = 64
ANSWER_SECONDS = 20.0


@dataclass(frozen=True)
class Seen:
    """One post and the gateway's verdict on it."""

    sent: float
    kind: str
    group: int
    event_id: str
    action: str
    version: str
    arm: str

    @property
    def answered(self) -> bool:
        return bool(self.action)

    @property
    def acted(self) -> bool:
        return self.action not in ("", "allow")


def seen(file: Path) -> list[Seen]:
    """All whole lines so far, in order of sending."""
    with file.open("rb") as lines:
        found = [Seen(*orjson.loads(line)) for line in lines if line.endswith(b"\n")]
    return sorted(found, key=lambda one: one.sent)


async def send(url: str, plan: Sequence[dict[str, Any]], out: BinaryIO) -> None:
    """Every post at its time, whether or not earlier ones were answered."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stop.set)
    room, began = asyncio.Semaphore(MAXIMUM_IN_FLIGHT), loop.time()
    limits = httpx.Limits(max_connections=MAXIMUM_IN_FLIGHT)
    async with (
        httpx.AsyncClient(limits=limits, timeout=ANSWER_SECONDS, trust_env=False) as client,
        asyncio.TaskGroup() as in_flight,
    ):
        for post in plan:
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), max(0.0, began + post["at"] - loop.time()))
            if stop.is_set():
                break
            await room.acquire()
            in_flight.create_task(_send(client, url, post, out, room))


async def _send(
    client: httpx.AsyncClient,
    url: str,
    post: dict[str, Any],
    out: BinaryIO,
    room: asyncio.Semaphore,
) -> None:
    sent, action, version, arm = time.time(), "", "", ""
    try:
        answer = await client.post(url, json={"instances": [post["event"]]})
        if answer.status_code == httpx.codes.OK:
            action = answer.json()["predictions"][0]["action"]
            version = answer.headers.get("x-weir-model-version", "")
            arm = answer.headers.get("x-weir-arm", "")
    except httpx.HTTPError:
        pass  # counted by its empty action
    finally:
        room.release()
    line = [sent, post["kind"], post["group"], post["event"]["event_id"], action, version, arm]
    out.write(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))
    out.flush()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--plan", required=True, type=Path)
    parser.add_argument("--url", required=True)
    parser.add_argument("--out", required=True, type=Path)
    given = parser.parse_args()
    plan = [orjson.loads(line) for line in given.plan.read_bytes().splitlines()]
    with given.out.open("ab") as out:
        asyncio.run(send(given.url, plan, out))


if __name__ == "__main__":
    main()
