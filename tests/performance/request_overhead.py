"""What a request costs beside its stages: a real server, whose model does nothing, is asked."""

from __future__ import annotations

import multiprocessing
import socket
from collections.abc import Sequence
from http.client import HTTPConnection

import psutil

from data_contracts.config import Settings
from data_contracts.events import Event
from data_contracts.verdicts import Assessment

REQUESTS = 4000


def overhead_milliseconds(settings: Settings) -> float:
    """CPU of a request to a real server whose model does nothing, over one open connection."""
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    server = multiprocessing.get_context("fork").Process(
        target=_serve_nothing, args=(listener, settings)
    )
    server.start()
    listener.close()
    try:
        connection = HTTPConnection("127.0.0.1", port, timeout=60)
        _ask(connection, settings, REQUESTS // 10)
        before = psutil.Process(server.pid).cpu_times()
        _ask(connection, settings, REQUESTS)
        after = psutil.Process(server.pid).cpu_times()
        connection.close()
    finally:
        server.terminate()
        server.join(30)
    spent = after.user + after.system - before.user - before.system
    return float(1000 * spent / REQUESTS)


def _ask(connection: HTTPConnection, settings: Settings, times: int) -> None:
    body = b'{"instances":[{"event_id":"e1","text":"shall we meet at nine tomorrow?"}]}'
    path = f"/v1/models/{settings.serving.model_name}:predict"
    for _ in range(times):
        connection.request("POST", path, body, {"content-type": "application/json"})
        answer = connection.getresponse()
        content = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"{answer.status} {content[:80]!r}; the overhead is not measured")


class _Nothing:
    """An assessor that costs nothing."""

    def assess(self, events: Sequence[Event], **_options: object) -> list[Assessment]:
        return [Assessment(0.01, "allow", ("clear_ham",), ()) for _ in events]


def _serve_nothing(listener: socket.socket, settings: Settings) -> None:
    from serving.cascade import Cascade
    from serving.server import serve_cascade

    serve_cascade(Cascade(_Nothing(), "nothing", "nothing"), listener, "overhead", settings)
