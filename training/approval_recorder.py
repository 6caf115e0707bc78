"""The plugin in MLflow's server: who may approve, and who did, trained and registered.

MLflow's webhooks and tags carry no user that can be trusted. The server knows whom it let in, so

- before MLflow obeys, `ApprovalGuard` refuses an approval that would not count, with the reason,
  so that the reviewer reads it at the click and not afterwards;
- after MLflow obeyed, `ApprovalRecorder` writes the user to the audit trail: of every change of
  the tag `weir.approval`, and of everything that makes a model (run, logged model, version).

Both see REST (`/api/2.0/…`) and MLflow's pages (`/ajax-api/2.0/…`). What has no row counts for
nothing in `training.approval.decide`, so a way around the plugin leads nowhere.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import flask
from mlflow.protos.model_registry_pb2 import (
    CreateModelVersion,
    DeleteModelVersionTag,
    SetModelVersionTag,
)
from mlflow.server import app as flask_app
from mlflow.server import handlers
from sqlalchemy import Engine

from pipelines import audit_trail
from pipelines.audit_trail import Entry
from training.approval import GIVEN, Rules, decide, trail_of
from training.gate_evidence import (
    APPROVAL_DELETED,
    APPROVAL_SET,
    APPROVAL_TAG,
    APPROVED,
    MODEL_LOGGED,
    RUN_CREATED,
    TRAINING_TRIGGERED,
    TRIGGERED_BY_TAG,
    VERSION_CREATED,
    evidence_hash,
    run_subject,
)
from training.registry.artefact import ARTEFACT_TAG
from training.registry.connection import TRAINER
from training.registry.versions import ModelVersion

ADMIN = "admin"
WEIR_TAGS = "weir."
WHAT_LIMIT_CHARACTERS = 120
WHO_LIMIT_CHARACTERS = 255
_PARENT_RUN = "mlflow.parentRunId"
_FOUNDING = {"experiments/create", "registered-models/create"}


@dataclass(frozen=True)
class Change:
    """A request's change of a version's tag; `value` is None where it is deleted."""

    model: str
    version: str
    key: str
    value: str | None

    @property
    def what(self) -> str:
        """The words of the audit trail about the approval tag."""
        if self.value is None:
            return APPROVAL_DELETED
        return f"{APPROVAL_SET}{self.value}"[:WHAT_LIMIT_CHARACTERS]


@dataclass(frozen=True)
class Line:
    """What is to be written: `who` is the request's user where it is None."""

    what: str
    subject: str
    evidence: str = ""
    who: str | None = None


@dataclass(frozen=True)
class ApprovalGuard:
    """A Flask `before_request` hook, after MLflow's own check of rights: 403 with the reason."""

    trail: Engine
    rules: Rules
    clock: Callable[[], datetime]

    def __call__(self) -> flask.Response | None:
        """MLflow's own errors (no such version, a malformed body) are answered as MLflow does."""
        answer: flask.Response | None = handlers.catch_mlflow_exception(self._refusal)()
        return answer

    def _refusal(self) -> flask.Response | None:
        user = getattr(flask.g, "mlflow_authenticated_user", None)
        problem = self.problem(user, _route()) if user else None
        if problem is None:
            return None
        body = {"error_code": "PERMISSION_DENIED", "message": problem}
        return flask.make_response(body, 403)

    def problem(self, user: str, route: str) -> str | None:
        """Why this user's request is refused, or None."""
        if route in _FOUNDING and user not in (TRAINER, ADMIN):
            return f"{user} may not create experiments and models; {TRAINER} and {ADMIN} may"
        if route == "model-versions/create":
            tags = handlers._get_request_message(CreateModelVersion()).tags  # noqa: SLF001
            born = any(tag.key == APPROVAL_TAG for tag in tags)
            return f"a version is never born with the tag {APPROVAL_TAG}" if born else None
        read = _CHANGES.get(route)
        return self._problem_of_change(user, read()) if read else None

    def _problem_of_change(self, user: str, change: Change) -> str | None:
        if (change.key, change.value) == (APPROVAL_TAG, APPROVED):
            return self._problem_of_approval(user, change)
        reviews = user in self.rules.reviewers and user not in (TRAINER, ADMIN)
        if reviews and change.key.startswith(WEIR_TAGS) and change.key != APPROVAL_TAG:
            return f"tag {change.key} is Weir's; a reviewer sets {APPROVAL_TAG}"
        return None

    def _problem_of_approval(self, user: str, change: Change) -> str | None:
        """What `decide` would say if this request were obeyed and recorded now."""
        now = self.clock()
        version = _stored_version(change.model, change.version)
        version = replace(version, tags={**version.tags, APPROVAL_TAG: APPROVED})
        rows = trail_of(self.trail, version)
        row = Entry(0, now, user, GIVEN, version.uri, evidence_hash(version), "")
        said = decide(version, [*rows, row], audit_trail.verify(self.trail), self.rules, now)
        return None if said.approved else f"not approved: {said.reason}"


