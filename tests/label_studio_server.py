"""A real Label Studio for tests: as `make review` starts it, on a free port, stopped at the end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from data_contracts.config import Settings, load_settings
from data_contracts.errors import MissingPart
from data_contracts.secrets import LABEL_STUDIO_TOKEN, create_local_secrets, secret
from infra.local import review
from infra.local.supervisor import Supervisor
from pipelines.labelling.label_studio_client import LabelStudio
from tests.stand_ins.ports import free_port

PASSWORD = "review-only-in-tests"


@dataclass(frozen=True)
class Reviewer:
    """Someone whom the administrator invited, signed in by cookie as in a browser."""

    email: str
    session: httpx.Client

    def annotate(self, task: int, *labels: str, skipped: bool = False) -> dict[str, Any]:
        """Answer a task as the page's Submit button does; as its Skip button if `skipped`."""
        body = {"result": choices(labels), "was_cancelled": skipped}
        return self._send("POST", f"/api/tasks/{task}/annotations/", body)

    def change(self, annotation: int, *labels: str) -> dict[str, Any]:
        return self._send("PATCH", f"/api/annotations/{annotation}/", {"result": choices(labels)})

    def next_task(self, project: int) -> int | None:
        """The task that `Label all tasks` would show now."""
        answer = self.session.get(f"/api/projects/{project}/next")
        return int(answer.json()["id"]) if answer.is_success else None

    def _send(self, method: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
        token = {"X-CSRFToken": self.session.cookies["csrftoken"]}
        answer = self.session.request(method, path, json=body, headers=token)
        assert answer.is_success, answer.text
        return dict(answer.json())


@dataclass(frozen=True)
class ReviewServer:
    settings: Settings
    reviewers: dict[str, Reviewer] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return self.settings.review.url

    @property
    def token(self) -> str:
        return secret(LABEL_STUDIO_TOKEN, self.settings.home)

    @property
    def studio(self) -> LabelStudio:
        return LabelStudio(self.url, self.token)

    @property
    def log(self) -> str:
        return Supervisor(self.settings.home).log_file("label-studio").read_text()

    def reviewer(self, email: str) -> Reviewer:
        """Invited by the administrator's link at the first call."""
        if email not in self.reviewers:
            admin = {"Authorization": f"Token {self.token}"}
            link = httpx.get(f"{self.url}/api/invite", headers=admin).json()["invite_url"]
            session = self.sign_up(email, link)
            assert self.is_signed_in(session)
            self.reviewers[email] = Reviewer(email, session)
        return self.reviewers[email]

    def is_signed_in(self, session: httpx.Client) -> bool:
        return session.get("/api/current-user/whoami").is_success

    def sign_up(self, email: str, page: str = "/user/signup/") -> httpx.Client:
        session = httpx.Client(base_url=self.url, timeout=30)
        session.get(page)
        form = {
            "email": email,
            "password": PASSWORD,
            "allow_newsletters": "false",
            "csrfmiddlewaretoken": session.cookies.get("csrftoken", ""),
        }
        session.post(page, data=form)
        return session


def choices(labels: Sequence[str]) -> list[dict[str, Any]]:
    """An annotation's result as Label Studio's page writes it."""
    region = {"from_name": "label", "to_name": "text", "type": "choices"}
    return [{**region, "value": {"choices": [label]}} for label in labels]


@contextmanager
def review_server(home: Path) -> Iterator[ReviewServer]:
    """Made by `make review`'s own code; skips the test where Label Studio cannot be installed."""
    settings = load_settings(
        {"WEIR_HOME": str(home), "WEIR__REVIEW__URL": f"http://127.0.0.1:{free_port()}"}
    )
    create_local_secrets(settings.home)
    try:
        review.install()
    except MissingPart as error:
        pytest.skip(f"no Label Studio: {error}")
    try:
        review.start(settings)
        yield ReviewServer(settings)
    finally:
        Supervisor(home).stop("label-studio")
