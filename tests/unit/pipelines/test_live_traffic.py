"""The load generator counts what a client would have seen, and ends cleanly."""

from __future__ import annotations

import argparse
import http.server
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest

from data_contracts.config import PROJECT, Settings, load_settings
from data_contracts.errors import BadInput, ServiceUnavailable
from pipelines import landing
from pipelines.simulation.live_traffic import prepared_requests, run


class Gateway(http.server.BaseHTTPRequestHandler):
    """Answers by the event's text: a verdict, an error, or nonsense."""

    protocol_version = "HTTP/1.1"
    delay_seconds = 0.0
    asked = threading.Event()

    def do_POST(self) -> None:
        self.asked.set()
        event = orjson.loads(self.rfile.read(int(self.headers["content-length"])))["instances"][0]
        time.sleep(self.delay_seconds)
        verdict = {"event_id": event["event_id"], "score": 0.5, "action": "allow"}
        answers: dict[str, tuple[int, Any]] = {
            "fail": (503, {"error": "no model"}),
            "nonsense": (200, {"predictions": []}),
            "other": (200, {"predictions": [{**verdict, "event_id": "x"}]}),
        }
        status, body = answers.get(event["text"], (200, {"predictions": [verdict]}))
        encoded = orjson.dumps(body)
        self.send_response(status)
        self.send_header("content-length", str(len(encoded)))
        self.send_header("x-weir-arm", "stable")
        self.send_header("x-weir-model-version", "3")
        self.end_headers()
        self.wfile.write(encoded)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        return


@contextmanager
def gateway(delay_seconds: float = 0.0) -> Iterator[int]:
    handler = type("Delayed", (Gateway,), {"delay_seconds": delay_seconds})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def settings_at(home: Path, port: int) -> Settings:
    return load_settings({"WEIR_HOME": str(home), "WEIR__SERVING__GATEWAY_PORT": str(port)})


def land(home: Path, *texts: str) -> None:
    lines = [
        orjson.dumps(
            {"event_id": f"e{at}", "text": text, "occurred_at": f"2026-01-05T{at:02d}:00:00Z"}
        )
        for at, text in enumerate(texts)
    ]
    path = landing.folder(home, "2026-01-05") / "set_a.jsonl"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"\n".join(lines))


def arguments(**fields: Any) -> argparse.Namespace:
    known = {"days": "all", "rate": 50.0, "duration": 0.5, "report": None}
    return argparse.Namespace(**{**known, **fields})


def test_every_answer_that_is_no_verdict_counts_as_failed(tmp_path: Path) -> None:
    land(tmp_path, "fine", "fail", "nonsense", "other", "fine")
    report_file = tmp_path / "report.json"
    with gateway() as port:
        report = run(arguments(duration=1.0, report=report_file), settings_at(tmp_path, port))
    sent = [at % 5 for at in range(report["requests"])]  # a busy machine sends fewer than 50
    assert 5 <= len(sent) <= 50
    assert report["failure_kinds"] == {
        "status 503": sent.count(1),
        "malformed": sent.count(2) + sent.count(3),
    }
    assert report["failed"] == sum(report["failure_kinds"].values())
    assert {failure["event_id"] for failure in report["failures"]} == {"e1", "e2", "e3"}
    assert report["arms"] == {"stable": sent.count(0) + sent.count(4)}
    assert list(report["model_versions"]) == ["3"]
    assert 0 < report["latency_ms"]["p50"] <= report["latency_ms"]["p99"]
    assert orjson.loads(report_file.read_bytes()) == report


def test_a_gateway_that_does_not_answer_is_reported_with_the_remedy(tmp_path: Path) -> None:
    land(tmp_path, "fine")
    with gateway() as port:
        pass
    report = tmp_path / "report.json"
    with pytest.raises(ServiceUnavailable, match=r"all 5 requests .* failed .*`make up`"):
        run(arguments(duration=0.1, report=report), settings_at(tmp_path, port))
    assert orjson.loads(report.read_bytes())["failed"] == 5


def test_a_termination_lets_requests_in_flight_finish_and_writes_the_report(
    tmp_path: Path,
) -> None:
    land(tmp_path, "fine")
    report_file = tmp_path / "report.json"
    Gateway.asked.clear()
    with gateway(delay_seconds=0.3) as port:
        command = ["drive", "--rate", "20", "--report", str(report_file)]
        environment = {
            **os.environ, "WEIR_HOME": str(tmp_path), "WEIR__SERVING__GATEWAY_PORT": str(port)
        }  # fmt: skip
        process = subprocess.Popen(
            [sys.executable, "-m", "pipelines", *command],
            cwd=PROJECT, env=environment, stdout=subprocess.PIPE,
        )  # fmt: skip
        assert Gateway.asked.wait(60)
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=20)
    assert process.returncode == 0
    report = orjson.loads(output)
    assert report == orjson.loads(report_file.read_bytes())
    assert report["requests"] == sum(report["arms"].values()) > 0
    assert report["failed"] == 0


def test_events_are_sent_in_order_of_time_and_broken_lines_are_left_out(tmp_path: Path) -> None:
    land(tmp_path, "first", "second")
    folder = landing.folder(tmp_path, "2026-01-05")
    (folder / "set_b.jsonl").write_text(
        '{"event_id": "b", "text": "t", "occurred_at": "2026-01-05T00:30:00Z"}\nbroken\n[]\n'
    )
    items = prepared_requests(settings_at(tmp_path, 1), ["2026-01-05"])
    assert [item.event_id for item in items] == ["e0", "b", "e1"]
    assert orjson.loads(items[0].body)["instances"][0]["text"] == "first"


def test_a_rate_or_range_that_makes_no_sense_is_refused(tmp_path: Path) -> None:
    settings = settings_at(tmp_path, 1)
    with pytest.raises(BadInput, match="--rate 0 is not between"):
        run(arguments(rate=0), settings)
    with pytest.raises(BadInput, match=r"'soon' is no range; write A\.\.B"):
        run(arguments(days="soon"), settings)
    with pytest.raises(BadInput, match="it has no days at all"):
        run(arguments(), settings)