@dataclass(frozen=True)
class ApprovalRecorder:
    """A Flask `after_request` hook: writes to the trail what MLflow has just done for whom.

    Of runs and logged models only those of `experiment`, and no trial of a search: nobody can
    fill the trail, and a version of any other run is never approved.
    """

    trail: Engine
    experiment: str
    clock: Callable[[], datetime]

    def __call__(self, response: flask.Response) -> flask.Response:
        read = _LINES.get(_route()) if flask.request.method != "GET" else None
        if response.status_code >= 400 or read is None:
            return response
        try:
            for line in read(self.experiment, response):
                who = (line.who or flask.g.mlflow_authenticated_user)[:WHO_LIMIT_CHARACTERS]
                audit_trail.record(
                    self.trail, who, line.what, line.subject, line.evidence, self.clock()
                )
        except Exception as error:  # whatever it was must reach the caller
            flask_app.logger.exception("not recorded")
            message = f"done, but not recorded and so it will not count: {type(error).__name__}"
            body = {"error_code": "INTERNAL_ERROR", "message": f"{message}; do it again"}
            return flask.make_response(body, 500)
        return response


def _route() -> str:
    """`model-versions/set-tag` of `/ajax-api/2.0/mlflow/model-versions/set-tag`."""
    return flask.request.path.rpartition("/mlflow/")[2].rstrip("/")


def _tag_set() -> Change:
    request = handlers._get_request_message(SetModelVersionTag())  # noqa: SLF001
    return Change(request.name, request.version, request.key, request.value)


def _tag_deleted() -> Change:
    request = handlers._get_request_message(DeleteModelVersionTag())  # noqa: SLF001
    return Change(request.name, request.version, request.key, None)


_CHANGES: Mapping[str, Callable[[], Change]] = {
    "model-versions/set-tag": _tag_set,
    "model-versions/delete-tag": _tag_deleted,
}


def _approval_changed(_experiment: str, _response: flask.Response) -> list[Line]:
    change = _CHANGES[_route()]()
    if change.key != APPROVAL_TAG:
        return []
    version = _stored_version(change.model, change.version)
    return [Line(change.what, version.uri, evidence_hash(version))]


def _version_created(_experiment: str, response: flask.Response) -> list[Line]:
    """Who registered it, and whom the lineage names as having started the training by hand."""
    made = _body(response)["model_version"]
    version = _stored_version(made["name"], made["version"])
    digest = version.tags.get(ARTEFACT_TAG, "")
    lines = [Line(VERSION_CREATED, version.uri, digest)]
    if starter := version.tags.get(TRIGGERED_BY_TAG):
        lines.append(Line(TRAINING_TRIGGERED, version.uri, digest, who=starter))
    return lines


def _run_created(experiment: str, response: flask.Response) -> list[Line]:
    run = _body(response)["run"]
    tags = {tag["key"] for tag in run["data"].get("tags", [])}
    if _PARENT_RUN in tags or not _is_of(experiment, run["info"]["experiment_id"]):
        return []
    return [Line(RUN_CREATED, run_subject(run["info"]["run_id"]))]


def _model_logged(experiment: str, response: flask.Response) -> list[Line]:
    info = _body(response)["model"]["info"]
    if not _is_of(experiment, info["experiment_id"]):
        return []
    return [Line(MODEL_LOGGED, f"models:/{info['model_id']}", info.get("source_run_id", ""))]


_LINES: Mapping[str, Callable[[str, flask.Response], list[Line]]] = {
    "model-versions/set-tag": _approval_changed,
    "model-versions/delete-tag": _approval_changed,
    "model-versions/create": _version_created,
    "runs/create": _run_created,
    "logged-models": _model_logged,
}


def _body(response: flask.Response) -> dict[str, Any]:
    body: dict[str, Any] = response.get_json(force=True)
    return body


def _is_of(experiment: str, experiment_id: str) -> bool:
    found = handlers._get_tracking_store().get_experiment(experiment_id)  # noqa: SLF001
    return bool(found.name == experiment)


def _stored_version(model: str, number: str) -> ModelVersion:
    stored = handlers._get_model_registry_store().get_model_version(model, number)  # noqa: SLF001
    return ModelVersion(
        model=stored.name,
        number=int(stored.version),
        run_id=stored.run_id or "",
        source=stored.source,
        created_at=datetime.fromtimestamp(stored.creation_timestamp / 1000, UTC),
        tags=dict(stored.tags),
        aliases=tuple(stored.aliases),
    )
