"""A real tracking server of Weir for tests: its own home, a free port, stopped at the end."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from data_contracts.config import PROJECT, Settings, load_settings
from data_contracts.secrets import create_local_secrets, local_secrets
from tests.healthy import wait_until_healthy
from tests.stand_ins.ports import free_port

START_SECONDS = 150


@dataclass(frozen=True)
class TrackingServer:
    """`environ` makes any command of Weir use this server."""

    process: subprocess.Popen[bytes]
    settings: Settings
    environ: dict[str, str]
    log: Path

    @property
    def uri(self) -> str:
        return self.settings.registry.tracking_uri


@contextmanager
def tracking_server(home: Path, **variables: str) -> Iterator[TrackingServer]:
    """Start it, wait for /health, stop it with SIGTERM.

    Approvals are reported to `approval.port`, a free one where `variables` has no other.
    """
    port, receiver_port = free_port(), variables.get("WEIR__APPROVAL__PORT", str(free_port()))
    environ = {
        "WEIR_HOME": str(home),
        "WEIR__APPROVAL__PORT": receiver_port,
        "WEIR__APPROVAL__WEBHOOK_URL": f"http://127.0.0.1:{receiver_port}/webhooks/mlflow",
        **variables,
        "WEIR__LOCAL__MLFLOW_PORT": str(port),
        "WEIR__REGISTRY__TRACKING_URI": f"http://127.0.0.1:{port}",
    }
    settings = load_settings(environ)
    create_local_secrets(settings.home)
    log = home / "tracking-server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "training", "tracking-server"],
            cwd=PROJECT,
            env={**os.environ, **environ},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    server = TrackingServer(process, settings, environ, log)
    try:
        wait_until_healthy(server.uri, process, log, START_SECONDS)
        yield server
    finally:
        _stop(server)


def _stop(server: TrackingServer) -> None:
    """One SIGTERM ends it with all it started; its log holds no secret."""
    server.process.send_signal(signal.SIGTERM)
    try:
        code = server.process.wait(30)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(server.process.pid, signal.SIGKILL)
    assert code in {0, -signal.SIGTERM}
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", server.settings.local.mlflow_port)) != 0
    log = server.log.read_text()
    assert not [name for name, value in local_secrets(server.settings.home).items() if value in log]
