"""Evidently's workspace: figures over time, bounded in number, served offline for reading."""

from __future__ import annotations

import os
import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from data_contracts.errors import ConfigurationError
from evaluation.monitoring import evidently_workspace
from evaluation.monitoring.evidently_workspace import (
    NO_TELEMETRY,
    QUALITY,
    add_figures,
    reads_only,
    served,
)

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)
HOST = {"host": "127.0.0.1:8607"}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five hours of figures, of which three are kept."""
    home = tmp_path_factory.mktemp("weir")
    for hour in range(5):
        figures = {"precision": 0.9 + hour / 100, "recall": 0.7}
        assert add_figures(home, QUALITY, figures, NOW + timedelta(hours=hour), kept_runs=3)
    return home


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Whatever this process wants to connect to, which it then cannot."""
    wanted: list[object] = []

    def refuse(_socket: socket.socket, address: object) -> None:
        wanted.append(address)
        raise OSError("there is no network here")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    return wanted


def _project(client: TestClient) -> dict[str, Any]:
    (project,) = client.get("/api/projects", headers=HOST).json()
    return dict(project)


def test_figures_of_hours_are_one_project_of_which_the_newest_runs_are_kept(home: Path) -> None:
    workspace = evidently_workspace._workspace(home)
    (project,) = workspace.list_projects()
    assert project.name == QUALITY
    runs = [workspace.get_run(project.id, one) for one in workspace.list_runs(project.id)]
    moments = sorted(run.timestamp.replace(tzinfo=UTC) for run in runs)
    assert moments == [NOW + timedelta(hours=hour) for hour in (2, 3, 4)]
    panels = [panel.title for panel in project.dashboard.model().panels]
    assert panels == ["precision", "recall"], "one plot a figure, however many hours"
    assert add_figures(home, QUALITY, {}, NOW) is None


def test_it_is_served_without_a_network_and_says_nothing_to_its_maker(
    home: Path, no_network: list[object]
) -> None:
    with TestClient(served(home, "127.0.0.1")) as client:
        assert "<html" in client.get("/", headers=HOST).text
        project = _project(client)
        assert project["name"] == QUALITY
        listed = client.get(f"/api/v2/snapshots/{project['id']}/metadata", headers=HOST)
        assert listed.status_code in (200, 404), listed.text
    assert os.environ[NO_TELEMETRY] == "1"
    assert no_network == []


def test_it_is_served_for_reading_and_by_a_name_of_loopback_only(home: Path) -> None:
    with TestClient(served(home, "127.0.0.1")) as client:
        path = f"/api/projects/{_project(client)['id']}"
        assert client.delete(path, headers=HOST).status_code == 405
        assert client.post("/api/projects", json={"name": "x"}, headers=HOST).status_code == 405
        assert client.get("/api/projects", headers={"host": "elsewhere.example"}).status_code == 421
        assert _project(client)["name"] == QUALITY
    with pytest.raises(ConfigurationError, match="knows no users"):
        served(home, "0.0.0.0")  # noqa: S104


def test_the_question_that_its_page_posts_is_let_through() -> None:
    seen: list[str] = []

    async def application(scope: Any, _receive: Any, send: Any) -> None:
        seen.append(scope["path"])
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    client = TestClient(reads_only(application))
    asked = "/api/v2/snapshots/b39b60a0-cde6/data_series_batch"
    assert client.post(asked, headers=HOST).status_code == 200
    assert client.post(f"{asked}/more", headers=HOST).status_code == 405
    assert client.post(asked, headers={"host": "a.example"}).status_code == 421
    assert client.get("/health", headers={"host": "a.example"}).text == "ok"
    assert seen == [asked]
