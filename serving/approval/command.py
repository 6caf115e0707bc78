"""`python -m serving approval`: receive MLflow's webhook, and ask for what it lost."""

from __future__ import annotations

import argparse
import threading
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import uvicorn

from data_contracts.config import Settings
from data_contracts.secrets import AIRFLOW_APPROVAL_PASSWORD, MLFLOW_WEBHOOK_SECRET, secret
from pipelines import audit_trail
from pipelines.state import open_state
from serving.approval.airflow import DagRuns
from serving.approval.deliveries import Deliveries
from serving.approval.receiver import Receiver, Reconciliation
from serving.approval.starter import Starter
from serving.rollout.store import RolloutStore
from training import registry
from training.approval import Approval, Rules
from training.promotion import Promotion
from training.registry import CHALLENGER, READER, ModelVersion

GRACE_SECONDS = 5


@dataclass(frozen=True)
class RegistryApprovals:
    """Implements `Approvals` on MLflow, as a user who may only read."""

    promotion: Promotion

    def challenger(self) -> ModelVersion | None:
        return registry.find_version(self.promotion.connection, CHALLENGER)

    def is_approved(self, version: str) -> Approval:
        return self.promotion.is_approved(version)


def run(_arguments: argparse.Namespace, settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT."""
    ours = settings.approval
    starter = starter_of(settings)
    reconciliation = Reconciliation(starter, timedelta(seconds=ours.reconcile_seconds), _say)
    stop = threading.Event()
    beside = threading.Thread(target=reconciliation.run, args=(stop,), daemon=True)
    host = settings.serving.host
    _say(f"approval receiver: http://{host}:{ours.port}, Airflow at {ours.airflow_url}")
    beside.start()
    try:
        uvicorn.run(
            receiver_of(settings, starter).app(), host=host, port=ours.port, log_level="warning",
            timeout_graceful_shutdown=GRACE_SECONDS,
        )  # fmt: skip
    finally:
        stop.set()
        beside.join(GRACE_SECONDS)


def starter_of(settings: Settings) -> Starter:
    """On the configured registry, state database and Airflow; makes missing tables."""
    trail = open_state(settings.state_url)
    audit_trail.prepare(trail)
    store = RolloutStore(trail)
    store.prepare()
    reader = registry.connect(settings, READER)
    promotion = Promotion(reader, trail, Rules.of(settings.registry))
    ours = settings.approval
    password = secret(AIRFLOW_APPROVAL_PASSWORD, settings.home)
    runs = DagRuns(ours.airflow_url, ours.airflow_user, password)
    return Starter(RegistryApprovals(promotion), store, runs, trail, _now)


def receiver_of(settings: Settings, starter: Starter) -> Receiver:
    """Checks signatures with the secret that MLflow's webhook was made with."""
    window = timedelta(seconds=settings.approval.window_seconds)
    deliveries = Deliveries(starter.trail, window)
    deliveries.prepare()
    return Receiver(
        settings.registry.model_name, secret(MLFLOW_WEBHOOK_SECRET, settings.home), deliveries,
        starter, settings.approval.maximum_body_bytes, _now, _say,
    )  # fmt: skip


def _now() -> datetime:
    return datetime.now(UTC)


def _say(line: str) -> None:
    print(f"{datetime.now().astimezone():%H:%M:%S} {line}", flush=True)
