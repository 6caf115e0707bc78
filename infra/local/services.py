"""The services of the local stack, in the order in which they start."""

from __future__ import annotations

import sys

from data_contracts.config import Settings
from infra.local import airflow, watching
from infra.local.process import Process

AIRFLOW_DAGS = (
    "daily_ingest",
    "daily_materialization",
    "daily_sampling",
    "daily_retraining",
    "challenger_rollout",
    "hourly_monitoring",
)


def platform_services(settings: Settings) -> tuple[Process, ...]:
    """MLflow, Envoy, the rollout controller, which starts the model servers, and the receiver."""
    host, serving, port = settings.serving.host, settings.serving, settings.approval.port
    return (
        Process(
            name="mlflow",
            argv=_command("training", "tracking-server"),
            environment={"WEIR__APPROVAL__WEBHOOK_URL": f"http://{host}:{port}/webhooks/mlflow"},
            ready_url=f"http://{host}:{settings.local.mlflow_port}/health",
            port=settings.local.mlflow_port,
            setting="local.mlflow_port",
        ),
        Process(
            name="gateway",
            argv=_command("serving", "gateway"),
            ready_url=f"http://{host}:{serving.envoy_admin_port}/ready",
            port=serving.gateway_port,
            setting="serving.gateway_port",
        ),
        Process(name="controller", argv=_command("serving", "controller")),
        Process(
            name="approval",
            argv=_command("serving", "approval"),
            environment=watching.airflow_address(settings),
            ready_url=f"http://{host}:{port}/health",
            port=port,
            setting="approval.port",
        ),
    )


def services(settings: Settings) -> tuple[Process, ...]:
    """Everything that `make up` keeps running."""
    return (
        *platform_services(settings),
        *airflow.processes(settings),
        *watching.processes(settings),
    )


def addresses(settings: Settings) -> dict[str, str]:
    """What a person opens in a browser or calls."""
    host = settings.serving.host
    model = settings.serving.model_name
    return {
        "Status": f"http://{host}:{settings.status_page.port}",
        "Airflow": airflow.base_url(settings),
        "MLflow": f"http://{host}:{settings.local.mlflow_port}",
        "Verdicts (V1)": (
            f"http://{host}:{settings.serving.gateway_port}/v1/models/{model}:predict"
        ),
        "Verdicts (V2)": f"http://{host}:{settings.serving.gateway_port}/v2/models/{model}/infer",
        "Appeals": f"http://{host}:{settings.appeals.port}",
        "Evidently": f"http://{host}:{settings.evidently.port}",
        "Envoy admin": f"http://{host}:{settings.serving.envoy_admin_port}",
    } | watching.addresses(settings)


def _command(folder: str, verb: str) -> tuple[str, ...]:
    return (sys.executable, "-m", folder, verb)
