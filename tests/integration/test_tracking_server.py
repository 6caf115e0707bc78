"""A real MLflow server of Weir: rights, the approval recorder, promotion, artefacts, lineage."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import create_engine

from data_contracts.command_line import main
from data_contracts.errors import BadInput, ConfigurationError, ServiceUnavailable, WeirError
from data_contracts.secrets import MLFLOW_ADMIN_PASSWORD, MLFLOW_WEBHOOK_SECRET, secret
from pipelines import audit_trail
from tests import tiny_version
from tests.mlflow_server import TrackingServer, tracking_server
from tests.stand_ins.ports import free_port
from tests.tiny_version import ENSEMBLE, artefact, gate_report, promoted
from training import registry
from training.__main__ import VERBS
from training.gate_evidence import APPROVAL_TAG, APPROVED, ENSEMBLE_TAG, TRIGGERED_BY_TAG
from training.gate_reports import read_judgements
from training.model_fetch import fetch_into
from training.promotion import Promotion
from training.registry import Connection, ModelVersion, NotInRegistry
from training.registry.artefact import ARTEFACT_TAG
from training.registry.download import fetch
from training.registry.versions import create_version
from training.tracking_server import check_port
from training.waivers import public_key

pytestmark = pytest.mark.services
GRACES_KEY = "07" * 32  # signs waivers


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TrackingServer]:
    who_may = {
        "WEIR__REGISTRY__REVIEWERS": "[reviewer, ada]",
        "WEIR__REGISTRY__WAIVER_SIGNERS__GRACE": public_key(GRACES_KEY),
    }
    with tracking_server(tmp_path_factory.mktemp("weir"), **who_may) as running:
        yield running


@pytest.fixture
def trainer(server: TrackingServer) -> Connection:
    return registry.connect(server.settings)


@pytest.fixture
def reviewer(server: TrackingServer) -> Connection:
    return registry.connect(server.settings, "reviewer")


@pytest.fixture
def reader(server: TrackingServer) -> Connection:
    return registry.connect(server.settings, "reader")


@pytest.fixture(scope="module")
def admin(server: TrackingServer) -> Connection:
    password = secret(MLFLOW_ADMIN_PASSWORD, server.settings.home)
    return replace(registry.connect(server.settings), user="admin", password=password)


@pytest.fixture(scope="module")
def ada(admin: Connection, registered: ModelVersion) -> Connection:
    """A reviewer who may train as well: the admin gave her a trainer's rights on top."""
    ada = replace(admin, user="ada", password="reviews-and-trains")
    admin.call("POST", "users/create", username=ada.user, password=ada.password)
    experiment = admin.call("GET", "experiments/get-by-name", experiment_name=ada.experiment)
    for kind, resource in (
        ("registered_model", registered.model),
        ("experiment", experiment["experiment"]["experiment_id"]),
    ):
        wanted = {
            "username": ada.user, "resource_type": kind, "resource_id": resource,
            "permission": "MANAGE",
        }  # fmt: skip
        answer = httpx.post(
            f"{admin.tracking_uri}/api/3.0/mlflow/users/permissions/grant",
            json=wanted, auth=(admin.user, admin.password),
        )  # fmt: skip
        assert answer.is_success, answer.text
    return ada


