"""A server that answers every prediction with its own name and the headers it was sent."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class EchoServer(ThreadingHTTPServer):
    """`status`, `headers` and `seconds` say how predictions are answered; `/ready` always is."""

    request_queue_size = 512
    daemon_threads = True

    def __init__(self, name: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.name = name
        self.status = 200
        self.headers: dict[str, str] = {}
        self.seconds = 0.0
        self.hosts: list[str] = []

    @property
    def port(self) -> int:
        return int(self.server_address[1])


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # one packet an answer
    server: EchoServer

    def do_GET(self) -> None:
        self._answer(200, {}, {})

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", 0)))
        echo = self.server
        echo.hosts.append(self.headers["host"])
        time.sleep(echo.seconds)
        seen = {name.lower(): value for name, value in self.headers.items()}
        self._answer(echo.status, {"server": echo.name, "headers": seen}, echo.headers)

    def _answer(self, status: int, content: object, headers: dict[str, str]) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        for name, value in {"content-length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def log_message(self, *_: object) -> None:
        return


@contextmanager
def echo_server(name: str) -> Iterator[EchoServer]:
    server = EchoServer(name)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
