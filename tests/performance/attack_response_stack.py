"""The local stack on ports and a home of its own, with a first champion from the early days.

Everything that `make up` starts and that is part of the loop runs: MLflow, Envoy, the rollout
controller with its model servers, the approval receiver, Airflow, incident response. Not started:
platform metrics, Prometheus, Alertmanager, appeals, the status page.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from data_contracts.config import Settings, load_settings
from data_contracts.secrets import create_local_secrets
from infra.local import airflow, watching
from infra.local.commands import call
from infra.local.loop import Turn
from infra.local.services import AIRFLOW_DAGS, platform_services
from infra.local.stack import airflow_client, stop
from infra.local.supervisor import Supervisor
from tests.stand_ins.ports import free_ports

PORTS = (
    "SERVING__GATEWAY_PORT", "SERVING__ENVOY_ADMIN_PORT", "LOCAL__MLFLOW_PORT",
    "LOCAL__AIRFLOW_PORT", "APPROVAL__PORT",
)  # fmt: skip
SLOT_PORTS = 6
NEVER = "0 0 29 2 *"
INTERVAL_MINUTES = 2  # between two runs of the monitor, and as long is its window
# The champion's days are few and large: each costs Airflow about as much, whatever is in it.
CHAMPION_WITH: Mapping[str, str] = {
    "WEIR__TRAFFIC__DAYS": "4",
    "WEIR__TRAFFIC__EVENTS_PER_DAY": "1600",
    "WEIR__LABELLING__BUDGET": "800",
}
# What differs from `make run` while the loop is tried; everything else is infra/config/local.yaml.
TRIED_WITH: Mapping[str, str] = {
    "WEIR__TRAINING__MINIMUM_NEW_LABELS": "200",  # as in base.yaml
    "WEIR__LABELLING__REFERENCE_DAYS": CHAMPION_WITH[
        "WEIR__TRAFFIC__DAYS"
    ],  # half are not taken in
    "WEIR__ORCHESTRATION__SCHEDULES__HOURLY_MONITORING": f"*/{INTERVAL_MINUTES} * * * *",
    "WEIR__MONITORING__WINDOW_HOURS": f"{INTERVAL_MINUTES / 60:.6f}",
}


@dataclass
class Running:
    """The stack with its champion; `late` are the replayed days that no model has seen."""

    settings: Settings
    turn: Turn
    champion: str
    late: list[str]

    @property
    def url(self) -> str:
        serving = self.settings.serving
        base = f"http://{serving.host}:{serving.gateway_port}"
        return f"{base}/v1/models/{serving.model_name}:predict"


@contextmanager
def running_stack(home: Path) -> Iterator[Running]:
    """Start it, bring up the champion, begin to monitor; stopped at the end whatever happened."""
    os.environ.update(_environment(home) | CHAMPION_WITH)
    settings = load_settings()
    create_local_secrets(home)
    try:
        airflow.prepare(settings)
        _start(settings)
        turn = Turn(settings)
        late, champion = _first_champion(turn)
        os.environ.update(TRIED_WITH)
        settings = load_settings()
        _restart_airflow(settings)
        yield Running(settings, Turn(settings), champion, late)
    finally:
        stop(settings)


def _environment(home: Path) -> dict[str, str]:
    first = free_ports(len(PORTS) + SLOT_PORTS)
    ports = {f"WEIR__{name}": str(first + at) for at, name in enumerate(PORTS)}
    mlflow = f"http://127.0.0.1:{ports['WEIR__LOCAL__MLFLOW_PORT']}"
    days = int(CHAMPION_WITH["WEIR__TRAFFIC__DAYS"])
    first_day = datetime.now(UTC).date() - timedelta(days=days)  # the days end with yesterday
    return {
        "WEIR__TRAFFIC__FIRST_DAY": f'"{first_day}"',  # a text, though it looks like a date
        "WEIR_HOME": str(home), "WEIR_ENV": "local", "OMP_NUM_THREADS": "1", **ports,
        "WEIR__SERVING__FIRST_SLOT_PORT": str(first + len(PORTS)),
        "WEIR__REGISTRY__TRACKING_URI": mlflow,
        "WEIR__APPROVAL__AIRFLOW_URL": f"http://127.0.0.1:{ports['WEIR__LOCAL__AIRFLOW_PORT']}",
        "WEIR__ORCHESTRATION__SCHEDULES__DAILY_INGEST": NEVER,
        "WEIR__ORCHESTRATION__SCHEDULES__HOURLY_MONITORING": NEVER,
    }  # fmt: skip


def _start(settings: Settings) -> None:
    supervisor = Supervisor(settings.home)
    responder = [one for one in watching.processes(settings) if one.name == "incidents"]
    wanted = [*platform_services(settings), *airflow.processes(settings), *responder]
    for process in wanted:
        supervisor.start(process)
    for process in wanted:
        supervisor.wait_until_ready(process)
    airflow_client(settings).wait_until_ready(AIRFLOW_DAGS)


def _first_champion(turn: Turn) -> tuple[list[str], str]:
    """As the first half of `make run`: early days, labelled by the oracle, approved, in full."""
    days: list[str] = call(turn.settings, "pipelines", "replay")["days"]
    half = len(days) // 2
    version = turn.make_candidate("first champion", days[:half])
    turn.roll_out(version, asked_at=datetime.now(UTC))
    return days[half:], version


def _restart_airflow(settings: Settings) -> None:
    """Its steps read their settings from the environment that it was started with."""
    supervisor = Supervisor(settings.home)
    processes = airflow.processes(settings)
    for process in reversed(processes):
        supervisor.stop(process.name)
    for process in processes:
        supervisor.start(process)
    for process in processes:
        supervisor.wait_until_ready(process)
    airflow_client(settings).wait_until_ready(AIRFLOW_DAGS)
