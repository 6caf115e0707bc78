"""Airflow on this machine: its settings, its processes, and a client of its REST API.

LocalExecutor on SQLite under `{home}/airflow`, or on the database that
`WEIR_AIRFLOW_DATABASE_URL` names. Everything listens on loopback. Nothing in Weir's DAGs is
deferrable, so there is no triggerer (it would cost 150 MB).
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import orjson

from data_contracts import secrets
from data_contracts.config import PROJECT, Settings
from data_contracts.errors import ServiceUnavailable
from data_contracts.files import write_atomically
from infra.local.process import Process

HOST = "127.0.0.1"
PYTHON = PROJECT / ".venv-airflow" / "bin" / "python"
DATABASE_URL = "WEIR_AIRFLOW_DATABASE_URL"
USERS = {"admin": "admin", "reviewer": "user", "approval": "user"}  # name: role
PARALLELISM = 4


def base_url(settings: Settings) -> str:
    return f"http://{HOST}:{settings.local.airflow_port}"


def environment(settings: Settings) -> dict[str, str]:
    """What every Airflow process needs beside the caller's environment."""
    home = settings.home / "airflow"
    return {
        "AIRFLOW_HOME": str(home),
        "PYTHONPATH": str(PROJECT),
        "WEIR_HOME": str(settings.home),
        "WEIR_ENV": settings.environment,
        **_sectioned("CORE", _core(settings, home)),
        **_sectioned("DATABASE", {"SQL_ALCHEMY_CONN": _database_url(home)}),
        **_sectioned("API", _api(settings)),
        **_sectioned(
            "API_AUTH", {"JWT_SECRET": secrets.secret(secrets.AIRFLOW_JWT_SECRET, settings.home)}
        ),
        # a task waits for the scheduler's next loop: idle for 0.5 s, not for a second
        **_sectioned("SCHEDULER", {"SCHEDULER_IDLE_SLEEP_TIME": "0.5"}),
        # Airflow learns that a task ended at its next heartbeat: after 1 s, not after 5.
        **_sectioned("WORKERS", {"MIN_HEARTBEAT_INTERVAL": "1", "MAX_FAILED_HEARTBEATS": "30"}),
        **_sectioned("DAG_PROCESSOR", {"MIN_FILE_PROCESS_INTERVAL": "120"}),
        **_sectioned("LOGGING", {"BASE_LOG_FOLDER": str(home / "logs")}),
    }


def prepare(settings: Settings) -> None:
    """Write the users' passwords and bring the database to Airflow's version; idempotent.

    Raises MissingPart where a secret is absent, ServiceUnavailable with the last lines of
    Airflow's own output where the migration fails.
    """
    known = {
        "admin": secrets.secret(secrets.AIRFLOW_ADMIN_PASSWORD, settings.home),
        "reviewer": secrets.secret(secrets.AIRFLOW_REVIEWER_PASSWORD, settings.home),
        "approval": secrets.secret(secrets.AIRFLOW_APPROVAL_PASSWORD, settings.home),
    }
    write_atomically(_passwords_file(settings), orjson.dumps(known), mode=0o600)
    done = subprocess.run(
        _command("db", "migrate"),
        cwd=PROJECT,
        env={**os.environ, **environment(settings)},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        last = "\n  ".join((done.stdout + done.stderr).splitlines()[-8:])
        raise ServiceUnavailable(
            f"airflow db migrate ended with exit code {done.returncode}:\n  {last}\n"
            f"Move {settings.home / 'airflow'} away to start with an empty database"
        )


def processes(settings: Settings) -> tuple[Process, ...]:
    """In the order of their start; `prepare` comes first."""
    shared = environment(settings)
    port = settings.local.airflow_port
    return (
        Process(
            name="airflow-api-server",
            argv=_command("api-server", "--host", HOST, "--port", str(port), "--workers", "1"),
            environment=shared,
            ready_url=f"{base_url(settings)}/api/v2/monitor/health",
            port=port,
            setting="local.airflow_port",
        ),
        Process(name="airflow-dag-processor", argv=_command("dag-processor"), environment=shared),
        Process(
            name="airflow-scheduler",
            # its log server would listen on all interfaces; the API reads the log files
            argv=_command("scheduler", "--skip-serve-logs"),
            environment=shared,
        ),
    )


def _command(*arguments: str) -> tuple[str, ...]:
    return (str(PYTHON), "-m", "airflow", *arguments)


def _core(settings: Settings, home: Path) -> dict[str, str]:
    return {
        "DAGS_FOLDER": str(PROJECT / "dags"),
        "PLUGINS_FOLDER": str(home / "plugins"),
        "EXECUTOR": "LocalExecutor",
        "PARALLELISM": str(PARALLELISM),
        "LOAD_EXAMPLES": "False",
        "DAGS_ARE_PAUSED_AT_CREATION": "False",
        "EXECUTION_API_SERVER_URL": f"{base_url(settings)}/execution/",
        "SIMPLE_AUTH_MANAGER_USERS": ",".join(f"{name}:{role}" for name, role in USERS.items()),
        "SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(_passwords_file(settings)),
    }


def _api(settings: Settings) -> dict[str, str]:
    return {
        "HOST": HOST,
        "PORT": str(settings.local.airflow_port),
        "WORKERS": "1",
        "BASE_URL": base_url(settings),
        "INSTANCE_NAME": "Weir",
    }


def _database_url(home: Path) -> str:
    return os.environ.get(DATABASE_URL) or f"sqlite:///{home}/airflow.db"


def _passwords_file(settings: Settings) -> Path:
    return settings.home / "airflow" / "passwords.json"


def _sectioned(section: str, values: dict[str, str]) -> dict[str, str]:
    return {f"AIRFLOW__{section}__{key}": value for key, value in values.items()}
