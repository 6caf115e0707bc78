"""The load of `bench-serving`: what it counts, against a server whose answers are known."""

from __future__ import annotations

import os
import socketserver
import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest

from tests.performance.http_load import generator
from tests.performance.http_shots import EVENT_ID, Heard, Load, post
from tests.performance.serving_latency import recovery_seconds

STALL_SECONDS = 0.5


class Stalls(socketserver.StreamRequestHandler):
    """Echoes the body; the request that says `stall` holds all others up."""

    turn = threading.Lock()

    def handle(self) -> None:
        while head := self.rfile.readline():
            length = 0
            while head.strip():
                name, _, value = head.partition(b":")
                length = int(value) if name == b"content-length" else length
                head = self.rfile.readline()
            body = self.rfile.read(length)
            with self.turn:
                time.sleep(STALL_SECONDS if body == b"stall" else 0.0)
            status, more = (b"200 OK", b"")
            if body == b"shed":
                status, more = b"503 Service Unavailable", b"x-envoy-ratelimited: true\r\n"
            self.wfile.write(b"HTTP/1.1 %s\r\n%scontent-length: %d\r\n\r\n%s"
                             % (status, more, len(body), body))  # fmt: skip


class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True


@pytest.fixture
def port() -> Iterator[int]:
    with Server(("127.0.0.1", 0), Stalls) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def test_closed_loop_keeps_the_answers_in_order_and_numbers_the_events(port: int) -> None:
    body = EVENT_ID.format(0).encode()
    with generator(os.sched_getaffinity(0)) as load:
        heard = load.closed(port, [post("/", body)] * 5, 2, first=7)
    assert heard.bodies == tuple(EVENT_ID.format(7 + at).encode() for at in range(5))
    assert heard.by_status() == {"200": 5}


def test_a_stall_counts_for_every_request_that_was_planned_meanwhile(port: int) -> None:
    stall, other, shed = (post("/", body) for body in (b"stall", b"x", b"shed"))
    times = np.array([0.0, 0.1, 0.2, 1.0])
    shots = Load(times, np.array([0, 1, 1, 2]), (stall, other, shed), ("a", "a", "b"))
    with generator(os.sched_getaffinity(0)) as load:
        _, pending = load.fire(port, shots, 1)
        heard = pending.get()
    assert heard.seconds[:3] == pytest.approx([0.5, 0.4, 0.3], abs=0.09)
    assert heard.deliberate.tolist() == [False, False, False, True]
    assert heard.of("b").by_status() == {"503": 1}
    assert heard.share() == 0.75


def test_a_connection_that_is_refused_is_no_answer() -> None:
    with Server(("127.0.0.1", 0), Stalls) as closed:
        port = closed.server_address[1]
    with generator(os.sched_getaffinity(0)) as load:
        heard = load.closed(port, [post("/", b"x")] * 3, 2)
    assert heard.by_status() == {"0": 3}


def test_quantiles_are_over_all_that_were_offered() -> None:
    heard = made([0.01, 0.02, np.nan, 0.03], [200, 200, 0, 503])
    assert heard.quantile(0.25) == 20
    assert heard.quantile(0.99) == np.inf
    assert heard.share(within_seconds=0.015) == 0.25


def test_recovery_ends_with_the_last_window_that_was_not_well() -> None:
    times, statuses = np.array([60.0, 60.6, 61.2, 61.7]), [200, 503, 200, 200]
    assert recovery_seconds(made([0.01] * 4, statuses, times)) == 1.0
    assert recovery_seconds(made([0.01] * 4, [200] * 4, times)) == 0.0
    assert recovery_seconds(made([0.01] * 4, [200, 200, 200, 503], times)) == np.inf


def made(seconds: list[float], statuses: list[int], times: object = None) -> Heard:
    n = len(seconds)
    planned = np.zeros(n) if times is None else np.asarray(times, float)
    return Heard(np.array(["a"] * n), planned, np.array(seconds), np.array(statuses),
                 np.zeros(n, bool), np.zeros(n), 0.1, 1.0)  # fmt: skip
