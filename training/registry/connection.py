"""How this process reaches MLflow, as whom, and what it says when MLflow does not answer."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx

from data_contracts.config import Settings
from data_contracts.errors import BadInput, ServiceUnavailable
from data_contracts.secrets import (
    MLFLOW_READER_PASSWORD,
    MLFLOW_REVIEWER_PASSWORD,
    MLFLOW_TRAINER_PASSWORD,
    secret,
)

if TYPE_CHECKING:
    from mlflow import MlflowClient

TRAINER = "trainer"
REVIEWER = "reviewer"
READER = "reader"
PASSWORDS = {
    TRAINER: MLFLOW_TRAINER_PASSWORD,
    REVIEWER: MLFLOW_REVIEWER_PASSWORD,
    READER: MLFLOW_READER_PASSWORD,
}
CALL_TIMEOUT_SECONDS = 30.0
REMEDY = (
    "start it with `make up` or `python -m training tracking-server`, "
    "or mend registry.tracking_uri (WEIR__REGISTRY__TRACKING_URI)"
)
# Quiet, no telemetry, and a server that is down fails in seconds, not in MLflow's minutes.
_CLIENT_ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "60",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_PRINT_MODEL_URLS_ON_CREATION": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "GIT_PYTHON_REFRESH": "quiet",
}
_ENVIRONMENT_LOCK = threading.RLock()


class NotInRegistry(BadInput):
    """A version, alias or run that MLflow does not have."""


@dataclass(frozen=True)
class Connection:
    """An MLflow server and a user of it, the registered model and the experiment of Weir there."""

    tracking_uri: str
    model_name: str
    experiment: str
    user: str
    password: str = field(repr=False)

    @contextmanager
    def client(self) -> Iterator[MlflowClient]:
        """MLflow's client while the block runs; the credentials are in the environment only then.

        For runs and artefacts; versions need no more than `call`, which imports nothing heavy.
        Raises ServiceUnavailable when the server is down or refuses the credentials, BadInput
        when the user may not do what was asked or what was asked for does not exist.
        """
        self.call("GET", "users/current")  # fails in milliseconds where MLflow's client retries
        credentials = {
            "MLFLOW_TRACKING_USERNAME": self.user,
            "MLFLOW_TRACKING_PASSWORD": self.password,
        }
        with _ENVIRONMENT_LOCK, _environment({**_CLIENT_ENVIRONMENT, **credentials}):
            import mlflow

            mlflow.set_tracking_uri(self.tracking_uri)
            mlflow.set_registry_uri(self.tracking_uri)
            try:
                yield mlflow.MlflowClient(self.tracking_uri, self.tracking_uri)
            except mlflow.MlflowException as error:
                raise self._translated(str(error), error.error_code) from None

    def call(self, method: str, path: str, **values: object) -> dict[str, Any]:
        """One call of MLflow's REST interface, `/api/2.0/mlflow/{path}`; raises as `client` does.

        What does not exist raises `NotInRegistry`.
        """
        given: dict[str, Any] = {"params" if method == "GET" else "json": values}
        try:
            answer = httpx.request(
                method,
                f"{self.tracking_uri}/api/2.0/mlflow/{path}",
                auth=(self.user, self.password),
                timeout=CALL_TIMEOUT_SECONDS,
                **given,
            )
        except httpx.HTTPError as error:
            raise self._silent(type(error).__name__) from None
        if answer.is_success:
            return dict(answer.json())
        raise self._failure(answer)

    def _failure(self, answer: httpx.Response) -> Exception:
        if answer.status_code == httpx.codes.UNAUTHORIZED:
            return self._refused()
        if answer.status_code == httpx.codes.FORBIDDEN:
            return self._forbidden(_reason(answer) or answer.request.url.path)
        try:
            said = answer.json()
        except ValueError:
            return self._silent(f"it answers {answer.status_code} without MLflow's JSON")
        return self._translated(str(said.get("message")), str(said.get("error_code")))

    def _translated(self, message: str, code: str) -> Exception:
        if "error code 401" in message or code == "UNAUTHENTICATED":
            return self._refused()
        if "error code 403" in message or code == "PERMISSION_DENIED":
            return self._forbidden(message[:200])
        missing_alias = code == "INVALID_PARAMETER_VALUE" and "not found" in message
        if code == "RESOURCE_DOES_NOT_EXIST" or missing_alias:
            return NotInRegistry(f"MLflow at {self.tracking_uri}: {message[:300]}")
        if code in {"INVALID_PARAMETER_VALUE", "BAD_REQUEST", "RESOURCE_ALREADY_EXISTS"}:
            return BadInput(f"MLflow at {self.tracking_uri}: {message[:300]}")
        return self._silent(f"{code}: {message[:300]}")

    def _silent(self, why: str) -> ServiceUnavailable:
        return ServiceUnavailable(
            f"MLflow at {self.tracking_uri} does not answer ({why}); {REMEDY}"
        )

    def _refused(self) -> ServiceUnavailable:
        name = PASSWORDS.get(self.user, "the password")
        return ServiceUnavailable(
            f"MLflow at {self.tracking_uri} refused user {self.user}; export the {name} that the "
            "server was started with, or restart the server, which takes the current one"
        )

    def _forbidden(self, what: str) -> BadInput:
        return BadInput(f"MLflow user {self.user} may not do this: {what}")


def _reason(answer: httpx.Response) -> str | None:
    """Why MLflow, or Weir's plugin in it, refused; MLflow itself gives no reason in JSON."""
    try:
        return str(answer.json().get("message"))
    except ValueError:
        return None


def connect(settings: Settings, user: str = TRAINER) -> Connection:
    """The configured server, as `user`. Raises MissingPart when the user's password is not set."""
    registry = settings.registry
    uri = registry.tracking_uri.rstrip("/")
    if user not in PASSWORDS:
        raise BadInput(f"user {user!r} has no password here; use one of {', '.join(PASSWORDS)}")
    password = secret(PASSWORDS[user], settings.home)
    return Connection(uri, registry.model_name, registry.experiment, user, password)


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    """Set variables for a while; restored even after an error, so no child inherits a password."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
