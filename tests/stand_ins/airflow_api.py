"""Stands in for Airflow's REST API: signs in, keeps DAG runs by id, says 409 to a second of one."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PASSWORD = "only-starts-rollouts"
TOKEN = "stand-in-token"


@dataclass
class AirflowStandIn:
    """`runs`: id to conf, in the order of their start; `down` answers everything with 503."""

    url: str = ""
    runs: dict[str, dict[str, Any]] = field(default_factory=dict)
    states: dict[str, str] = field(default_factory=dict)
    down: bool = False
    tokens_given: int = 0


@contextmanager
def airflow_stand_in() -> Iterator[AirflowStandIn]:
    airflow = AirflowStandIn()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if airflow.down:
                self._answer(503, {})
            elif self.path == "/auth/token":
                known = body["password"] == PASSWORD
                airflow.tokens_given += known
                self._answer(201 if known else 401, {"access_token": TOKEN})
            elif self.headers["Authorization"] != f"Bearer {TOKEN}":
                self._answer(401, {})
            elif body["dag_run_id"] in airflow.runs:
                self._answer(409, {})
            else:
                airflow.runs[body["dag_run_id"]] = body["conf"]
                self._answer(200, {"state": "queued"})

        def do_GET(self) -> None:
            run_id = self.path.rpartition("/")[2]
            known = run_id in airflow.runs or run_id in airflow.states
            self._answer(200 if known else 404, {"state": airflow.states.get(run_id, "running")})

        def _answer(self, status: int, body: dict[str, Any]) -> None:
            content = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Tests read `runs`."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    airflow.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield airflow
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
