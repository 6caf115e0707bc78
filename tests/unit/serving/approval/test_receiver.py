"""The receiver's answers, and what it starts and aborts, on a stand-in for Airflow."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from httpx import Response
from sqlalchemy import Engine
from starlette.testclient import TestClient

from data_contracts.config import RolloutStep
from data_contracts.errors import ServiceUnavailable
from pipelines import audit_trail
from pipelines.state import open_state
from serving.approval.airflow import DagRuns
from serving.approval.deliveries import Deliveries
from serving.approval.receiver import Receiver, Reconciliation
from serving.approval.starter import Starter
from serving.rollout.store import RolloutStore
from serving.rollout.targets.base import Deployment
from serving.webhook_signature import signature
from tests.stand_ins.airflow_api import PASSWORD, AirflowStandIn, airflow_stand_in
from training.approval import Approval
from training.registry import ModelVersion

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)
WINDOW = timedelta(seconds=300)
SECRET = "s3cret"
APPROVED = Approval(True, 3, "ada", NOW, f"sha256:{'ab' * 32}", entry=7)
RUN = "approval__spam_3_abababababab_7"
STEPS = (RolloutStep(phase="shadow", weight=0, minimum_seconds=1, minimum_requests=1),)


@dataclass
class Registry:
    """Stands in for MLflow: says what the test wrote into it, oldest answer first."""

    answers: list[Approval] = field(default_factory=lambda: [APPROVED])
    number: int | None = 3
    down: bool = False
    asked: int = 0

    def challenger(self) -> ModelVersion | None:
        if self.down:
            raise ServiceUnavailable("MLflow does not answer")
        if self.number is None:
            return None
        return ModelVersion("spam", self.number, "r", "models:/m", NOW, {}, ("challenger",))

    def is_approved(self, version: str) -> Approval:
        self.asked += 1
        if self.down:
            raise ServiceUnavailable("MLflow does not answer")
        said = self.answers[0] if len(self.answers) == 1 else self.answers.pop(0)
        return replace(said, version=int(version))


@dataclass
class Place:
    """A receiver with all that stands around it."""

    registry: Registry
    airflow: AirflowStandIn
    store: RolloutStore
    starter: Starter
    receiver: Receiver
    said: list[str]

    def report(self, **changes: Any) -> bytes:
        data = {"name": "spam", "version": "3", "key": "weir.approval", **changes}
        body = {"entity": "model_version_tag", "action": "set", "timestamp": "x", "data": data}
        return json.dumps(body).encode()

    def send(self, body: bytes, delivery: str = "d-1", secret: str = SECRET) -> Response:
        sent = str(int(NOW.timestamp()))
        headers = {
            "X-MLflow-Delivery-Id": delivery, "X-MLflow-Timestamp": sent,
            "X-MLflow-Signature": signature(secret, delivery, sent, body),
        }  # fmt: skip
        client = TestClient(self.receiver.app())
        return client.post("/webhooks/mlflow", content=body, headers=headers)

    def begin_rollout(self, version: str) -> None:
        self.store.start(Deployment(f"models:/spam/{version}", version), STEPS, ("a", "b", "c"))


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = open_state(f"sqlite:///{tmp_path}/state.sqlite")
    yield engine
    engine.dispose()


@pytest.fixture
def place(engine: Engine) -> Iterator[Place]:
    with airflow_stand_in() as airflow:
        registry, store, said = Registry(), RolloutStore(engine), list[str]()
        store.prepare()
        runs = DagRuns(airflow.url, "approval", PASSWORD)
        starter = Starter(registry, store, runs, engine, lambda: NOW)
        deliveries = Deliveries(engine, WINDOW)
        deliveries.prepare()
        receiver = Receiver(
            "spam", SECRET, deliveries, starter, 1000, lambda: NOW, said.append, lambda _s: None
        )
        yield Place(registry, airflow, store, starter, receiver, said)


# What is answered


def test_an_approval_starts_the_dag_with_model_and_version_once(place: Place) -> None:
    answer = place.send(place.report())
    assert (answer.status_code, answer.json()["answer"]) == (200, "started")
    assert place.airflow.runs == {RUN: {"model": "models:/spam/3", "version": "3"}}
    again = place.send(place.report(), "d-2")
    assert (again.status_code, again.json()["answer"]) == (200, "already started")
    assert list(place.airflow.runs) == [RUN]
    row = audit_trail.entries(place.starter.trail, "models:/spam/3")[-1]
    assert (row.who, row.what) == ("approval receiver", "rollout: asked for, approved by ada")
    assert row.evidence == APPROVED.evidence


def test_the_tag_in_the_report_is_not_believed(place: Place) -> None:
    place.registry.answers = [Approval(False, 3, reason="mallory set the tag and is no reviewer")]
    answer = place.send(place.report(value="approved"))
    assert answer.json() == {
        "answer": "not approved", "version": "3",
        "detail": "mallory set the tag and is no reviewer",
    }  # fmt: skip
    assert place.airflow.runs == {}


def test_a_record_that_comes_just_after_the_webhook_is_waited_for(place: Place) -> None:
    place.registry.answers = [Approval(False, 3, reason="no record"), APPROVED]
    assert place.send(place.report()).json()["answer"] == "started"


def test_a_forged_report_is_refused_and_asks_nobody(place: Place) -> None:
    answer = place.send(place.report(), secret="guessed")
    assert answer.status_code == 401
    assert "is not the signature" in answer.json()["error"]
    assert place.registry.asked == 0
    assert place.said == [f"refused with 401: {answer.json()['error']}"]


def test_a_report_without_a_signature_is_refused(place: Place) -> None:
    answer = TestClient(place.receiver.app()).post("/webhooks/mlflow", content=place.report())
    assert answer.status_code == 401


def test_a_replayed_delivery_is_refused_also_after_a_restart(place: Place, engine: Engine) -> None:
    assert place.send(place.report()).status_code == 200
    place.receiver = replace(place.receiver, deliveries=Deliveries(engine, WINDOW))
    place.registry.asked = 0
    answer = place.send(place.report())
    assert (answer.status_code, answer.json()) == (409, {"error": "delivery d-1 was here before"})
    assert place.registry.asked == 0


def test_an_old_delivery_is_refused_by_its_time(place: Place) -> None:
    assert place.send(place.report()).status_code == 200
    late = NOW + WINDOW + timedelta(seconds=1)
    place.receiver = replace(place.receiver, clock=lambda: late)
    assert place.send(place.report()).status_code == 401


def test_malformed_reports_name_the_field(place: Place) -> None:
    answer = place.send(place.report(version="3; reboot"))
    assert answer.status_code == 400
    assert answer.json()["error"].startswith("data.version: ")
    assert "reboot" not in answer.text + "".join(place.said)


@pytest.mark.parametrize("declared", [True, False])
def test_a_large_body_is_refused_before_it_is_read(place: Place, declared: bool) -> None:
    body = b"x" * 1001
    content = body if declared else iter([body[:500], body[500:]])
    answer = TestClient(place.receiver.app()).post("/webhooks/mlflow", content=content)
    assert (answer.status_code, answer.json()) == (413, {"error": "the body is over 1000 bytes"})


def test_other_tags_and_models_are_none_of_its_business(place: Place) -> None:
    for number, changes in enumerate([{"key": "note"}, {"name": "ham"}]):
        answer = place.send(place.report(**changes), f"d-{number}")
        assert (answer.status_code, answer.json()["answer"]) == (200, "nothing to do")
    assert place.registry.asked == 0


def test_other_paths_and_methods_are_refused(place: Place) -> None:
    client = TestClient(place.receiver.app())
    assert client.get("/webhooks/mlflow").status_code == 405
    assert client.post("/").status_code == 404
    assert client.get("/health").json() == {"status": "ok"}


# What follows


def test_what_is_down_is_503_and_mlflows_repetition_is_heard(place: Place) -> None:
    place.airflow.down = True
    answer = place.send(place.report())
    assert answer.status_code == 503
    assert "Airflow answered 503" in answer.json()["error"]
    place.airflow.down = False
    place.registry.down = True
    assert place.send(place.report()).status_code == 503
    place.registry.down = False
    assert place.send(place.report()).json()["answer"] == "started"


def test_a_version_that_is_not_the_challenger_starts_nothing(place: Place) -> None:
    answer = place.send(place.report(version="2"))
    assert answer.json()["detail"] == "it is not the challenger"
    assert place.airflow.runs == {}


def test_an_expired_approval_starts_nothing(place: Place) -> None:
    expired = replace(APPROVED, approved=False, expired=True, reason="ran out after 72 hours")
    place.registry.answers = [expired]
    assert place.send(place.report()).json()["detail"] == "ran out after 72 hours"
    assert place.airflow.runs == {}


def test_an_approval_waits_for_another_rollout_to_end(place: Place) -> None:
    place.begin_rollout("2")
    answer = place.send(place.report())
    assert (answer.json()["answer"], answer.json()["detail"]) == (
        "waits",
        "version 2 is at pending",
    )
    assert place.airflow.runs == {}


def test_a_new_approval_of_the_same_version_is_a_new_run(place: Place) -> None:
    place.send(place.report())
    place.registry.answers = [replace(APPROVED, entry=9)]
    assert place.send(place.report(), "d-2").json()["answer"] == "started"
    assert list(place.airflow.runs) == [RUN, "approval__spam_3_abababababab_9"]


def test_a_failed_run_is_told_and_not_started_again(place: Place) -> None:
    place.send(place.report())
    place.airflow.states[RUN] = "failed"
    answer = place.send(place.report(), "d-2").json()
    assert answer["detail"] == f"run {RUN} is failed; clear its failed task in Airflow"


def test_a_revoked_approval_asks_the_running_rollout_to_abort(place: Place) -> None:
    place.begin_rollout("3")
    assert place.send(place.report()).json()["detail"] == "its rollout is under way"
    place.registry.answers = [Approval(False, 3, reason="approval was revoked by ada")]
    answer = place.send(place.report(), "d-2").json()
    assert (answer["answer"], answer["detail"]) == ("aborting", "approval was revoked by ada")
    active = place.store.active()
    assert active is not None
    assert active.request == "abort"
    rows = [(row.who, row.what) for row in audit_trail.entries(place.starter.trail)]
    assert rows[-1] == ("approval receiver", "rollout 1: abort asked for at pending")


@pytest.mark.parametrize("why", ["expired", "down"])
def test_neither_time_nor_silence_aborts_a_running_rollout(place: Place, why: str) -> None:
    place.begin_rollout("3")
    place.registry.answers = [replace(APPROVED, approved=False, expired=True, reason="ran out")]
    place.registry.down = why == "down"
    place.send(place.report())
    active = place.store.active()
    assert active is not None
    assert active.request is None


# What the webhook lost


def test_the_reconciliation_starts_what_no_webhook_told_and_once(place: Place) -> None:
    reconciliation = Reconciliation(place.starter, timedelta(seconds=1), place.said.append)
    reconciliation.once()
    reconciliation.once()
    place.send(place.report())
    assert list(place.airflow.runs) == [RUN]
    assert place.said[0] == f"version 3: started: run {RUN}"


def test_the_reconciliation_asks_again_when_somebody_was_down_and_says_so_once(
    place: Place,
) -> None:
    reconciliation = Reconciliation(place.starter, timedelta(seconds=1), place.said.append)
    place.airflow.down = True
    reconciliation.once()
    reconciliation.once()
    assert len(place.said) == 1
    assert "asked in vain, will ask again: Airflow answered 503" in place.said[0]
    place.airflow.down = False
    reconciliation.once()
    assert list(place.airflow.runs) == [RUN]


def test_the_reconciliation_aborts_what_was_revoked(place: Place) -> None:
    place.begin_rollout("2")
    place.registry.answers = [Approval(False, 2, reason="approval was revoked by ada")]
    place.registry.number = None
    Reconciliation(place.starter, timedelta(seconds=1), place.said.append).once()
    assert place.said == ["version 2: aborting: approval was revoked by ada"]


def test_without_a_challenger_there_is_nothing_to_do(place: Place) -> None:
    place.registry.number = None
    assert place.starter.reconcile() == []


def test_a_token_that_ended_is_renewed(place: Place) -> None:
    place.send(place.report())
    place.starter.runs._session["token"] = "ended"
    place.registry.answers = [replace(APPROVED, entry=9)]
    assert place.send(place.report(), "d-2").json()["answer"] == "started"
    assert place.airflow.tokens_given == 2


def test_passwords_and_secrets_do_not_show(place: Place) -> None:
    assert PASSWORD not in repr(place.starter.runs)
    assert SECRET not in repr(place.receiver)


def test_forgotten_ids_are_those_that_time_refuses_anyway(engine: Engine) -> None:
    deliveries = Deliveries(engine, WINDOW)
    deliveries.prepare()
    assert deliveries.take("d-1", NOW, NOW)
    assert not deliveries.take("d-1", NOW, NOW + 2 * WINDOW)
    assert deliveries.take("d-1", NOW + 3 * WINDOW, NOW + 3 * WINDOW)
