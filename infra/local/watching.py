"""What watches the local stack: metrics, alerts, incident response, appeals, pages.

Prometheus and Alertmanager are Debian packages, and are started where they are installed. They read
the rules and routes of infra/alerts; only addresses differ here, and mail, which goes nowhere.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from data_contracts.config import PROJECT, Settings
from data_contracts.files import write_atomically
from data_contracts.secrets import ALERTMANAGER_TOKEN, secret
from infra.local import airflow
from infra.local.process import Process

PROMETHEUS, ALERTMANAGER = "prometheus", "prometheus-alertmanager"
RULES = PROJECT / "infra" / "alerts"
ROUTES = RULES / "alertmanager" / "alertmanager.yaml"
AIRFLOW_URL = "WEIR__APPROVAL__AIRFLOW_URL"
INCIDENTS = "incidents"  # the receiver that is ours
SCRAPE_SECONDS = 10
KEPT_DAYS = 15


def processes(settings: Settings) -> tuple[Process, ...]:
    """In the order of their start; `prepare` comes first."""
    return (
        _served("serving", "metrics", settings, "platform_metrics"),
        _served("serving", "alerts", settings, "alert_receiver"),
        Process(
            name="incidents",
            argv=_command("serving", "incidents", "respond"),
            environment=airflow_address(settings),
        ),
        _served("serving", "appeals", settings, "appeals"),
        _served("serving", "status-page", settings, "status_page"),
        _served("evaluation", "workspace", settings, "evidently"),
        *(process for process in _debian(settings) if shutil.which(process.argv[0])),
    )


def airflow_address(settings: Settings) -> dict[str, str]:
    """Where Airflow is, for who asks it: its local port may have been moved, unless it is another
    Airflow that the caller's environment names."""
    return {AIRFLOW_URL: os.environ.get(AIRFLOW_URL) or airflow.base_url(settings)}


def missing() -> list[str]:
    """The Debian packages that would be started if they were installed."""
    return [name for name in (PROMETHEUS, ALERTMANAGER) if not shutil.which(name)]


def addresses(settings: Settings) -> dict[str, str]:
    """What a person opens in a browser, of what is installed."""
    ports = {
        PROMETHEUS: ("Prometheus", settings.local.prometheus_port),
        ALERTMANAGER: ("Alertmanager", settings.local.alertmanager_port),
    }
    shown = (ports[name] for name in (PROMETHEUS, ALERTMANAGER) if name not in missing())
    return {title: f"http://{settings.serving.host}:{port}" for title, port in shown}


def prepare(settings: Settings) -> None:
    """Write what Prometheus and Alertmanager read; idempotent."""
    token = secret(ALERTMANAGER_TOKEN, settings.home)
    write_atomically(_folder(settings) / "token", token.encode(), mode=0o600)
    for name, content in (
        (PROMETHEUS, prometheus(settings)),
        (ALERTMANAGER, alertmanager(settings, yaml.safe_load(ROUTES.read_text()))),
    ):
        text = yaml.safe_dump(content, sort_keys=False)
        write_atomically(_folder(settings) / f"{name}.yaml", text.encode())


def prometheus(settings: Settings) -> dict[str, Any]:
    """Its configuration: model servers as the platform's metrics name them, and those metrics."""
    host = settings.serving.host
    platform = f"{host}:{settings.platform_metrics.port}"
    return {
        "global": {
            "scrape_interval": f"{SCRAPE_SECONDS}s", "evaluation_interval": f"{SCRAPE_SECONDS}s",
        },
        "rule_files": [str(path) for path in sorted(RULES.glob("*.yaml"))],
        "scrape_configs": [
            {
                "job_name": "weir",
                "http_sd_configs": [
                    {"url": f"http://{platform}/targets", "refresh_interval": f"{SCRAPE_SECONDS}s"}
                ],
            },
            {"job_name": "weir-platform", "static_configs": [{"targets": [platform]}]},
        ],
        "alerting": {
            "alertmanagers": [
                {"static_configs": [{"targets": [f"{host}:{settings.local.alertmanager_port}"]}]}
            ]
        },
    }  # fmt: skip


def alertmanager(settings: Settings, shipped: Mapping[str, Any]) -> dict[str, Any]:
    """The shipped routes with the local receiver of incident response, and nothing by mail."""
    url = f"http://{settings.serving.host}:{settings.alert_receiver.port}/webhooks/alertmanager"
    token = str(_folder(settings) / "token")
    (ours,) = (one for one in shipped["receivers"] if one["name"] == INCIDENTS)
    webhooks = [
        webhook | {"url": url, "http_config": {"authorization": {"credentials_file": token}}}
        for webhook in ours["webhook_configs"]
    ]
    route = shipped["route"]
    routes = [one for one in route["routes"] if one["receiver"] == INCIDENTS]
    return {
        "route": route | {"routes": routes},
        "receivers": [{"name": INCIDENTS, "webhook_configs": webhooks}],
        "inhibit_rules": shipped["inhibit_rules"],
    }


def _debian(settings: Settings) -> tuple[Process, ...]:
    folder, host, local = _folder(settings), settings.serving.host, settings.local
    prometheus_url = f"{host}:{local.prometheus_port}"
    alertmanager_url = f"{host}:{local.alertmanager_port}"
    return (
        Process(
            name="alertmanager",
            argv=(
                ALERTMANAGER, f"--config.file={folder / ALERTMANAGER}.yaml",
                f"--storage.path={folder / 'alertmanager'}",
                f"--web.listen-address={alertmanager_url}",
                "--cluster.listen-address=",  # alone
            ),
            ready_url=f"http://{alertmanager_url}/-/ready",
            port=local.alertmanager_port,
            setting="local.alertmanager_port",
        ),
        Process(
            name="prometheus",
            argv=(
                PROMETHEUS, f"--config.file={folder / PROMETHEUS}.yaml",
                f"--storage.tsdb.path={folder / 'prometheus'}",
                f"--storage.tsdb.retention.time={KEPT_DAYS}d",
                f"--web.listen-address={prometheus_url}",
            ),
            ready_url=f"http://{prometheus_url}/-/ready",
            port=local.prometheus_port,
            setting="local.prometheus_port",
        ),
    )  # fmt: skip


def _served(folder: str, verb: str, settings: Settings, section: str) -> Process:
    port: int = getattr(settings, section).port
    return Process(
        name=verb,
        argv=_command(folder, verb),
        environment=airflow_address(settings),
        ready_url=f"http://{settings.serving.host}:{port}/health",
        port=port,
        setting=f"{section}.port",
    )


def _command(folder: str, *words: str) -> tuple[str, ...]:
    return (sys.executable, "-m", folder, *words)


def _folder(settings: Settings) -> Path:
    return settings.home / "watching"
