"""Clients of the game day: real messages over kept-alive connections, never retried, all noted.

    python -m tests.performance.game_day_traffic --url URL --pool FILE --control FILE --out FILE
                                                 --interval SECONDS --seed N

What is sent is read from the control file (JSON) twice a second: `rate` (requests a second),
`campaign` and `other` (shares of requests from the campaign and from ordinary messages of another
source), `ham_only` (no spam), `context` ({field: factor, or null to leave it out}). Rate and share
of spam vary from interval to interval more than by chance, as those of the quiet weeks do, unless
`steady`. Each line of OUT is a `Sent`.
"""

from __future__ import annotations

import argparse
import http.client
import os
import signal
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple, TextIO
from urllib.parse import urlsplit

import numpy as np
import orjson

CONNECTIONS, ANSWER_SECONDS, LOOK_SECONDS = 12, 20.0, 0.5
DISPERSION, PRECISION, SPAM_SHARE = 40.0, 600.0, 0.15
BULK_EVERY = 5  # every fifth request may wait: what shedding turns away first
LATEST_BYTES = 256 * 1024  # some two thousand answers
KINDS = ("spam", "ham", "campaign", "other")


class Sent(NamedTuple):
    """One request and what was answered; `status` 0 where nothing was."""

    start: float
    seconds: float
    status: int
    action: str
    kind: str
    is_spam: bool
    version: str
    dataset: str
    is_bulk: bool


@dataclass(frozen=True)
class Control:
    """What is to be sent now."""

    rate: float = 25.0
    campaign: float = 0.0
    other: float = 0.0
    ham_only: bool = False
    steady: bool = False
    context: Mapping[str, float | None] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> Control:
        return cls(**orjson.loads(path.read_bytes()))


def latest_answers(file: Path, most_bytes: int = LATEST_BYTES) -> list[Sent]:
    """The whole lines of the end of the file."""
    with file.open("rb") as lines:
        size = lines.seek(0, os.SEEK_END)
        lines.seek(max(0, size - most_bytes))
        if size > most_bytes:
            lines.readline()
        return [Sent(*orjson.loads(line)) for line in lines if line.endswith(b"\n")]


def changed(event: dict[str, Any], context: Mapping[str, float | None]) -> dict[str, Any]:
    """The event as a producer sends it that broke some fields.

    >>> changed({"context": {"a": 2.0, "b": 3.0}}, {"a": None, "b": 0.5})
    {'context': {'b': 1.5}}
    """
    kept = {
        name: value * factor if (factor := context.get(name, 1.0)) not in (None, 1.0) else value
        for name, value in event["context"].items()
        if context.get(name, 1.0) is not None
    }
    return {**event, "context": kept}


class Clients:
    """A fixed number of connections that share the rate."""

    def __init__(
        self, url: str, pool: Mapping[str, list[dict[str, Any]]], control: Path, out: TextIO,
        interval: float, seed: int,
    ) -> None:  # fmt: skip
        parts = urlsplit(url)
        self._host, self._port, self._path = parts.hostname or "", parts.port or 80, parts.path
        self._pool, self._control, self._out = pool, control, out
        self._interval, self._rng = interval, np.random.default_rng(seed)
        self._now = Control.read(control)
        self._busy, self._spam = 1.0, SPAM_SHARE
        self._numbers, self._lock = count(), threading.Lock()
        self.stop = threading.Event()

    def run(self) -> None:
        threads = [threading.Thread(target=self._send, args=(n,)) for n in range(CONNECTIONS)]
        threads.append(threading.Thread(target=self._look))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _look(self) -> None:
        redraw = 0.0
        while not self.stop.wait(LOOK_SECONDS):
            self._now = Control.read(self._control)
            if self._now.steady:
                self._busy, self._spam = 1.0, SPAM_SHARE
            elif time.monotonic() >= redraw:
                redraw = time.monotonic() + self._interval
                with self._lock:
                    self._busy = self._rng.gamma(DISPERSION) / DISPERSION
                    a, b = PRECISION * SPAM_SHARE, PRECISION * (1 - SPAM_SHARE)
                    self._spam = self._rng.beta(a, b)

    def _send(self, number: int) -> None:
        connection = http.client.HTTPConnection(self._host, self._port, timeout=ANSWER_SECONDS)
        turn = time.monotonic() + number / self._now.rate
        while not self.stop.wait(max(0.0, turn - time.monotonic())):
            self._note(self._ask(connection))
            pause = CONNECTIONS / (self._now.rate * self._busy)
            turn = max(turn + pause, time.monotonic() - pause)
        connection.close()

    def _drawn(self) -> tuple[str, dict[str, Any], int]:
        now = self._now
        with self._lock:
            number, dice, which = next(self._numbers), self._rng.random(2), self._rng.random()
        kind = "ham"
        if dice[0] < now.campaign:
            kind = "campaign"
        elif dice[0] < now.campaign + now.other:
            kind = "other"
        elif dice[1] < self._spam and not now.ham_only:
            kind = "spam"
        rows = self._pool[kind]
        return kind, rows[int(which * len(rows))], number

    def _ask(self, connection: http.client.HTTPConnection) -> Sent:
        kind, row, number = self._drawn()
        event = changed(row["event"], self._now.context)
        at = datetime.now(UTC).isoformat()
        event |= {"event_id": f"{event['event_id']}-{number}", "occurred_at": at}
        headers = {"content-type": "application/json"}
        bulk = number % BULK_EVERY == 0
        if bulk:
            headers["x-weir-priority"] = "bulk"
        began, start = time.time(), time.monotonic()
        status, action, version = 0, "", ""
        try:
            connection.request("POST", self._path, orjson.dumps({"instances": [event]}), headers)
            answer = connection.getresponse()
            body, status = answer.read(), answer.status
            version = answer.getheader("x-weir-model-version", "")
            if status == http.client.OK:
                action = orjson.loads(body)["predictions"][0]["action"]
        except (OSError, http.client.HTTPException):
            connection.close()
        seconds = time.monotonic() - start
        return Sent(
            began, seconds, status, action, kind, row["is_spam"], version, row["dataset"], bulk
        )

    def _note(self, sent: Sent) -> None:
        line = orjson.dumps(list(sent)).decode()
        with self._lock:
            self._out.write(line + "\n")
            self._out.flush()


def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("--pool", "--control", "--out"):
        parser.add_argument(name, required=True, type=Path)
    parser.add_argument("--url", required=True)
    parser.add_argument("--interval", required=True, type=float)
    parser.add_argument("--seed", required=True, type=int)
    given = parser.parse_args()
    pool: dict[str, list[dict[str, Any]]] = {kind: [] for kind in KINDS}
    for line in given.pool.read_bytes().splitlines():
        row = orjson.loads(line)
        pool[row["kind"]].append(row)
    with given.out.open("a") as out:
        clients = Clients(given.url, pool, given.control, out, given.interval, given.seed)
        signal.signal(signal.SIGTERM, lambda *_: clients.stop.set())
        clients.run()


if __name__ == "__main__":
    main()
