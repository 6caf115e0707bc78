"""Whether the model that a request names is served here, in that version, and answers."""

from __future__ import annotations

from http import HTTPStatus
from typing import Protocol

from serving.requests import BadRequest


class Readiness(Protocol):
    """Whether this server has a model of that name, and whether it answers."""

    def has(self, model_name: str) -> bool: ...

    def is_ready(self, model_name: str) -> bool: ...


def check_name(models: Readiness, model: str, served: str) -> None:
    """Raises BadRequest (404) for a model that is not here; `served` is the one that is."""
    if not models.has(model):
        raise BadRequest(
            f"model {model[:64]!r} is not served here; ask for {served!r}", HTTPStatus.NOT_FOUND
        )


def check_version(version: str | None, served: str) -> None:
    """Raises BadRequest (404) for another version than the one `served`; None is any."""
    if version not in (None, served):
        raise BadRequest(
            f"version {version[:64]!r} is not served here; ask for {served!r}",
            HTTPStatus.NOT_FOUND,
        )


def check_ready(models: Readiness, model: str) -> None:
    """Raises BadRequest (503) for a model that was unloaded."""
    if not models.is_ready(model):
        raise BadRequest(
            f"model {model!r} is not ready; ask /v2/models/{model}/ready and try again",
            HTTPStatus.SERVICE_UNAVAILABLE,
        )
