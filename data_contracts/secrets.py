"""Secrets come from the environment; locally also from `{home}/secrets.env`, made at setup.

`create_local_secrets` writes random values once, readable by the owner only, so that a
newcomer needs no ceremony and no default password ever exists.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from data_contracts.errors import MissingPart
from data_contracts.files import write_atomically

ACCOUNT_KEY = "WEIR_ACCOUNT_KEY"
MLFLOW_ADMIN_PASSWORD = "WEIR_MLFLOW_ADMIN_PASSWORD"
MLFLOW_TRAINER_PASSWORD = "WEIR_MLFLOW_TRAINER_PASSWORD"
MLFLOW_REVIEWER_PASSWORD = "WEIR_MLFLOW_REVIEWER_PASSWORD"
MLFLOW_READER_PASSWORD = "WEIR_MLFLOW_READER_PASSWORD"
MLFLOW_WEBHOOK_SECRET = "WEIR_MLFLOW_WEBHOOK_SECRET"  # signs what MLflow reports of approvals
MLFLOW_FLASK_SECRET = "MLFLOW_FLASK_SERVER_SECRET_KEY"
AIRFLOW_JWT_SECRET = "WEIR_AIRFLOW_JWT_SECRET"
AIRFLOW_ADMIN_PASSWORD = "WEIR_AIRFLOW_ADMIN_PASSWORD"
AIRFLOW_REVIEWER_PASSWORD = "WEIR_AIRFLOW_REVIEWER_PASSWORD"
AIRFLOW_APPROVAL_PASSWORD = "WEIR_AIRFLOW_APPROVAL_PASSWORD"  # of who starts approved rollouts
APPEALS_KEY = "WEIR_APPEALS_KEY"  # signs who an account or a reviewer is, and what is reversed
LABEL_STUDIO_PASSWORD = "WEIR_LABEL_STUDIO_PASSWORD"
LABEL_STUDIO_TOKEN = "WEIR_LABEL_STUDIO_TOKEN"
INCIDENT_WEBHOOK_SECRET = "WEIR_INCIDENT_WEBHOOK_SECRET"  # signs calls to who is on call
SMTP_PASSWORD = "WEIR_SMTP_PASSWORD"  # where incidents.smtp names a user
REDIS_URL = "WEIR_REDIS_URL"  # of the feature store; it may hold a password
ALERTMANAGER_TOKEN = "WEIR_ALERTMANAGER_TOKEN"  # with which it reports to incident response
LOCAL_SECRETS = (
    ACCOUNT_KEY,
    MLFLOW_ADMIN_PASSWORD,
    MLFLOW_TRAINER_PASSWORD,
    MLFLOW_REVIEWER_PASSWORD,
    MLFLOW_READER_PASSWORD,
    MLFLOW_WEBHOOK_SECRET,
    MLFLOW_FLASK_SECRET,
    AIRFLOW_JWT_SECRET,
    AIRFLOW_ADMIN_PASSWORD,
    AIRFLOW_REVIEWER_PASSWORD,
    AIRFLOW_APPROVAL_PASSWORD,
    APPEALS_KEY,
    LABEL_STUDIO_PASSWORD,
    LABEL_STUDIO_TOKEN,
    INCIDENT_WEBHOOK_SECRET,
    ALERTMANAGER_TOKEN,
)
BYTES = {LABEL_STUDIO_TOKEN: 20}  # its server keeps 40 characters; all others have 32 bytes


def secret(name: str, home: Path) -> str:
    """The secret's value. Raises MissingPart that says how to set it."""
    value = os.environ.get(name) or local_secrets(home).get(name)
    if not value:
        raise MissingPart(
            f"secret {name} is not set; export {name}, or run `make setup`, which writes "
            f"random local secrets to {secrets_file(home)}"
        )
    return value


def secrets_file(home: Path) -> Path:
    return home / "secrets.env"


def local_secrets(home: Path) -> dict[str, str]:
    """Name and value of every local secret; empty where the file does not exist."""
    path = secrets_file(home)
    if not path.is_file():
        return {}
    pairs = (line.partition("=") for line in path.read_text(encoding="utf-8").splitlines())
    return {name: value for name, separator, value in pairs if separator}


def create_local_secrets(home: Path) -> dict[str, str]:
    """Add a random value for every local secret that has none yet; idempotent."""
    known = local_secrets(home)
    for name in LOCAL_SECRETS:
        known.setdefault(name, secrets.token_hex(BYTES.get(name, 32)))
    content = "".join(f"{name}={value}\n" for name, value in known.items())
    write_atomically(secrets_file(home), content.encode(), mode=0o600)
    return known
