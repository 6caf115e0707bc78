"""Airflow's environment, seen from the platform's tests: a home, a stand-in platform, a probe."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from data_contracts.config import PROJECT, Settings, load_settings
from data_contracts.secrets import create_local_secrets
from infra.local import airflow
from tests.stand_ins.airflow import platform_stand_in

PROBE = Path(__file__).with_name("airflow_probe.py")


@pytest.fixture(scope="session")
def airflow_python() -> Path:
    """Skips, naming it, where Airflow's environment is not installed."""
    if not airflow.PYTHON.exists():
        pytest.skip(f"{airflow.PYTHON} is missing (dags/requirements.txt): run `make setup`")
    return airflow.PYTHON


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("dags-home")


@pytest.fixture(scope="session")
def settings(home: Path) -> Settings:
    create_local_secrets(home)
    stand_in = platform_stand_in(home)
    return load_settings(
        {"WEIR_HOME": str(home), "WEIR__ORCHESTRATION__PLATFORM_PYTHON": str(stand_in)}
    )


@pytest.fixture(scope="session")
def probe(airflow_python: Path, settings: Settings) -> dict[str, Any]:
    """What Airflow itself says about the DAGs and the operator; one process for all tests."""
    python = str(settings.orchestration.platform_python)
    own = {"WEIR__ORCHESTRATION__PLATFORM_PYTHON": python, **airflow.environment(settings)}
    output = settings.home / "probe.json"
    done = subprocess.run(
        [str(airflow_python), str(PROBE), str(output)],
        cwd=PROJECT,
        env={**os.environ, **own},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    found: dict[str, Any] = json.loads(output.read_text())
    return found
