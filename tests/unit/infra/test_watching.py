"""What watches the local stack: Prometheus and Alertmanager take their files, targets are found."""

from __future__ import annotations

import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml
from starlette.testclient import TestClient

from data_contracts.config import Settings, load_settings
from data_contracts.secrets import create_local_secrets
from infra.local import watching
from serving.platform_metrics.command import application, model_servers
from serving.platform_metrics.watching import Watching


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    create_local_secrets(tmp_path)
    return load_settings({"WEIR_HOME": str(tmp_path)})


@pytest.mark.parametrize(
    ("program", "arguments", "file"),
    [
        ("promtool", ("check", "config"), watching.PROMETHEUS),
        ("amtool", ("check-config",), watching.ALERTMANAGER),
    ],
)
def test_their_own_tools_accept_what_is_written(
    settings: Settings, program: str, arguments: tuple[str, ...], file: str
) -> None:
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
    watching.prepare(settings)
    written = settings.home / "watching" / f"{file}.yaml"
    done = subprocess.run(
        (program, *arguments, str(written)), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_reaches_incident_response_and_nothing_is_mailed(settings: Settings) -> None:
    shipped = yaml.safe_load(watching.ROUTES.read_text())
    routes = watching.alertmanager(settings, shipped)
    (receiver,) = routes["receivers"]
    assert receiver["webhook_configs"][0]["url"] == "http://127.0.0.1:8606/webhooks/alertmanager"
    assert {
        routes["route"]["receiver"],
        *(one["receiver"] for one in routes["route"]["routes"]),
    } == {"incidents"}
    assert routes["inhibit_rules"] == shipped["inhibit_rules"]


def test_the_token_of_alertmanager_is_for_its_owner_only(settings: Settings) -> None:
    watching.prepare(settings)
    assert (settings.home / "watching" / "token").stat().st_mode & 0o077 == 0


def test_prometheus_finds_the_model_servers_that_are_deployed(settings: Settings) -> None:
    watched = Watching({}, lambda: datetime.now(UTC), lambda _line: None)
    none = TestClient(application(watched, 15, model_servers(settings)))
    assert none.get("/targets").json() == [{"targets": []}]
    two = TestClient(application(watched, 15, lambda: ["127.0.0.1:8610", "127.0.0.1:8611"]))
    assert two.get("/targets").json() == [{"targets": ["127.0.0.1:8610", "127.0.0.1:8611"]}]


def test_every_service_has_a_port_of_its_own(settings: Settings) -> None:
    ports = [one.port for one in watching.processes(settings) if one.port is not None]
    assert len(ports) == len(set(ports)) >= 4


def test_what_is_not_installed_is_said(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    assert watching.missing() == ["prometheus", "prometheus-alertmanager"]
    names = [one.name for one in watching.processes(settings)]
    assert "prometheus" not in names
    assert "incidents" in names


@pytest.mark.parametrize("given", [None, "http://airflow.example:8080"])
def test_incident_response_asks_the_local_airflow_unless_another_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str | None
) -> None:
    monkeypatch.delenv(watching.AIRFLOW_URL, raising=False)
    if given:
        monkeypatch.setenv(watching.AIRFLOW_URL, given)
    settings = load_settings({"WEIR_HOME": str(tmp_path), "WEIR__LOCAL__AIRFLOW_PORT": "18580"})
    (responder,) = [one for one in watching.processes(settings) if one.name == "incidents"]
    asked = {watching.AIRFLOW_URL: given or "http://127.0.0.1:18580"}
    assert dict(responder.environment) == asked
