"""Clients that send a steady load over kept-alive connections, never retry, and note every answer.

    python -m tests.performance.steady_load --url URL --rate 220 --connections 8 --out FILE

Runs until SIGTERM. Each line of FILE is `start, seconds, status, model version, arm`; the status
is 0 where no answer came. Each connection sends its next request when its turn comes, or as soon as
the last answer is there when it is late.
"""

from __future__ import annotations

import argparse
import http.client
import signal
import threading
import time
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TextIO
from urllib.parse import urlsplit

import orjson

SPAM_EVERY = 5
ANSWER_SECONDS = 20.0


@dataclass(frozen=True)
class Answer:
    """One request: when it began (seconds since the epoch), how long it took, what came back."""

    start: float
    seconds: float
    status: int
    version: str
    arm: str

    @property
    def failed(self) -> bool:
        return self.status != http.client.OK


def answers(file: Path) -> list[Answer]:
    """All whole lines so far."""
    with file.open("rb") as lines:
        return [Answer(*orjson.loads(line)) for line in lines if line.endswith(b"\n")]


class Clients:
    """So many connections, each with its share of the rate."""

    def __init__(self, url: str, rate: float, connections: int, out: TextIO) -> None:
        parts = urlsplit(url)
        self._host, self._port, self._path = parts.hostname or "", parts.port or 80, parts.path
        self._pause_seconds = connections / rate
        self._connections = connections
        self._out = out
        self._numbers = count()
        self._lock = threading.Lock()
        self.stop = threading.Event()

    def run(self) -> None:
        threads = [
            threading.Thread(target=self._send, args=(number,))
            for number in range(self._connections)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _send(self, number: int) -> None:
        connection = http.client.HTTPConnection(self._host, self._port, timeout=ANSWER_SECONDS)
        turn = time.monotonic() + number * self._pause_seconds / self._connections
        while not self.stop.wait(max(0.0, turn - time.monotonic())):
            self._note(self._ask(connection))
            turn = max(turn + self._pause_seconds, time.monotonic() - self._pause_seconds)
        connection.close()

    def _ask(self, connection: http.client.HTTPConnection) -> Answer:
        number = next(self._numbers)
        text = "free" if number % SPAM_EVERY == 0 else "hello"
        event = {"event_id": f"steady-{number}", "text": text, "account": f"a{number}"}
        body = orjson.dumps({"instances": [event]})
        began, start = time.time(), time.monotonic()
        try:
            connection.request("POST", self._path, body, {"content-type": "application/json"})
            answer = connection.getresponse()
            answer.read()
        except (OSError, http.client.HTTPException):
            connection.close()
            return Answer(began, time.monotonic() - start, 0, "", "")
        version = answer.getheader("x-weir-model-version", "")
        arm = answer.getheader("x-weir-arm", "")
        return Answer(began, time.monotonic() - start, answer.status, version, arm)

    def _note(self, answer: Answer) -> None:
        line = orjson.dumps(
            [answer.start, answer.seconds, answer.status, answer.version, answer.arm]
        )
        with self._lock:
            self._out.write(line.decode() + "\n")
            self._out.flush()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", required=True)
    parser.add_argument("--rate", required=True, type=float)
    parser.add_argument("--connections", required=True, type=int)
    parser.add_argument("--out", required=True, type=Path)
    given = parser.parse_args()
    with given.out.open("a") as out:
        clients = Clients(given.url, given.rate, given.connections, out)
        signal.signal(signal.SIGTERM, lambda *_: clients.stop.set())
        clients.run()


if __name__ == "__main__":
    main()
