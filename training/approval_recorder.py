"""MLflow's server with authentication, and the plugin that records who set the approval tag.

MLflow's webhooks carry no user. So, after MLflow has obeyed a request that sets or deletes the
tag `weir.approval`, over REST (`/api/2.0/…`) or from its pages (`/ajax-api/2.0/…`), the plugin
writes the authenticated user to the audit trail. A tag without such a row is no approval.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import flask
from mlflow.exceptions import MlflowException
from mlflow.protos.model_registry_pb2 import (
    CreateModelVersion,
    DeleteModelVersionTag,
    SetModelVersionTag,
)
from mlflow.server import app as flask_app
from mlflow.server import auth, handlers
from sqlalchemy import Engine
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from pipelines import audit_trail
from training.gate_evidence import (
    APPROVAL_DELETED,
    APPROVAL_SET,
    APPROVAL_TAG,
    evidence_hash,
)
from training.registry.connection import REVIEWER, TRAINER
from training.registry.versions import ModelVersion

ADMIN = "admin"
WHAT_LIMIT_CHARACTERS = 120


@dataclass(frozen=True)
class Change:
    """A request's change of the approval tag; `value` is None where it was deleted."""

    model: str
    version: str
    value: str | None

    @property
    def what(self) -> str:
        """The words of the audit trail."""
        if self.value is None:
            return APPROVAL_DELETED
        return f"{APPROVAL_SET}{self.value}"[:WHAT_LIMIT_CHARACTERS]


@dataclass(frozen=True)
class ApprovalRecorder:
    """A Flask `after_request` hook: writes successful changes of the approval tag to the trail."""

    trail: Engine
    clock: Callable[[], datetime]

    def __call__(self, response: flask.Response) -> flask.Response:
        if response.status_code >= 400:
            return response
        read = _READERS.get(flask.request.path.rpartition("/mlflow/")[2])
        change = read(response) if read else None
        return self._recorded(change, response) if change else response

    def _recorded(self, change: Change, response: flask.Response) -> flask.Response:
        """Without its row the tag is worth nothing, so the caller learns when writing failed."""
        try:
            version = _stored_version(change)
            user = flask.g.mlflow_authenticated_user
            evidence = evidence_hash(version)
            audit_trail.record(self.trail, user, change.what, version.uri, evidence, self.clock())
        except Exception as error:  # whatever it was must reach the caller
            flask_app.logger.exception("the approval tag was not recorded")
            message = f"tag set, but not recorded and so no approval: {type(error).__name__}"
            body = {"error_code": "INTERNAL_ERROR", "message": f"{message}; set the tag again"}
            return flask.make_response(body, 500)
        return response


@dataclass(frozen=True)
class WithoutAssistant:
    """An ASGI application less MLflow's assistant.

    The assistant runs commands on the server's machine for whoever may log in.
    """

    app: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if "/mlflow/assistant" in scope.get("path", ""):
            await PlainTextResponse("the assistant is off", 404)(scope, receive, send)
        else:
            await self.app(scope, receive, send)


def create_app(
    recorder: ApprovalRecorder, passwords: Mapping[str, str], model: str, backend: str
) -> ASGIApp:
    """MLflow's ASGI application with basic authentication, Weir's users and the recorder.

    `backend` is the URL of MLflow's tables, created or migrated here. MLflow's own settings
    (secret key, `MLFLOW_AUTH_CONFIG_PATH`) come from the environment, which
    `training.tracking_server` sets before it imports this module.
    """
    handlers.initialize_backend_stores(backend, backend, "mlflow-artifacts:/")
    app = auth.create_app(flask_app)
    ensure_model(model)
    ensure_users(passwords, model)
    flask_app.after_request(recorder)
    return WithoutAssistant(app)


def ensure_model(model: str) -> None:
    """Create the registered model: of one that does not exist, MLflow denies even the reading."""
    store = handlers._get_model_registry_store()  # noqa: SLF001
    try:
        store.get_registered_model(model)
    except MlflowException:
        store.create_registered_model(model)


def ensure_users(passwords: Mapping[str, str], model: str) -> None:
    """Create the users that are missing, give them today's passwords and rights; idempotent.

    Everybody may read. The trainer manages the model with its aliases; the reviewer may change
    its versions (tags, description), but neither aliases nor runs.
    """
    for user, password in passwords.items():
        if not auth.store.has_user(user):
            auth.store.create_user(user, password, is_admin=user == ADMIN)
        elif not auth.store.authenticate_user(user, password):
            auth.store.update_user(user, password)
    auth.store.grant_user_permission(TRAINER, "registered_model", model, "MANAGE")
    auth.store.grant_user_permission(REVIEWER, "registered_model_version", "*", "EDIT")


def _tag_set(_response: flask.Response) -> Change | None:
    request = handlers._get_request_message(SetModelVersionTag())  # noqa: SLF001
    if request.key != APPROVAL_TAG:
        return None
    return Change(request.name, request.version, request.value)


def _tag_deleted(_response: flask.Response) -> Change | None:
    request = handlers._get_request_message(DeleteModelVersionTag())  # noqa: SLF001
    if request.key != APPROVAL_TAG:
        return None
    return Change(request.name, request.version, None)


def _version_created(response: flask.Response) -> Change | None:
    request = handlers._get_request_message(CreateModelVersion())  # noqa: SLF001
    values = [tag.value for tag in request.tags if tag.key == APPROVAL_TAG]
    if not values:
        return None
    version = response.get_json(force=True)["model_version"]["version"]
    return Change(request.name, str(version), values[-1])


_READERS: Mapping[str, Callable[[flask.Response], Change | None]] = {
    "model-versions/set-tag": _tag_set,
    "model-versions/delete-tag": _tag_deleted,
    "model-versions/create": _version_created,
}


def _stored_version(change: Change) -> ModelVersion:
    stored = handlers._get_model_registry_store().get_model_version(  # noqa: SLF001
        change.model, change.version
    )
    return ModelVersion(
        model=stored.name,
        number=int(stored.version),
        run_id=stored.run_id or "",
        source=stored.source,
        created_at=datetime.fromtimestamp(stored.creation_timestamp / 1000, UTC),
        tags=dict(stored.tags),
        aliases=tuple(stored.aliases),
    )
