"""MLflow's server as Weir runs it: its users and their rights, its webhook, and Weir's plugin.

| user | may |
|---|---|
| `reader` | read |
| `reviewer`, and who else `registry.reviewers` names | read; tag versions, never with Weir's tags |
| `trainer` | read; log runs and models, register versions, move the model's aliases |
| `admin` | manage users, rights and webhooks; its approval does not count either |
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from mlflow.entities.webhook import WebhookAction, WebhookEntity, WebhookEvent
from mlflow.exceptions import MlflowException
from mlflow.server import app as flask_app
from mlflow.server import auth, handlers
from mlflow.store.model_registry.dbmodels.models import SqlWebhook, SqlWebhookEvent
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from training.approval_recorder import ADMIN, ApprovalGuard, ApprovalRecorder
from training.registry.connection import TRAINER

WEBHOOK_NAME = "weir-approval"
EVENTS = [
    WebhookEvent(WebhookEntity.MODEL_VERSION_TAG, WebhookAction.SET),
    WebhookEvent(WebhookEntity.MODEL_VERSION_TAG, WebhookAction.DELETED),
]


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
    guard: ApprovalGuard, recorder: ApprovalRecorder, passwords: Mapping[str, str], model: str,
    backend: str, webhook: tuple[str, str] | None,
) -> ASGIApp:  # fmt: skip
    """MLflow's ASGI application with basic authentication, Weir's users, plugin and webhook.

    `backend` is the URL of MLflow's tables, created or migrated here; `webhook` where approvals
    are reported and the secret that signs them. MLflow's own settings (secret keys,
    `MLFLOW_AUTH_CONFIG_PATH`) come from the environment, which `training.tracking_server` sets
    before it imports this module.
    """
    handlers.initialize_backend_stores(backend, backend, "mlflow-artifacts:/")
    app = auth.create_app(flask_app)
    ensure_model(model)
    ensure_users(passwords, guard.rules.reviewers, model)
    ensure_webhook(webhook)
    flask_app.before_request(guard)
    flask_app.after_request(recorder)
    return WithoutAssistant(app)


def ensure_model(model: str) -> None:
    """Create the registered model: of one that does not exist, MLflow denies even the reading."""
    store = handlers._get_model_registry_store()  # noqa: SLF001
    try:
        store.get_registered_model(model)
    except MlflowException:
        store.create_registered_model(model)


def ensure_users(passwords: Mapping[str, str], reviewers: Iterable[str], model: str) -> None:
    """Create the users that are missing, give them today's passwords and rights; idempotent.

    A reviewer whom an admin made (production: one account a person) gets a reviewer's rights.
    """
    for user, password in passwords.items():
        if not auth.store.has_user(user):
            auth.store.create_user(user, password, is_admin=user == ADMIN)
        elif not auth.store.authenticate_user(user, password):
            auth.store.update_user(user, password)
    auth.store.grant_user_permission(TRAINER, "registered_model", model, "MANAGE")
    for user in reviewers:
        if auth.store.has_user(user):
            auth.store.grant_user_permission(user, "registered_model_version", "*", "EDIT")


def ensure_webhook(wanted: tuple[str, str] | None) -> None:
    """Exactly one webhook of Weir's name, with this URL and secret, or none; idempotent."""
    if _webhooks() == ([wanted] if wanted else []):
        return
    _drop_webhooks()
    if wanted is None:
        return
    url, secret = wanted
    store = handlers._get_model_registry_store()  # noqa: SLF001
    store.create_webhook(
        WEBHOOK_NAME, url, EVENTS, secret=secret, description="Weir: approvals start rollouts"
    )


def _webhooks() -> list[tuple[str, str]] | None:
    """URL and secret of the active ones of Weir's name; None where a secret cannot be read."""
    store = handlers._get_model_registry_store()  # noqa: SLF001
    try:
        found = [hook for hook in store.list_webhooks() if hook.name == WEBHOOK_NAME]
    except MlflowException:  # it was written under another key
        return None
    return [(hook.url, hook.secret) for hook in found if hook.status.is_active()]


def _drop_webhooks() -> None:
    """In the table itself: a secret that cannot be read any more must not be in the way."""
    store = handlers._get_model_registry_store()  # noqa: SLF001
    with store.ManagedSessionMaker(read_only=False) as session:
        ours = session.query(SqlWebhook.webhook_id).filter(SqlWebhook.name == WEBHOOK_NAME)
        events = session.query(SqlWebhookEvent)
        events.filter(SqlWebhookEvent.webhook_id.in_(ours)).delete(synchronize_session=False)
        session.query(SqlWebhook).filter(SqlWebhook.name == WEBHOOK_NAME).delete(
            synchronize_session=False
        )
