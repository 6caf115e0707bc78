"""From a reviewer's click in MLflow to a DAG run, with a real browser, server, webhook, receiver.

Only Airflow is a stand-in here; `test_airflow.py` holds the receiver's client against a real one.
The reconciliation sleeps, so whatever starts was started by the webhook.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from data_contracts.config import PROJECT, RolloutStep
from data_contracts.secrets import (
    AIRFLOW_APPROVAL_PASSWORD,
    MLFLOW_READER_PASSWORD,
    MLFLOW_REVIEWER_PASSWORD,
    MLFLOW_WEBHOOK_SECRET,
    secret,
)
from pipelines import audit_trail
from serving.rollout.phases import Transition
from serving.rollout.store import RolloutStore
from serving.rollout.targets.base import Deployment
from serving.webhook_signature import signature
from tests.integration.test_model_card_in_browser import WAIT_MILLISECONDS
from tests.mlflow_server import TrackingServer, tracking_server
from tests.stand_ins.airflow_api import PASSWORD, AirflowStandIn, airflow_stand_in
from tests.stand_ins.ports import free_port
from tests.tiny_version import artefact, gate_report, promoted, registered
from training import registry
from training.gate_evidence import APPROVAL_TAG, APPROVED, TRIGGERED_BY_TAG
from training.gate_reports import read_judgements
from training.promotion import Promotion
from training.registry import Connection, ModelVersion
from training.registry.versions import create_version

pytestmark = [pytest.mark.services, pytest.mark.timeout(300)]
SECONDS = 30.0
FADE_MILLISECONDS = 500  # until MLflow's message can be read on a picture
STEPS = (RolloutStep(phase="shadow", weight=0, minimum_seconds=1, minimum_requests=1),)


@dataclass
class ApprovalPath:
    """The approval path as it stands: MLflow, the receiver's process, the stand-in for Airflow."""

    server: TrackingServer
    airflow: AirflowStandIn
    log: Path
    receiver: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.settings.approval.port}"

    def start_receiver(self) -> None:
        with self.log.open("ab") as output:
            self.receiver = subprocess.Popen(
                [sys.executable, "-m", "serving", "approval"], cwd=PROJECT, stdout=output,
                env={**os.environ, **self.server.environ}, stderr=subprocess.STDOUT,
            )  # fmt: skip
        _until(self.is_up)

    def stop_receiver(self) -> None:
        assert self.receiver is not None
        self.receiver.send_signal(signal.SIGTERM)
        assert self.receiver.wait(SECONDS) in {0, -signal.SIGTERM}

    def is_up(self) -> bool:
        try:
            return httpx.get(f"{self.url}/health", timeout=2).is_success
        except httpx.HTTPError:
            return False

    def report(
        self, version: ModelVersion, delivery: str, age_seconds: int = 0, key: str | None = None
    ) -> httpx.Response:
        """Tell the receiver what MLflow would tell it, signed with the real secret or another."""
        data = {"name": "spam", "version": str(version.number), "key": APPROVAL_TAG}
        body = json.dumps({"entity": "model_version_tag", "action": "set", "data": data}).encode()
        sent = str(int(time.time()) - age_seconds)
        key = key or secret(MLFLOW_WEBHOOK_SECRET, self.server.settings.home)
        headers = {
            "X-MLflow-Delivery-Id": delivery, "X-MLflow-Timestamp": sent,
            "X-MLflow-Signature": signature(key, delivery, sent, body),
        }  # fmt: skip
        return httpx.post(
            f"{self.url}/webhooks/mlflow", content=body, headers=headers, timeout=SECONDS
        )

    @property
    def promotion(self) -> Promotion:
        return Promotion.of(self.server.settings)

    def user(self, name: str) -> Connection:
        return registry.connect(self.server.settings, name)

    def runs_of(self, version: ModelVersion) -> list[str]:
        return [run for run, conf in self.airflow.runs.items() if conf["model"] == version.uri]

    def said(self, words: str) -> Callable[[], bool]:
        return lambda: words in self.log.read_text()


@pytest.fixture(scope="module")
def approval(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApprovalPath]:
    home = tmp_path_factory.mktemp("weir")
    with airflow_stand_in() as airflow:
        variables = {
            "WEIR__APPROVAL__PORT": str(free_port()),
            "WEIR__APPROVAL__AIRFLOW_URL": airflow.url,
            "WEIR__APPROVAL__RECONCILE_SECONDS": "3600",
            AIRFLOW_APPROVAL_PASSWORD: PASSWORD,
        }
        with tracking_server(home, **variables) as server:
            approval = ApprovalPath(server, airflow, home / "approval.log")
            try:
                approval.start_receiver()
                yield approval
            finally:
                approval.stop_receiver()
    said = approval.log.read_text()
    assert "Traceback" not in said
    secrets = (MLFLOW_WEBHOOK_SECRET, MLFLOW_READER_PASSWORD)
    assert not [name for name in secrets if secret(name, home) in said]


