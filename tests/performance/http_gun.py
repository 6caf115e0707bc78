"""Sends a load over HTTP/1.1 connections with one request at a time each; hears the answers."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Coroutine
from functools import partial
from typing import cast

import numpy as np

from tests.performance.http_shots import EVENT_ID, Heard, Load

# what says that a refusal was meant: Weir's waiting room, Envoy's own bound of requests in flight
DELIBERATE = (b"\r\nx-envoy-ratelimited:", b"\r\nx-envoy-overloaded:")
_ANY_ID = EVENT_ID.format(0).encode()


def is_loaded() -> bool:
    """Asked of a process that is about to fire: importing takes its time."""
    return True


def fire(
    port: int, load: Load, connections: int, grace: float, start: float, *, keep: bool
) -> Heard:
    """Open loop from `start` on the monotonic clock; waits `grace` seconds for the last answers.

    With `keep` (closed loop) it begins when it can, and keeps the answers' bodies.
    """
    began = time.process_time()
    if not keep and time.monotonic() > start:
        n = len(load.times)
        raise RuntimeError(f"{n} shots were not ready in time; raise http_load.LEAD_SECONDS")
    gun = _Gun(port, load, connections, start, keep=keep)
    _run(gun.shoot(grace))
    return Heard(
        np.array(load.names)[load.picks], load.times, gun.seconds, gun.statuses, gun.deliberate,
        gun.late, time.process_time() - began, time.monotonic() - start,
        tuple(gun.bodies) if keep else (),
    )  # fmt: skip


def _run(shooting: Coroutine[object, object, None]) -> None:
    """On uvloop, which the platform has through uvicorn; its timers have a millisecond's grain."""
    try:
        import uvloop
    except ImportError:
        asyncio.run(shooting)
    else:
        uvloop.run(shooting)


class _Gun:
    def __init__(
        self, port: int, load: Load, connections: int, start: float, *, keep: bool
    ) -> None:
        n = len(load.times)
        self.seconds, self.late = np.full(n, np.nan), np.zeros(n)
        self.statuses, self.deliberate = np.zeros(n, np.int64), np.zeros(n, bool)
        self.bodies = [b""] * n if keep else []
        self._port, self._load, self._connections, self._start = port, load, connections, start
        self._id_at = [request.find(_ANY_ID) for request in load.requests]
        self._idle: list[_Client] = []
        self._line: deque[int] = deque()
        self._open = self._ended = 0
        self._all_ended = asyncio.Event()
        self._opening: set[asyncio.Task[None]] = set()

    async def shoot(self, grace_seconds: float) -> None:
        """All shots at their times; then wait for the last answers, so long at most."""
        for number, at in enumerate(self._load.times.tolist()):
            wait = self._start + at - time.monotonic()
            if wait > 0:
                await asyncio.sleep(wait)
            self.late[number] = time.monotonic() - self._start - at
            self._line.append(number)
            self.go_on()
        timeout = None if np.isinf(grace_seconds) else grace_seconds
        waiting = asyncio.wait_for(self._all_ended.wait(), timeout)
        await asyncio.gather(waiting, return_exceptions=True)  # those without answer stay so

    def go_on(self) -> None:
        """Whoever waits gets a connection that is free, or a new one."""
        while self._line and self._idle:
            self.send(self._idle.pop())
        if self._line and self._open < self._connections:
            self._open += 1
            task = asyncio.get_running_loop().create_task(self._connect())
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            await loop.create_connection(partial(_Client, self), "127.0.0.1", self._port)
        except OSError:
            self._open -= 1
            if self._line:
                self._line.popleft()
                self._end()
            self.go_on()

    def send(self, client: _Client) -> None:
        """The next of those who wait goes over this connection."""
        number = self._line.popleft()
        pick = self._load.picks[number]
        request, at = self._load.requests[pick], self._id_at[pick]
        if at >= 0:
            own = EVENT_ID.format(self._load.first + number).encode()
            request = request[:at] + own + request[at + len(own) :]
        client.ask(number, request)

    def is_connected(self, client: _Client) -> None:
        self._idle.append(client)
        self.go_on()

    def answered(self, client: _Client, head: bytes, body: bytes) -> None:
        number = client.number
        self.seconds[number] = time.monotonic() - self._start - self._load.times[number]
        self.statuses[number] = int(head[9:12])
        self.deliberate[number] = any(one in head for one in DELIBERATE)
        if self.bodies:
            self.bodies[number] = body
        client.number = -1
        self._end()
        if b"\r\nconnection: close" in head:
            client.close()
        elif self._line:
            self.send(client)
        else:
            self._idle.append(client)

    def lost(self, client: _Client) -> None:
        self._open -= 1
        if client.number >= 0:
            self._end()
        elif client in self._idle:
            self._idle.remove(client)
        self.go_on()

    def _end(self) -> None:
        self._ended += 1
        if self._ended == len(self._load.times):
            self._all_ended.set()


class _Client(asyncio.Protocol):
    """One connection with at most one request on its way, `number`; -1 is none."""

    def __init__(self, gun: _Gun) -> None:
        self.number = -1
        self._gun = gun
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one in all but name
        self._gun.is_connected(self)

    def ask(self, number: int, request: bytes) -> None:
        self.number = number
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n") + 4
        if end < 4 or self.number < 0:
            return
        head = self._buffer[:end].lower()
        at = head.index(b"content-length:") + 15
        whole = end + int(head[at : head.index(b"\r\n", at)])
        if len(self._buffer) >= whole:
            body, self._buffer = self._buffer[end:whole], self._buffer[whole:]
            self._gun.answered(self, head, body)

    def connection_lost(self, _error: Exception | None) -> None:
        self._gun.lost(self)

    def close(self) -> None:
        self._transport.close()
