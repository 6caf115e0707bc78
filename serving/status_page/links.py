"""Where else to look: addresses as a browser reaches them."""

from __future__ import annotations

from data_contracts.config import Settings

AIRFLOW, MLFLOW, EVIDENTLY, APPEALS = "Airflow", "MLflow", "Evidently", "Appeals"
REVIEW = "/review"


def addresses(settings: Settings) -> dict[str, str]:
    """By name: what `status_page.links` says, else where Weir itself reaches them."""
    host = settings.serving.host
    ours = {
        AIRFLOW: settings.approval.airflow_url,
        MLFLOW: settings.registry.tracking_uri,
        EVIDENTLY: f"http://{host}:{settings.evidently.port}",
        APPEALS: f"http://{host}:{settings.appeals.port}{REVIEW}",
    }
    return ours | settings.status_page.links
