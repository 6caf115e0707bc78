"""Stands in for the platform that enforces Weir's verdicts: an HTTP server that undoes actions.

An emulator: it checks the signature, ignores an id that it knows, and remembers what it was told.
"""

from __future__ import annotations

import hmac
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import orjson

from serving.webhook_signature import signature


@dataclass
class PlatformEmulator:
    """`deliveries` counts every signed call; `undone` has one entry an id."""

    key: str
    url: str = ""
    deliveries: int = 0
    refused: int = 0
    undone: dict[str, dict[str, Any]] = field(default_factory=dict)
    heard: threading.Condition = field(default_factory=threading.Condition)

    def take(self, headers: dict[str, str], body: bytes) -> int:
        """The HTTP status."""
        told, stamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
        expected = signature(self.key, told, stamp, body)
        with self.heard:
            if not hmac.compare_digest(headers.get("webhook-signature", ""), expected):
                self.refused += 1
                return 401
            self.deliveries += 1
            self.undone.setdefault(told, orjson.loads(body)["data"])
            self.heard.notify_all()
        return 204

    def wait_for(self, deliveries: int, seconds: float) -> bool:
        """Whether it was told that often, within the time."""
        with self.heard:
            return self.heard.wait_for(lambda: self.deliveries >= deliveries, seconds)


@contextmanager
def platform_emulator(key: str) -> Iterator[PlatformEmulator]:
    """On a free port of loopback."""
    emulator = PlatformEmulator(key)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            self.send_response(emulator.take(headers, body))
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    emulator.url = f"http://127.0.0.1:{server.server_port}/weir/reversals"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield emulator
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
