"""Airflow's settings and processes, and what its client says when nothing answers."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from data_contracts.config import PROJECT, Settings, load_settings
from data_contracts.errors import ConfigurationError, MissingPart, ServiceUnavailable
from data_contracts.secrets import create_local_secrets
from infra.local import airflow
from infra.local.airflow_client import AirflowClient


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    create_local_secrets(tmp_path)
    return load_settings({"WEIR_HOME": str(tmp_path), "WEIR__LOCAL__AIRFLOW_PORT": "18099"})


def test_everything_airflow_writes_is_under_the_home(settings: Settings) -> None:
    environment = airflow.environment(settings)
    written = ("AIRFLOW_HOME", "AIRFLOW__LOGGING__BASE_LOG_FOLDER", "AIRFLOW__CORE__PLUGINS_FOLDER")
    assert all(environment[name].startswith(str(settings.home)) for name in written)
    database = environment["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"]
    assert database == f"sqlite:///{settings.home}/airflow/airflow.db"
    assert environment["AIRFLOW__CORE__DAGS_FOLDER"] == str(PROJECT / "dags")


def test_another_database_is_named_by_its_url(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(airflow.DATABASE_URL, "postgresql://weir@db/airflow")
    environment = airflow.environment(settings)
    assert environment["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"] == "postgresql://weir@db/airflow"


def test_no_process_has_a_secret_in_its_arguments(settings: Settings) -> None:
    processes = airflow.processes(settings)
    assert [p.name for p in processes] == [
        "airflow-api-server",
        "airflow-dag-processor",
        "airflow-scheduler",
    ]
    secret = airflow.environment(settings)["AIRFLOW__API_AUTH__JWT_SECRET"]
    assert len(secret) >= 64
    assert all(secret not in argument for process in processes for argument in process.argv)
    assert (processes[0].port, processes[0].setting) == (18099, "local.airflow_port")


def test_without_secrets_the_remedy_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingPart, match="make setup"):
        airflow.environment(load_settings({"WEIR_HOME": str(tmp_path / "empty")}))


def test_a_schedule_is_a_cron_expression() -> None:
    name = "WEIR__ORCHESTRATION__SCHEDULES__HOURLY_MONITORING"
    assert load_settings({name: "*/5 * * * *"}).orchestration.schedules["hourly_monitoring"]
    with pytest.raises(ConfigurationError, match=r"orchestration\.schedules\.hourly_monitoring"):
        load_settings({name: "hourly"})


def test_a_client_says_when_airflow_does_not_answer() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        client = AirflowClient(url, "admin", "correct-horse")
        with pytest.raises(ServiceUnavailable, match=rf"{url} does not answer.*make up"):
            client.trigger("daily_ingest")
    assert "correct-horse" not in repr(client)


class Replies(BaseHTTPRequestHandler):
    """Answers each POST of a run with the next status of the server's list."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/auth/token":
            return self._reply(201, {"access_token": "t"})
        server: Any = self.server
        server.run_ids.append(json.loads(body)["dag_run_id"])
        return self._reply(server.statuses.pop(0), _run_record(server.run_ids[-1]))

    def do_GET(self) -> None:
        self._reply(200, _run_record(self.path.rpartition("/")[2]))

    def log_message(self, *arguments: object) -> None:
        """Quiet."""

    def _reply(self, status: int, body: dict[str, Any]) -> None:
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())


def _run_record(run_id: str) -> dict[str, Any]:
    now = "2026-01-05T00:00:00+00:00"
    return {"dag_id": "d", "dag_run_id": run_id, "state": "queued", "run_after": now}


@pytest.fixture
def airflow_replies() -> Iterator[Any]:
    server: Any = ThreadingHTTPServer(("127.0.0.1", 0), Replies)
    server.run_ids, server.statuses = [], []
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("statuses", [[200], [500, 200], [500, 409]])
def test_a_run_that_met_a_locked_database_is_started_once(
    airflow_replies: Any, statuses: list[int]
) -> None:
    airflow_replies.statuses = [*statuses]
    client = AirflowClient(f"http://127.0.0.1:{airflow_replies.server_port}", "admin", "p")
    run = client.trigger("d")
    assert airflow_replies.run_ids == [run.run_id] * len(statuses)


def test_a_server_that_only_fails_is_reported(airflow_replies: Any) -> None:
    airflow_replies.statuses = [500] * 9
    client = AirflowClient(f"http://127.0.0.1:{airflow_replies.server_port}", "admin", "p")
    with pytest.raises(ServiceUnavailable, match=r"500.*airflow-api-server"):
        client.trigger("d")
    assert len(airflow_replies.run_ids) == 4
