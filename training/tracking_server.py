"""`python -m training tracking-server`: MLflow with authentication, in this one process.

SQLite or PostgreSQL holds its tables, `{home}/mlflow/artifacts` its files, which the server
itself serves: clients need HTTP and a password, nothing else.
"""

from __future__ import annotations

import argparse
import base64
import hmac
import os
import socket
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import psutil
from sqlalchemy import make_url

from data_contracts.config import Settings
from data_contracts.errors import ConfigurationError
from data_contracts.files import write_atomically
from data_contracts.secrets import (
    MLFLOW_ADMIN_PASSWORD,
    MLFLOW_FLASK_SECRET,
    MLFLOW_READER_PASSWORD,
    MLFLOW_REVIEWER_PASSWORD,
    MLFLOW_TRAINER_PASSWORD,
    MLFLOW_WEBHOOK_SECRET,
    secret,
)
from pipelines import audit_trail
from pipelines.state import open_state

GRACE_SECONDS = 5
_AUTHENTICATION = """[mlflow]
default_permission = READ
database_uri = {database}
admin_username = admin
authorization_function = mlflow.server.auth:authenticate_request_basic_auth
auth_cache_ttl_seconds = 300
"""


def serve(arguments: argparse.Namespace, settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT. Raises ConfigurationError for a busy port, before anything."""
    port = arguments.port or settings.local.mlflow_port
    check_port(arguments.host, port)
    passwords = _passwords(settings.home)
    folder = settings.home / "mlflow"
    folder.mkdir(parents=True, exist_ok=True)
    os.environ.update(_environment(settings, folder, passwords["admin"]))
    trail = open_state(settings.state_url)
    audit_trail.prepare(trail)

    # MLflow reads its environment when it is imported
    import uvicorn

    from training.approval import Rules
    from training.approval_recorder import ApprovalGuard, ApprovalRecorder
    from training.mlflow_application import create_app

    registry = settings.registry
    guard = ApprovalGuard(trail, Rules.of(registry), _now)
    recorder = ApprovalRecorder(trail, registry.experiment, _now)
    app = create_app(
        guard, recorder, passwords, registry.model_name, backend_url(settings), _webhook(settings)
    )
    print(f"MLflow: http://{arguments.host}:{port} (users {', '.join(passwords)})", flush=True)
    uvicorn.run(
        app, host=arguments.host, port=port, log_level="warning",
        timeout_graceful_shutdown=GRACE_SECONDS,
    )  # fmt: skip


def check_port(host: str, port: int) -> None:
    """Raise ConfigurationError that names the port, who holds it and the setting that moves it."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise ConfigurationError(
                f"port {port} on {host} cannot be used ({error.strerror}): {_holder(port)} holds "
                "it; stop that, or set local.mlflow_port (WEIR__LOCAL__MLFLOW_PORT) and "
                "registry.tracking_uri (WEIR__REGISTRY__TRACKING_URI) to a free one"
            ) from None


def backend_url(settings: Settings) -> str:
    """The tracking server's database."""
    return settings.registry.backend_url.replace("{home}", str(settings.home))


def _environment(settings: Settings, folder: Path, admin_password: str) -> dict[str, str]:
    """What MLflow's server reads. Jobs, telemetry and the assistant stay off."""
    backend = backend_url(settings)
    configuration = folder / "authentication.ini"
    content = _AUTHENTICATION.format(database=_users_url(backend).replace("%", "%%"))
    write_atomically(configuration, content.encode(), mode=0o600)
    flask_secret = secret(MLFLOW_FLASK_SECRET, settings.home)
    return {
        **_webhook_environment(settings, flask_secret),
        "MLFLOW_AUTH_CONFIG_PATH": str(configuration),
        "MLFLOW_AUTH_ADMIN_PASSWORD": admin_password,
        "MLFLOW_FLASK_SERVER_SECRET_KEY": flask_secret,
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_LOGGING_LEVEL": "ERROR",
        "_MLFLOW_SERVER_FILE_STORE": backend,
        "_MLFLOW_SERVER_REGISTRY_STORE": backend,
        "_MLFLOW_SERVER_ARTIFACT_ROOT": "mlflow-artifacts:/",
        "_MLFLOW_SERVER_ARTIFACT_DESTINATION": str(folder / "artifacts"),
        "_MLFLOW_SERVER_SERVE_ARTIFACTS": "true",
        "_MLFLOW_SGI_NAME": "uvicorn",
    }


def _webhook_environment(settings: Settings, flask_secret: str) -> dict[str, str]:
    """MLflow may call Weir's receiver, which is on this machine or in this cluster.

    Its guard against private addresses is off, for only `admin` can make webhooks. Their secrets
    are at rest under a key of the server's own, or every restart would lose them.
    """
    url = settings.approval.webhook_url
    scheme = urlsplit(url).scheme if url else "https"
    key = hmac.digest(flask_secret.encode(), b"weir: webhook secrets at rest", "sha256")
    return {
        "MLFLOW_WEBHOOK_ALLOWED_SCHEMES": scheme,
        "MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS": "true" if url else "false",
        "MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY": base64.urlsafe_b64encode(key).decode(),
    }


def _webhook(settings: Settings) -> tuple[str, str] | None:
    """Where approvals are reported, and the secret that signs them."""
    url = settings.approval.webhook_url
    return (url, secret(MLFLOW_WEBHOOK_SECRET, settings.home)) if url else None


def _now() -> datetime:
    return datetime.now(UTC)


def _users_url(backend: str) -> str:
    """MLflow keeps users apart: a file beside SQLite's, tables of their own in PostgreSQL."""
    url = make_url(backend)
    if url.get_backend_name() != "sqlite" or url.database is None:
        return backend
    users = str(Path(url.database).with_name("users.sqlite"))
    return url.set(database=users).render_as_string(hide_password=False)


def _passwords(home: Path) -> dict[str, str]:
    return {
        "admin": secret(MLFLOW_ADMIN_PASSWORD, home),
        "trainer": secret(MLFLOW_TRAINER_PASSWORD, home),
        "reviewer": secret(MLFLOW_REVIEWER_PASSWORD, home),
        "reader": secret(MLFLOW_READER_PASSWORD, home),
    }


def _holder(port: int) -> str:
    try:
        for connection in psutil.net_connections("tcp"):
            if connection.laddr and connection.laddr.port == port and connection.pid:
                return f"{psutil.Process(connection.pid).name()} (pid {connection.pid})"
    except psutil.Error:
        pass
    return "another program"