@pytest.fixture(scope="module")
def trained(approval: ApprovalPath, tmp_path_factory: pytest.TempPathFactory) -> ModelVersion:
    return registered(approval.user("trainer"), artefact(tmp_path_factory.mktemp("model") / "tiny"))


@pytest.fixture
def challenger(
    approval: ApprovalPath, trained: ModelVersion, tmp_path: Path, request: pytest.FixtureRequest
) -> ModelVersion:
    """A fresh version that every gate passed; started by hand by whom the test names, if any."""
    tags = dict(trained.tags)
    if hasattr(request, "param"):
        tags[TRIGGERED_BY_TAG] = request.param
    model_id = trained.source.removeprefix("models:/")
    trainer = approval.user("trainer")
    version = create_version(trainer, trained.source, trained.run_id, model_id, tags)
    assert promoted(approval.promotion, version, tmp_path).promoted
    return version


@pytest.fixture
def page(
    browser: Browser,
    approval: ApprovalPath,
    challenger: ModelVersion,
    request: pytest.FixtureRequest,
) -> Iterator[Page]:
    """The challenger's page in MLflow, as the user whom the test names, or the reviewer."""
    user = getattr(request, "param", "reviewer")
    name = {"reviewer": MLFLOW_REVIEWER_PASSWORD, "reader": MLFLOW_READER_PASSWORD}[user]
    password = secret(name, approval.server.settings.home)
    context = browser.new_context(
        viewport={"width": 1280, "height": 1400},
        http_credentials={"username": user, "password": password},
    )
    context.set_default_timeout(WAIT_MILLISECONDS)
    page = context.new_page()
    page.goto(f"{approval.server.uri}/#/models/spam/versions/{challenger.number}")
    page.get_by_role("button", name="Close", exact=True).click()
    yield page
    context.close()


# Approved


def test_a_reviewers_click_starts_the_rollout_with_model_and_version(
    page: Page, approval: ApprovalPath, challenger: ModelVersion, tmp_path: Path
) -> None:
    _click_tag(page, APPROVED)
    expect(page.get_by_role("row").filter(has_text=APPROVAL_TAG)).to_contain_text(APPROVED)
    page.screenshot(path=tmp_path / "approved.png")
    _until(lambda: bool(approval.runs_of(challenger)))
    [run] = approval.runs_of(challenger)
    number = str(challenger.number)
    assert approval.airflow.runs[run] == {"model": challenger.uri, "version": number}
    _until(approval.said(f"version {number}: started: run {run}"))
    rows = audit_trail.entries(approval.promotion.trail, challenger.uri)
    assert [(row.who, row.what) for row in rows] == [
        ("trainer", "version created"),
        ("trainer", "gates: passed"),
        ("weir", "alias set: challenger"),
        ("reviewer", "approval set: approved"),
        ("approval receiver", "rollout: asked for, approved by reviewer"),
    ]
    assert len({row.evidence for row in rows[1:]}) == 1, "all on the same evidence"
    assert audit_trail.verify(approval.promotion.trail) is None


def test_a_reviewers_second_click_aborts_the_running_rollout(
    page: Page, approval: ApprovalPath, challenger: ModelVersion, tmp_path: Path
) -> None:
    _click_tag(page, APPROVED)
    _until(lambda: bool(approval.runs_of(challenger)))
    store = RolloutStore(approval.promotion.trail)
    store.start(Deployment(challenger.uri, str(challenger.number)), STEPS, ("a", "b", "c"))
    _edit_tag(page, "withdrawn")
    _until(lambda: getattr(store.active(), "request", None) == "abort")
    page.screenshot(path=tmp_path / "revoked.png")
    _until(approval.said(f"version {challenger.number}: aborting: approval was revoked"))
    assert "revoked by reviewer" in approval.promotion.is_approved(challenger.number).reason
    _end_rollout(store)


# Lost


def test_what_is_approved_while_the_receiver_is_down_starts_when_it_is_back_and_once(
    approval: ApprovalPath, challenger: ModelVersion
) -> None:
    approval.stop_receiver()
    registry.set_tags(approval.user("reviewer"), challenger.number, {APPROVAL_TAG: APPROVED})
    assert approval.runs_of(challenger) == []
    approval.start_receiver()
    _until(lambda: bool(approval.runs_of(challenger)))
    assert approval.report(challenger, "later").json()["answer"] == "already started"
    assert len(approval.runs_of(challenger)) == 1