@pytest.fixture
def promotion(server: TrackingServer) -> Promotion:
    return Promotion.of(server.settings)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return artefact(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture(scope="module")
def registered(server: TrackingServer, directory: Path) -> ModelVersion:
    return tiny_version.registered(registry.connect(server.settings), directory)


@pytest.fixture
def version(trainer: Connection, registered: ModelVersion) -> ModelVersion:
    """A fresh version of the same files, not judged by any gate."""
    model_id = registered.source.removeprefix("models:/")
    return create_version(trainer, registered.source, registered.run_id, model_id, registered.tags)


@pytest.fixture
def judged(version: ModelVersion, promotion: Promotion, tmp_path: Path) -> ModelVersion:
    """The version after every gate passed it."""
    assert promoted(promotion, version, tmp_path).promoted
    return version


def _approve(connection: Connection, version: ModelVersion, value: str = APPROVED) -> None:
    registry.set_tags(connection, version.number, {APPROVAL_TAG: value})


def _command(server: TrackingServer, folder: Path, *arguments: str) -> dict[str, Any]:
    """The result of a verb, or its exit code where it has none."""
    result = folder / "result.json"
    with pytest.MonkeyPatch.context() as patch:
        for name, value in server.environ.items():
            patch.setenv(name, value)
        code = main("training", "", VERBS, [*arguments, "--result", str(result)])
    return dict(json.loads(result.read_text())) if code == 0 else {"exit_code": code}


# Who may do what


def test_nobody_enters_without_a_password(server: TrackingServer) -> None:
    answer = httpx.get(f"{server.uri}/api/2.0/mlflow/experiments/search?max_results=1")
    assert answer.status_code == 401


def test_mlflows_assistant_is_off_for_everybody(trainer: Connection) -> None:
    answer = httpx.get(
        f"{trainer.tracking_uri}/ajax-api/3.0/mlflow/assistant/config",
        auth=(trainer.user, trainer.password),
    )
    assert (answer.status_code, answer.text) == (404, "the assistant is off")


def test_a_reader_reads_and_changes_nothing(reader: Connection, judged: ModelVersion) -> None:
    assert registry.get_version(reader, judged.number).number == judged.number
    with pytest.raises(BadInput, match="reader may not"):
        _approve(reader, judged)
    with pytest.raises(BadInput, match="reader may not"):
        registry.set_alias(reader, "champion", judged.number)


def test_a_reviewer_tags_versions_but_moves_no_alias(
    reviewer: Connection, judged: ModelVersion
) -> None:
    registry.set_tags(reviewer, judged.number, {"note": "looked at"})
    with pytest.raises(BadInput, match="reviewer may not"):
        registry.set_alias(reviewer, "champion", judged.number)


def test_one_webhook_tells_the_receiver_and_keeps_its_secret(
    server: TrackingServer, admin: Connection
) -> None:
    [hook] = admin.call("GET", "webhooks")["webhooks"]
    assert (hook["name"], hook["status"]) == ("weir-approval", "ACTIVE")
    assert hook["url"] == server.settings.approval.webhook_url
    events = sorted((event["entity"], event["action"]) for event in hook["events"])
    assert events == [("MODEL_VERSION_TAG", "DELETED"), ("MODEL_VERSION_TAG", "SET")]
    assert secret(MLFLOW_WEBHOOK_SECRET, server.settings.home) not in str(hook)


def test_wrong_credentials_name_the_secret(trainer: Connection) -> None:
    with pytest.raises(ServiceUnavailable, match="WEIR_MLFLOW_TRAINER_PASSWORD"):
        registry.find_version(replace(trainer, password="wrong-password"), 1)


def test_a_server_that_is_down_is_named_with_the_remedy(trainer: Connection) -> None:
    down = replace(trainer, tracking_uri=f"http://127.0.0.1:{free_port()}")
    with pytest.raises(ServiceUnavailable, match="tracking-server"):
        registry.find_version(down, "champion")


def test_passwords_leave_the_environment_and_never_show(trainer: Connection) -> None:
    with trainer.client():
        assert os.environ["MLFLOW_TRACKING_PASSWORD"] == trainer.password
    assert "MLFLOW_TRACKING_PASSWORD" not in os.environ
    assert trainer.password not in repr(trainer)


# What counts as an approval


def test_a_reviewers_tag_is_an_approval_with_its_record(
    promotion: Promotion, reviewer: Connection, judged: ModelVersion
) -> None:
    assert promotion.is_approved("challenger").reason.startswith("no tag")
    before = datetime.now(UTC)
    _approve(reviewer, judged)
    approval = promotion.is_approved(judged.number)
    assert approval.approved, approval.reason
    assert approval.by == "reviewer"
    assert approval.at is not None
    assert before <= approval.at <= datetime.now(UTC)
    row = audit_trail.entries(promotion.trail, judged.uri)[-1]
    assert (row.who, row.what) == ("reviewer", "approval set: approved")
    assert row.evidence == registry.get_version(reviewer, judged.number).tags["weir.evidence"]


@pytest.mark.parametrize("prefix", ["api", "ajax-api"])
def test_both_of_mlflows_interfaces_are_recorded(
    prefix: str, promotion: Promotion, reviewer: Connection, judged: ModelVersion
) -> None:
    body = {
        "name": judged.model, "version": str(judged.number), "key": APPROVAL_TAG,
        "value": APPROVED,
    }  # fmt: skip
    answer = httpx.post(
        f"{reviewer.tracking_uri}/{prefix}/2.0/mlflow/model-versions/set-tag",
        json=body, auth=(reviewer.user, reviewer.password),
    )  # fmt: skip
    assert answer.status_code == 200
    assert promotion.is_approved(judged.number).approved


def test_a_trainers_approval_is_refused_at_the_click_and_leaves_no_record(
    promotion: Promotion, trainer: Connection, judged: ModelVersion
) -> None:
    with pytest.raises(BadInput, match=r"trainer set the tag and is no reviewer \(ada, reviewer\)"):
        _approve(trainer, judged)
    assert promotion.is_approved(judged.number).reason.startswith("no tag")
    whats = [row.what for row in audit_trail.entries(promotion.trail, judged.uri)]
    assert whats == ["version created", "gates: passed", "alias set: challenger"]


def test_an_admins_approval_is_refused_as_well(admin: Connection, judged: ModelVersion) -> None:
    with pytest.raises(BadInput, match="admin set the tag and is no reviewer"):
        _approve(admin, judged)


def test_a_refused_approval_does_not_end_one_that_stands(
    promotion: Promotion, trainer: Connection, reviewer: Connection, judged: ModelVersion
) -> None:
    _approve(reviewer, judged)
    with pytest.raises(BadInput, match="is no reviewer"):
        _approve(trainer, judged)
    assert promotion.is_approved(judged.number).approved


@pytest.mark.parametrize("made", ["run", "version"])
def test_who_trained_may_not_approve_though_a_reviewer(
    made: str, promotion: Promotion, ada: Connection, trainer: Connection, reviewer: Connection,
    directory: Path, registered: ModelVersion, tmp_path: Path,
) -> None:  # fmt: skip
    """Four eyes: by the run or by the version that MLflow saw her make, whatever the tags say."""
    if made == "run":
        with registry.training_run(ada, "hers") as run:
            version = registry.log_version(ada, directory, run.run_id, {ENSEMBLE_TAG: ENSEMBLE})
    else:
        model_id = registered.source.removeprefix("models:/")
        version = create_version(
            ada, registered.source, registered.run_id, model_id, registered.tags
        )
    registry.set_tags(trainer, version.number, {"mlflow.user": "trainer", "weir.by": "trainer"})
    assert promoted(promotion, version, tmp_path).promoted
    with pytest.raises(BadInput, match="four eyes: ada trained it"):
        _approve(ada, version)
    _approve(reviewer, version)
    assert promotion.is_approved(version.number).by == "reviewer"


def test_who_started_the_training_by_hand_may_not_approve(
    server: TrackingServer, promotion: Promotion, trainer: Connection, ada: Connection,
    reviewer: Connection, registered: ModelVersion, tmp_path: Path,
) -> None:  # fmt: skip
    model_id = registered.source.removeprefix("models:/")
    tags = {**registered.tags, TRIGGERED_BY_TAG: "reviewer"}
    version = create_version(trainer, registered.source, registered.run_id, model_id, tags)
    registry.drop_tag(trainer, version.number, TRIGGERED_BY_TAG)  # the record stays
    promoted(promotion, version, tmp_path)
    with pytest.raises(BadInput, match=r"four eyes: reviewer trained it \(training triggered"):
        _approve(reviewer, version)
    _approve(ada, version)
    assert promotion.is_approved(version.number).by == "ada"


def test_a_version_of_a_run_that_nobody_saw_is_not_approved(
    promotion: Promotion, trainer: Connection, reviewer: Connection, directory: Path,
    tmp_path: Path,
) -> None:  # fmt: skip
    """A run in another experiment is not recorded, so that nobody can fill the trail."""
    elsewhere = replace(trainer, experiment="elsewhere")
    with registry.training_run(elsewhere, "unseen") as run:
        version = registry.log_version(elsewhere, directory, run.run_id, {ENSEMBLE_TAG: ENSEMBLE})
    promoted(promotion, version, tmp_path)
    with pytest.raises(BadInput, match="nobody is known to have trained it"):
        _approve(reviewer, version)


def test_a_reviewer_reads_and_writes_none_of_weirs_other_tags(
    reviewer: Connection, judged: ModelVersion
) -> None:
    for key in ("weir.gate.golden", "weir.evidence", "weir.artefact"):
        with pytest.raises(BadInput, match=f"tag {key} is Weir's"):
            registry.set_tags(reviewer, judged.number, {key: "x"})


@pytest.mark.parametrize("user", ["reader", "reviewer"])
def test_only_a_trainer_logs_and_registers(
    user: str, server: TrackingServer, registered: ModelVersion
) -> None:
    connection = registry.connect(server.settings, user)
    asked = {
        "runs/create": {"experiment_id": "1"},
        "logged-models": {"experiment_id": "1", "name": "m"},
        "experiments/create": {"name": f"of-{user}"},
        "registered-models/create": {"name": f"of-{user}"},
        "model-versions/create": {"name": "spam", "source": registered.source, "run_id": "r"},
        "webhooks": {"name": "w", "url": "http://127.0.0.1:1/x", "events": []},
    }
    for path, body in asked.items():
        with pytest.raises(BadInput, match=f"{user} may not"):
            connection.call("POST", path, **body)


def test_a_tag_written_into_the_database_is_no_approval(
    server: TrackingServer, promotion: Promotion, trainer: Connection, judged: ModelVersion
) -> None:
    registry.set_tags(trainer, judged.number, {"harmless": APPROVED})
    file = server.settings.home / "mlflow" / "mlflow.sqlite"
    with closing(sqlite3.connect(file, timeout=10)) as database:
        database.execute(
            "UPDATE model_version_tags SET key = ? WHERE key = 'harmless' AND version = ?",
            (APPROVAL_TAG, judged.number),
        )
        database.commit()
    approval = promotion.is_approved(judged.number)
    assert not approval.approved
    assert "no record of MLflow's server plugin" in approval.reason


def test_an_approval_of_no_version_is_answered_as_mlflow_does(
    reviewer: Connection, judged: ModelVersion
) -> None:
    with pytest.raises(NotInRegistry):
        _approve(reviewer, replace(judged, number=999_999))


def test_no_version_is_born_approved(trainer: Connection, registered: ModelVersion) -> None:
    model_id = registered.source.removeprefix("models:/")
    tags = {**registered.tags, APPROVAL_TAG: APPROVED}
    with pytest.raises(BadInput, match=r"never born with the tag weir\.approval"):
        create_version(trainer, registered.source, registered.run_id, model_id, tags)


@pytest.mark.parametrize("user", ["reviewer", "trainer"])
def test_whoever_withdraws_an_approval_is_recorded_and_named(
    user: str, server: TrackingServer, promotion: Promotion, reviewer: Connection,
    judged: ModelVersion,
) -> None:  # fmt: skip
    _approve(reviewer, judged)
    _approve(registry.connect(server.settings, user), judged, "withdrawn")
    approval = promotion.is_approved(judged.number)
    assert approval.revoked
    assert approval.reason.startswith(f"approval was revoked by {user} on ")
    row = audit_trail.entries(promotion.trail, judged.uri)[-1]
    assert (row.who, row.what) == (user, "approval set: withdrawn")
    with pytest.raises(BadInput, match="cannot become champion: approval was revoked"):
        promotion.make_champion(judged.number)


def test_a_deleted_tag_ends_the_approval(
    promotion: Promotion, trainer: Connection, reviewer: Connection, judged: ModelVersion
) -> None:
    _approve(reviewer, judged)
    registry.drop_tag(trainer, judged.number, APPROVAL_TAG)
    approval = promotion.is_approved(judged.number)
    assert approval.revoked
    assert "revoked by trainer" in approval.reason
    row = audit_trail.entries(promotion.trail, judged.uri)[-1]
    assert (row.who, row.what) == ("trainer", "approval deleted")


def test_mlflow_or_the_trail_being_down_is_neither_yes_nor_no(
    promotion: Promotion, judged: ModelVersion, tmp_path: Path
) -> None:
    down = replace(promotion.connection, tracking_uri=f"http://127.0.0.1:{free_port()}")
    with pytest.raises(ServiceUnavailable):
        replace(promotion, connection=down).is_approved(judged.number)
    nowhere = create_engine(f"sqlite:///{tmp_path}/nowhere/state.sqlite")
    with pytest.raises(ServiceUnavailable, match="the audit trail does not answer"):
        replace(promotion, trail=nowhere).is_approved(judged.number)


def test_a_refused_request_leaves_no_record(
    promotion: Promotion, reader: Connection, judged: ModelVersion
) -> None:
    rows = audit_trail.entries(promotion.trail, judged.uri)
    with pytest.raises(BadInput):
        _approve(reader, judged)
    assert audit_trail.entries(promotion.trail, judged.uri) == rows


def test_an_approval_runs_out(
    promotion: Promotion, reviewer: Connection, judged: ModelVersion
) -> None:
    _approve(reviewer, judged)
    later = replace(promotion, clock=lambda: datetime.now(UTC) + timedelta(hours=72, minutes=1))
    assert "ran out after 72 hours" in later.is_approved(judged.number).reason


def test_gates_that_judge_anew_after_the_approval_end_it(
    promotion: Promotion, reviewer: Connection, judged: ModelVersion, tmp_path: Path
) -> None:
    _approve(reviewer, judged)
    promoted(promotion, judged, tmp_path)  # the very same reports: nothing changed
    assert promotion.is_approved(judged.number).approved
    path = gate_report(tmp_path, "golden")
    path.write_text(path.read_text().replace("0.98", "0.97"))
    promotion.promote(judged.number, read_judgements([path]))
    assert "evidence changed after the approval" in promotion.is_approved(judged.number).reason


def test_a_version_without_every_gate_is_not_approved(
    promotion: Promotion, reviewer: Connection, version: ModelVersion, tmp_path: Path
) -> None:
    paths = [gate_report(tmp_path, "golden"), gate_report(tmp_path, "adversarial")]
    done = promotion.promote(version.number, read_judgements(paths))
    assert (done.promoted, done.gates) == (False, "not_enough_evidence")
    with pytest.raises(BadInput, match="gate fairness has not judged"):
        promotion.approve(version.number, reviewer)
    with pytest.raises(BadInput, match="not approved: gate fairness has not judged this version"):
        _approve(reviewer, version)
    assert not promotion.is_approved(version.number).approved


def test_a_verdict_taken_from_another_version_is_no_evidence(
    trainer: Connection, reviewer: Connection, judged: ModelVersion, registered: ModelVersion
) -> None:
    model_id = registered.source.removeprefix("models:/")
    tags = registry.get_version(trainer, judged.number).tags
    version = create_version(trainer, registered.source, registered.run_id, model_id, tags)
    with pytest.raises(BadInput, match="not what `training promote` recorded"):
        _approve(reviewer, version)


# Promotion and aliases


def test_a_failed_gate_makes_no_challenger_and_takes_the_alias_away(
    promotion: Promotion, trainer: Connection, judged: ModelVersion, tmp_path: Path
) -> None:
    assert "challenger" in registry.get_version(trainer, judged.number).aliases
    done = promoted(promotion, judged, tmp_path, fairness="fail")
    assert (done.promoted, done.gates) == (False, "failed")
    assert registry.find_version(trainer, "challenger") is None


def test_missing_evidence_can_be_waived_by_who_may_and_for_some_days(
    server: TrackingServer, promotion: Promotion, reviewer: Connection, version: ModelVersion,
    tmp_path: Path, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    paths = [gate_report(tmp_path, gate) for gate in ("golden", "adversarial")]
    paths.append(gate_report(tmp_path, "fairness", "not_enough_evidence"))
    assert not promotion.promote(version.number, read_judgements(paths)).promoted
    number, today = str(version.number), datetime.now(UTC).date()
    sign = (
        "waiver", "sign", "--version", number, "--gate", "fairness", "--by", "grace",
        "--reason", "one language so far", "--output", str(tmp_path / "waiver.json"), "--until",
    )  # fmt: skip
    grace = replace(server, environ=server.environ | {"WEIR_WAIVER_KEY": GRACES_KEY})
    assert _command(server, tmp_path, *sign, str(today)) == {"exit_code": 2}
    assert "WEIR_WAIVER_KEY is not set" in capsys.readouterr().err
    late = str(today + timedelta(days=15))
    assert _command(grace, tmp_path, *sign, late) == {"exit_code": 2}
    assert "more than 14 days" in capsys.readouterr().err
    signed = _command(grace, tmp_path, *sign, str(today + timedelta(days=2)))
    assert signed["covers"] == "fairness: every lack of evidence"
    give = (
        "promote", "--version", number, *(f"--gate={path}" for path in paths),
        "--waiver", signed["waiver"],
    )  # fmt: skip
    signers = "WEIR__REGISTRY__WAIVER_SIGNERS__GRACE"
    others = {name: value for name, value in server.environ.items() if name != signers}
    assert _command(replace(server, environ=others), tmp_path, *give) == {"exit_code": 2}
    assert "grace may not waive; registry.waiver_signers has nobody" in capsys.readouterr().err
    assert _command(grace, tmp_path, *give)["promoted"]
    assert promotion.approve(version.number, reviewer).approved
    tag = json.loads(registry.get_version(reviewer, version.number).tags["weir.waiver.fairness"])
    assert (tag[0]["by"], tag[0]["reason"]) == ("grace", "one language so far")
    rows = audit_trail.entries(promotion.trail, version.uri)
    assert any(row.who == "grace" and row.what.startswith("waiver: fairness") for row in rows)
    later = replace(promotion, clock=lambda: datetime.now(UTC) + timedelta(days=3))
    assert "ended on" in later.is_approved(version.number).reason
    later.make_champion(version.number)  # the approval was given while the waiver held
    promotion.promote(version.number, read_judgements(paths))
    assert "weir.waiver.fairness" not in registry.get_version(reviewer, version.number).tags


def test_a_card_of_other_reports_is_refused(
    promotion: Promotion, version: ModelVersion, tmp_path: Path
) -> None:
    judgements = read_judgements([gate_report(tmp_path, "golden")])
    card = tmp_path / "model_card.html"
    card.write_text("about something else")
    with pytest.raises(BadInput, match="tells of other reports"):
        promotion.promote(version.number, judgements, card)


def test_a_report_of_another_model_is_refused(
    promotion: Promotion, version: ModelVersion, tmp_path: Path
) -> None:
    judgements = read_judgements([gate_report(tmp_path, "golden", model="e-2")])
    with pytest.raises(BadInput, match="judged model e-2"):
        promotion.promote(version.number, judgements)


def test_promotion_leaves_reports_pictures_figures_and_a_summary(
    trainer: Connection, judged: ModelVersion
) -> None:
    with trainer.client() as client:
        files = [file.path for file in client.list_artifacts(judged.run_id, "gates/golden")]
        figures = client.get_run(judged.run_id).data.metrics
        description = client.get_model_version(judged.model, str(judged.number)).description
    assert files == ["gates/golden/golden.json", "gates/golden/golden.svg"]
    assert figures["golden/average_precision"] == 0.98
    assert "golden/average_precision.language_tr" in figures
    assert description.startswith("**Gates passed.**")
    figure = "average precision: 0.980 [0.960, 0.990], asked ≥ 0.9"
    assert f"- golden **pass**, nearest to its bound: {figure}" in description


def test_an_approved_version_becomes_champion_once(
    promotion: Promotion, trainer: Connection, reviewer: Connection, judged: ModelVersion
) -> None:
    with pytest.raises(BadInput, match="cannot become champion"):
        promotion.make_champion(judged.number)
    _approve(reviewer, judged)
    promotion.make_champion(judged.number)
    promotion.make_champion(judged.number)
    champion = registry.champion_version(trainer)
    assert champion is not None
    assert (champion.number, champion.aliases) == (judged.number, ("champion",))
    moves = [row.what for row in audit_trail.entries(promotion.trail, judged.uri)]
    assert moves.count("alias set: champion") == 1


def test_a_rolled_back_challenger_loses_its_alias_once(
    promotion: Promotion, trainer: Connection, judged: ModelVersion
) -> None:
    promotion.drop_challenger(judged.number)
    promotion.drop_challenger(judged.number)
    assert registry.find_version(trainer, "challenger") is None
    moves = [row.what for row in audit_trail.entries(promotion.trail, judged.uri)]
    assert moves.count("alias dropped: challenger") == 1


# Artefacts and runs


def test_a_version_comes_back_as_it_went_in(
    server: TrackingServer, trainer: Connection, version: ModelVersion
) -> None:
    registry.set_alias(trainer, "challenger", version.number)
    directory = registry.download("models:/spam@challenger", server.settings)
    assert directory.is_relative_to(server.settings.cache)
    assert (directory / "policy.json").read_text() == '{"threshold": 0.5}'
    assert registry.download(version.uri, server.settings) == directory
    assert not list(directory.parent.glob(".*")), "nothing half fetched is left"


def test_a_reader_can_fetch_a_version_into_a_folder_that_is_there(
    server: TrackingServer, reader: Connection, registered: ModelVersion, tmp_path: Path
) -> None:
    """As KServe asks for it: the URI and a mounted folder; a second time changes nothing."""
    for _ in range(2):
        told = fetch_into(tmp_path, registered.uri, reader, server.settings.home / "fetched")
        assert told["version"] == str(registered.number)
        assert (tmp_path / "policy.json").read_text() == '{"threshold": 0.5}'


def test_registering_the_same_again_is_the_same_version(
    trainer: Connection, registered: ModelVersion, directory: Path
) -> None:
    again = registry.log_version(trainer, directory, registered.run_id, {})
    assert again.source == registered.source, "not uploaded again"


def test_files_that_are_not_those_registered_are_refused(
    trainer: Connection, registered: ModelVersion, tmp_path: Path
) -> None:
    other = replace(registered, tags={ARTEFACT_TAG: f"sha256:{'0' * 64}"})
    with pytest.raises(WeirError, match="were changed"):
        fetch(trainer, other, tmp_path)
    assert not list(tmp_path.iterdir()), "nothing of it is kept"


def test_a_pickle_is_never_registered(trainer: Connection, tmp_path: Path) -> None:
    (tmp_path / "model.json").write_bytes(b"\x80\x04K\x01.")
    with pytest.raises(BadInput, match="is a pickle"):
        registry.log_version(trainer, tmp_path, "no-run", {})


def test_trials_are_nested_runs_and_draw_the_best_value_so_far(trainer: Connection) -> None:
    with registry.training_run(trainer, "search", {"trials": 3}) as run:
        for number, value in enumerate([0.5, 0.4, 0.7]):
            run.trial("text", number, {"depth": number}, value, "COMPLETE")
        run.trial("text", 3, {"depth": 9}, None, "PRUNED")
        run.importances("text", {"depth": 0.8, "width": 0.2})
    with trainer.client() as client:
        best = [point.value for point in client.get_metric_history(run.run_id, "text.best_value")]
        children = client.search_runs(
            [run.experiment_id], f"tags.mlflow.parentRunId = '{run.run_id}'"
        )
        parent = client.get_run(run.run_id)
        pictures = [file.path for file in client.list_artifacts(run.run_id, "search")]
    assert best == [0.5, 0.5, 0.7]
    assert parent.data.metrics["importance.text.depth"] == 0.8
    assert pictures == ["search/importance.png"]
    assert len(children) == 4
    assert (parent.info.status, parent.data.params["trials"]) == ("FINISHED", "3")


def test_a_training_that_breaks_is_a_failed_run(trainer: Connection) -> None:
    with pytest.raises(RuntimeError), registry.training_run(trainer, "breaks") as run:
        raise RuntimeError("out of memory")
    with trainer.client() as client:
        assert client.get_run(run.run_id).info.status == "FAILED"


# The command line


def test_approve_and_approval_tell_who_and_when(
    server: TrackingServer, judged: ModelVersion, tmp_path: Path
) -> None:
    number = str(judged.number)
    before = _command(server, tmp_path, "approval", "--version", number)
    assert (before["approved"], before["version"]) == (False, judged.number)
    done = _command(server, tmp_path, "approve", "--version", number)
    assert done["approved_by"] == "reviewer"
    after = _command(server, tmp_path, "approval", "--version", "challenger")
    assert (after["approved"], after["version"]) == (True, judged.number)
    assert after["approved_at"] == done["approved_at"]


def test_approve_as_somebody_else_is_refused(
    server: TrackingServer, judged: ModelVersion, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("approve", "--version", str(judged.number), "--as", "trainer")
    assert _command(server, tmp_path, *arguments) == {"exit_code": 2}
    assert "not a reviewer" in capsys.readouterr().err


def test_approval_of_no_challenger_is_data(
    server: TrackingServer, promotion: Promotion, tmp_path: Path
) -> None:
    promotion.drop_challenger("challenger")
    done = _command(server, tmp_path, "approval", "--version", "challenger")
    assert (done["approved"], done["version"]) == (False, None)


def test_lineage_leads_from_a_version_to_its_gates_and_its_trail(
    server: TrackingServer, judged: ModelVersion, tmp_path: Path
) -> None:
    chain = _command(server, tmp_path, "lineage", "--version", str(judged.number))
    assert chain["run_id"] == judged.run_id
    assert chain["gate.golden"].startswith("pass sha256:")
    whats = [row["what"] for row in chain["trail"]]
    assert whats == ["version created", "gates: passed", "alias set: challenger"]


def test_a_busy_port_is_named_with_its_setting(server: TrackingServer) -> None:
    with pytest.raises(ConfigurationError) as caught:
        check_port("127.0.0.1", server.settings.local.mlflow_port)
    assert f"port {server.settings.local.mlflow_port}" in str(caught.value)
    assert f"(pid {server.process.pid})" in str(caught.value)
    assert "WEIR__LOCAL__MLFLOW_PORT" in str(caught.value)
