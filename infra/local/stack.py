"""Bring the services up and down; every start is checked, every stop touches only our own."""

from __future__ import annotations

import argparse
from typing import Any

from data_contracts.config import Settings
from data_contracts.secrets import AIRFLOW_ADMIN_PASSWORD, create_local_secrets, secret
from infra.local import airflow, watching
from infra.local.airflow_client import AirflowClient
from infra.local.commands import call
from infra.local.console import say, say_addresses
from infra.local.preflight import check_machine, check_ports
from infra.local.services import AIRFLOW_DAGS, addresses, services
from infra.local.supervisor import Supervisor


def up(_arguments: argparse.Namespace, settings: Settings) -> None:
    """Start what is not running yet, wait until it answers, print where it is."""
    start(settings)
    say_addresses("Weir is up", addresses(settings))
    say(
        f"users and passwords are in {settings.home / 'secrets.env'}: Airflow `admin`; "
        "MLflow `reviewer`, `reader`, `trainer`, `admin`. Stop with `make down`."
    )


def down(_arguments: argparse.Namespace, settings: Settings) -> None:
    """Stop the services of this home, the last started first, and their model servers."""
    stopped = stop(settings)
    say(f"stopped {', '.join(stopped)}" if stopped else "nothing of this home was running")


def status(_arguments: argparse.Namespace, settings: Settings) -> dict[str, Any]:
    """The services of this home that run, each with its log."""
    supervisor = Supervisor(settings.home)
    return {name: {"log": str(supervisor.log_file(name))} for name in supervisor.running()}


def start(settings: Settings) -> list[str]:
    """Names of the services that were started now."""
    create_local_secrets(settings.home)
    supervisor = Supervisor(settings.home)
    alive = set(supervisor.running())
    wanted = [process for process in services(settings) if process.name not in alive]
    if wanted:
        check_machine(settings)
        check_ports(wanted, settings.serving.host)
        say("starting Airflow, MLflow, the gateway and what watches them (about half a minute)")
        for package in watching.missing():
            say(f"  {package} is not installed (Debian package): its alerts are not raised here")
        airflow.prepare(settings)
        watching.prepare(settings)
    for process in wanted:
        supervisor.start(process)
    for process in wanted:
        supervisor.wait_until_ready(process)
    airflow_client(settings).wait_until_ready(AIRFLOW_DAGS)
    return [process.name for process in wanted]


def stop(settings: Settings) -> list[str]:
    """Names of the services that were running and are stopped now, model servers included.

    The controller's model servers outlive it on purpose, so that its restart costs no request:
    they are stopped by themselves, and before Envoy.
    """
    supervisor = Supervisor(settings.home)
    stopped = []
    for name in reversed(supervisor.running()):
        if name == "gateway":
            call(settings, "serving", "slots", "stop")
        supervisor.stop(name)
        stopped.append(name)
    return stopped


def airflow_client(settings: Settings) -> AirflowClient:
    password = secret(AIRFLOW_ADMIN_PASSWORD, settings.home)
    return AirflowClient(airflow.base_url(settings), "admin", password)