# Refused


def test_nobody_approves_without_a_password(
    approval: ApprovalPath, challenger: ModelVersion
) -> None:
    tag = {"name": "spam", "version": str(challenger.number), "key": APPROVAL_TAG}
    answer = httpx.post(
        f"{approval.server.uri}/ajax-api/2.0/mlflow/model-versions/set-tag",
        json={**tag, "value": APPROVED},
    )
    assert answer.status_code == 401
    _check_that_nothing_started(approval, challenger, "no tag weir.approval")


@pytest.mark.parametrize("page", ["reader"], indirect=True)
def test_a_readers_click_is_refused(
    page: Page, approval: ApprovalPath, challenger: ModelVersion
) -> None:
    with page.expect_response("**/model-versions/set-tag") as answer:
        _click_tag(page, APPROVED)
    assert answer.value.status == 403
    _check_that_nothing_started(approval, challenger, "no tag weir.approval")


@pytest.mark.parametrize("challenger", ["reviewer"], indirect=True)
def test_the_click_of_who_trained_is_refused_and_told_why(
    page: Page, approval: ApprovalPath, challenger: ModelVersion, tmp_path: Path
) -> None:
    with page.expect_response("**/model-versions/set-tag") as answer:
        _click_tag(page, APPROVED)
    assert answer.value.status == 403
    why = "four eyes: reviewer trained it (training triggered"
    assert why in answer.value.json()["message"]
    page.get_by_text(why).first.wait_for()
    page.wait_for_timeout(FADE_MILLISECONDS)
    page.screenshot(path=tmp_path / "refused.png")
    _check_that_nothing_started(approval, challenger, "no tag weir.approval")


def test_stale_evidence_starts_nothing(
    approval: ApprovalPath, challenger: ModelVersion, tmp_path: Path
) -> None:
    """Approved while another version was rolled out; before that ended, a gate judged anew."""
    store = RolloutStore(approval.promotion.trail)
    store.start(Deployment("models:/spam/1", "1"), STEPS, ("a", "b", "c"))
    registry.set_tags(approval.user("reviewer"), challenger.number, {APPROVAL_TAG: APPROVED})
    _until(approval.said(f"version {challenger.number}: waits: version 1 is at pending"))
    report = gate_report(tmp_path, "golden")
    report.write_text(report.read_text().replace("0.98", "0.97"))
    assert approval.promotion.promote(challenger.number, read_judgements([report])).promoted
    _end_rollout(store)
    _check_that_nothing_started(approval, challenger, "evidence changed after the approval")


def test_forged_and_replayed_and_old_reports_are_refused(
    approval: ApprovalPath, challenger: ModelVersion
) -> None:
    forged = approval.report(challenger, "forged", key="guessed")
    assert (forged.status_code, list(forged.json())) == (401, ["error"])
    old = approval.report(challenger, "old", age_seconds=301)
    assert (old.status_code, "more than 300 s from now" in old.json()["error"]) == (401, True)
    assert approval.report(challenger, "once").status_code == 200
    replayed = approval.report(challenger, "once")
    assert replayed.status_code == 409
    assert replayed.json() == {"error": "delivery once was here before"}


def _check_that_nothing_started(approval: ApprovalPath, version: ModelVersion, reason: str) -> None:
    """Asked with a report that is signed and fresh, so that only the registry can say no."""
    answer = approval.report(version, f"asks-about-{version.number}").json()
    assert answer["answer"] == "not approved"
    assert reason in answer["detail"]
    assert approval.runs_of(version) == []


def _end_rollout(store: RolloutStore) -> None:
    """As the controller would, which does not run here."""
    active = store.active()
    assert active is not None
    store.advance(active, Transition("aborted", active.step, "revoked"), None, lambda _: None)


def _click_tag(page: Page, value: str) -> None:
    page.get_by_label("tag name").fill(APPROVAL_TAG)
    page.get_by_label("tag value").fill(value)
    page.get_by_role("button", name="Add", exact=True).click()


def _edit_tag(page: Page, value: str) -> None:
    row = page.get_by_role("row").filter(has_text=APPROVAL_TAG)
    row.get_by_test_id("editable-table-button-edit").click()
    page.get_by_test_id("editable-table-edited-input").fill(value)
    page.get_by_test_id("editable-table-button-save").click()


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)
