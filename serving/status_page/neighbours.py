"""What MLflow and Airflow say, as far as it asks something of people."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from data_contracts.config import Settings
from data_contracts.secrets import AIRFLOW_APPROVAL_PASSWORD, secret
from serving.approval.airflow import DagRuns
from serving.status_page.facts import Challenger, Dags

ENDED = ("success", "failed")
FAILED, HEALTHY = "failed", "healthy"
ALL_DAGS = "~"


def challenger_of(settings: Settings) -> Callable[[], Challenger | None]:
    """Asks for the version that the gates passed. Secrets are read at every question."""

    def ask() -> Challenger | None:
        from training import registry
        from training.gate_evidence import APPROVAL_TAG

        reader = registry.connect(settings, registry.READER)
        version = registry.find_version(reader, registry.CHALLENGER)
        if version is None:
            return None
        return Challenger(str(version.number), version.tags.get(APPROVAL_TAG))

    return ask


def dags_of(settings: Settings) -> Callable[[], Dags]:
    """Asks Airflow for its health and newest runs; signs in once."""
    ours, signed_in = settings.approval, cache(DagRuns)

    def ask() -> Dags:
        password = secret(AIRFLOW_APPROVAL_PASSWORD, settings.home)
        return dags(signed_in(ours.airflow_url, ours.airflow_user, password, ALL_DAGS))

    return ask


def dags(runs: DagRuns) -> Dags:
    """Of every DAG the newest run that has ended counts."""
    ended: dict[str, str] = {}
    for run in runs.newest():
        if run["state"] in ENDED:
            ended.setdefault(run["dag_id"], run["state"])
    status = {name: about["status"] for name, about in runs.health().items()}
    return Dags(
        unhealthy=tuple(
            sorted(name for name, said in status.items() if said not in (None, HEALTHY))
        ),
        failed=tuple(sorted(dag for dag, state in ended.items() if state == FAILED)),
    )
