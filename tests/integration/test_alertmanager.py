"""A real Alertmanager with our routes, in front of the real receiver: what arrives in the inbox."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
import yaml
from sqlalchemy import Engine, select

from data_contracts.config import load_settings
from data_contracts.secrets import ALERTMANAGER_TOKEN, create_local_secrets, local_secrets
from pipelines.alert_inbox import ENTRIES
from pipelines.state import open_state
from serving.incidents.alert_receiver import application
from serving.incidents.alertmanager import PATH
from tests.amtool import CONFIGURATION, NEEDED, alertmanager
from tests.stand_ins.ports import free_port

pytestmark = pytest.mark.services
WAIT_SECONDS = 30.0
UNAVAILABLE = {"objective": "unavailable"}


@NEEDED
def test_alerts_reach_the_inbox_once_and_what_is_said_already_is_not_said_again(
    tmp_path: Path,
) -> None:
    with receiver(tmp_path) as (url, engine), running(tmp_path, url) as send:
        send(
            alert("WeirUnavailableFast", "page", **UNAVAILABLE),
            alert("WeirUnavailableSlow", "page", **UNAVAILABLE),
            alert("WeirUnavailableBudget", "ticket", **UNAVAILABLE),
            alert("WeirBreakerFlaps", "ticket", stage="ocr"),
        )
        found = waited(lambda: len(names(engine, "raised")) >= 2 and names(engine, "raised"))
        time.sleep(1.5)  # a group that is inhibited would have come by now
        assert set(names(engine, "raised")) == set(found)
        assert set(found) == {"WeirUnavailableFast", "WeirBreakerFlaps"}
        send(alert("WeirBreakerFlaps", "ticket", stage="ocr", over=True))
        waited(lambda: names(engine, "cleared"))


def alert(name: str, severity: str, over: bool = False, **labels: str) -> dict[str, Any]:
    """As Prometheus posts it."""
    ends = {"endsAt": datetime.now(UTC).isoformat()} if over else {}
    labelled = {"alertname": name, "severity": severity, **labels}
    return {"labels": labelled, "annotations": {"summary": "a summary"}, **ends}


def names(engine: Engine, kind: str) -> list[str]:
    with engine.connect() as connection:
        found = connection.execute(select(ENTRIES.c.alert, ENTRIES.c.fingerprint, ENTRIES.c.kind))
        return [row.alert.get("name", row.fingerprint) for row in found if row.kind == kind]


@contextmanager
def receiver(home: Path) -> Iterator[tuple[str, Engine]]:
    """The receiver of this home in a thread: its address, and the state database."""
    create_local_secrets(home)
    settings = load_settings({"WEIR_HOME": str(home)})
    port = free_port()
    server = uvicorn.Server(
        uvicorn.Config(application(settings), host="127.0.0.1", port=port, log_level="warning")
    )
    thread = threading.Thread(target=server.run)
    thread.start()
    engine = open_state(settings.state_url)
    try:
        waited(lambda: server.started)
        yield f"http://127.0.0.1:{port}", engine
    finally:
        server.should_exit = True
        thread.join(20)
        engine.dispose()


@contextmanager
def running(home: Path, receiver_url: str) -> Iterator[Callable[..., None]]:
    """Alertmanager on a free port; yields how Prometheus would post to it."""
    port = free_port()
    (home / "alertmanager.yaml").write_text(yaml.safe_dump(hurried(home, receiver_url)))
    with (home / "alertmanager.log").open("w") as log:
        process = subprocess.Popen(
            [alertmanager(), f"--config.file={home / 'alertmanager.yaml'}",
             f"--storage.path={home / 'data'}", f"--web.listen-address=127.0.0.1:{port}",
             "--cluster.listen-address="],
            stdout=log, stderr=log,
        )  # fmt: skip

    def is_ready() -> bool:
        assert process.poll() is None, (home / "alertmanager.log").read_text()
        try:
            return httpx.get(f"http://127.0.0.1:{port}/-/ready").status_code == 200
        except httpx.ConnectError:
            return False

    def send(*alerts: Mapping[str, Any]) -> None:
        answer = httpx.post(f"http://127.0.0.1:{port}/api/v2/alerts", json=list(alerts))
        assert answer.status_code == 200, answer.text

    try:
        waited(is_ready)
        yield send
    finally:
        process.terminate()
        process.wait(timeout=20)


def hurried(home: Path, receiver_url: str) -> dict[str, Any]:
    """Our file with this machine's address and token, waiting for less, and without mail."""
    content: dict[str, Any] = yaml.safe_load(CONFIGURATION.read_text())
    token = home / "token"
    token.write_text(local_secrets(home)[ALERTMANAGER_TOKEN])
    del content["global"]
    incidents, mailbox = content["receivers"]
    del mailbox["email_configs"]
    (hook,) = incidents["webhook_configs"]
    hook["url"] = receiver_url + PATH
    hook["http_config"]["authorization"]["credentials_file"] = str(token)
    for route in (content["route"], *content["route"]["routes"]):
        route |= {"group_wait": "1s", "group_interval": "1s"}
    return content


def waited(look: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(0.1)
    raise AssertionError(f"not within {WAIT_SECONDS:g} seconds")
