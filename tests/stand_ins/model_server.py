"""A small stand-in for a KServe model server: standard library only, up in a moment.

The model URI says how it behaves: words joined by commas, among `good`, `errors=SHARE` (500s),
`slow=MILLISECONDS`, `disagrees` (blocks everything), `dies=REQUESTS`, `never-ready`, `guarded`
(for who brings the token of WEIR_SERVING_TOKENS), and `live` (bad only in requests that clients
wait for, not in copies).
It writes decision records as a real server does, and answers with the arm and its version.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import threading
import time
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class Behaviour:
    def __init__(self, uri: str) -> None:
        words = dict((word.partition("=")[::2]) for word in uri.rpartition("/")[2].split(","))
        self.errors = float(words.get("errors", 0))
        self.slow_seconds = float(words.get("slow", 0)) / 1000
        self.disagrees = "disagrees" in words
        self.dies_after = int(words.get("dies", 0))
        self.ready = "never-ready" not in words
        self.only_live = "live" in words
        self.token = os.environ["WEIR_SERVING_TOKENS"] if "guarded" in words else None


class Server(ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = True

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.behaviour = Behaviour(arguments.model)
        self.version = arguments.version
        self.random = random.Random(7)
        self.answered = 0
        self.lock = threading.Lock()
        folder = Path(os.environ["WEIR_HOME"]) / "decisions"
        folder.mkdir(parents=True, exist_ok=True)
        self.decisions = (folder / f"slot-{arguments.slot}-{os.getpid()}.jsonl").open("ab")
        super().__init__(("127.0.0.1", arguments.port), Handler)

    def record(self, event_id: str, action: str, arm: str, milliseconds: float) -> None:
        verdict = {
            "event_id": event_id, "score": 0.5, "action": action, "reasons": [], "stages": [],
            "model_version": self.version, "threshold_version": "t1", "arm": arm, "revision": 0,
        }  # fmt: skip
        record = {
            "verdict": verdict, "event": {"event_id": event_id}, "mirrored": arm == "shadow",
            "decided_at": datetime.now(UTC).isoformat(), "milliseconds": milliseconds,
        }  # fmt: skip
        with self.lock:
            self.decisions.write(json.dumps(record).encode() + b"\n")
            self.decisions.flush()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # one packet an answer
    server: Server

    def do_GET(self) -> None:
        ready = self.server.behaviour.ready and self.path == "/v2/models/spam/ready"
        self.answer(200 if ready else 503, {"ready": ready})

    def do_POST(self) -> None:
        started = time.perf_counter()
        behaviour = self.server.behaviour
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        if behaviour.token and self.headers["authorization"] != f"Bearer {behaviour.token}":
            self.answer(401, {"error": "no token of ours"})
            return
        warm_up = self.headers["host"].startswith("warm-up")
        shadow = self.headers["host"].endswith("-shadow")
        arm = "shadow" if shadow else self.headers.get("x-weir-arm", "stable")
        bad = not warm_up and not (shadow and behaviour.only_live)
        with self.server.lock:
            self.server.answered += not warm_up
            failed = bad and self.server.random.random() < behaviour.errors
        if behaviour.dies_after and self.server.answered >= behaviour.dies_after:
            os._exit(9)
        time.sleep(behaviour.slow_seconds if bad else 0)
        if failed:
            self.answer(500, {"error": "the stand-in was told to fail"})
            return
        predictions = []
        for event in json.loads(body)["instances"]:
            spam = behaviour.disagrees or "free" in event["text"]
            action = "block" if spam else "allow"
            predictions.append({"event_id": event["event_id"], "action": action, "arm": arm})
            milliseconds = (time.perf_counter() - started) * 1000
            self.server.record(event["event_id"], action, arm, milliseconds)
        headers = {"x-weir-arm": arm, "x-weir-model-version": self.server.version}
        self.answer(200, {"predictions": predictions}, headers)

    def answer(self, status: int, content: object, headers: dict[str, str] | None = None) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        for name, value in {"content-type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def log_message(self, *_: object) -> None:
        return


def main() -> None:
    parser = argparse.ArgumentParser()
    for option in ("model", "slot", "version"):
        parser.add_argument(f"--{option}", required=True)
    parser.add_argument("--port", type=int, required=True)
    server = Server(parser.parse_args())
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    server.serve_forever(poll_interval=0.05)


if __name__ == "__main__":
    main()
