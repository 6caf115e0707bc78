"""A real Airflow runs the loop's DAGs, on a stand-in for the platform."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import pytest

from data_contracts.config import Settings, load_settings
from data_contracts.errors import BadInput
from data_contracts.secrets import (
    AIRFLOW_ADMIN_PASSWORD,
    AIRFLOW_APPROVAL_PASSWORD,
    create_local_secrets,
    secret,
)
from infra.local import airflow
from infra.local.airflow_client import AirflowClient, Run, RunError, Task
from infra.local.supervisor import Supervisor
from serving.approval.airflow import DagRuns
from tests.stand_ins.airflow import platform_stand_in
from tests.stand_ins.ports import free_port

pytestmark = [pytest.mark.services, pytest.mark.timeout(420)]

DAGS = (
    "challenger_rollout", "daily_ingest", "daily_materialization", "daily_retraining",
    "daily_sampling", "hourly_monitoring",
)  # fmt: skip
RUN_SECONDS = 120.0


@dataclass(frozen=True)
class Stack:
    settings: Settings
    client: AirflowClient
    supervisor: Supervisor

    def plan(self, plan: Mapping[str, Any]) -> None:
        """What the stand-in platform answers from now on."""
        (self.settings.home / "plan.json").write_text(json.dumps(plan))

    def calls(self, verb: str) -> list[list[str]]:
        """The options that the platform was called with, without the result file."""
        lines = (self.settings.home / "calls.jsonl").read_text().splitlines()
        arguments = [json.loads(line)["arguments"] for line in lines]
        return [
            [item for item in call[3:] if not item.startswith("--result=")]
            for call in arguments
            if call[2] == verb
        ]

    def states(self, run: Run) -> dict[str, str | None]:
        return {task.task_id: task.state for task in self.client.tasks(run.dag_id, run.run_id)}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    if not airflow.PYTHON.exists():
        pytest.skip(f"{airflow.PYTHON} is missing (dags/requirements.txt): run `make setup`")
    home = tmp_path_factory.mktemp("airflow-home")
    known = create_local_secrets(home)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WEIR_HOME", str(home))
        patch.setenv("WEIR__LOCAL__AIRFLOW_PORT", str(free_port()))
        patch.setenv("WEIR__ORCHESTRATION__PLATFORM_PYTHON", str(platform_stand_in(home)))
        patch.setenv("WEIR__ORCHESTRATION__SCHEDULES__HOURLY_MONITORING", "* * * * * */10")
        # The day that a test triggers must be the only one, whatever the time of day it is now.
        patch.setenv("WEIR__ORCHESTRATION__SCHEDULES__DAILY_INGEST", "0 0 29 2 *")
        settings = load_settings()
        client = AirflowClient(airflow.base_url(settings), "admin", known[AIRFLOW_ADMIN_PASSWORD])
        stack = Stack(settings, client, Supervisor(home))
        processes = airflow.processes(settings)
        try:
            airflow.prepare(settings)
            for process in processes:
                stack.supervisor.start(process)
            for process in processes:
                stack.supervisor.wait_until_ready(process)
            client.wait_until_ready(DAGS)
            yield stack
        finally:
            for process in reversed(processes):
                stack.supervisor.stop(process.name)


def test_a_schedule_fires_by_itself(stack: Stack) -> None:
    run = stack.client.wait_for_run("hourly_monitoring", datetime(2026, 1, 1, tzinfo=UTC), 60)
    assert run.run_id.startswith("scheduled__")
    assert stack.client.wait(run, RUN_SECONDS).state == "success"
    assert stack.calls("monitor")
    stack.client.set_paused("hourly_monitoring", paused=True)


def test_a_day_goes_from_ingestion_to_a_challenger_by_assets(stack: Stack) -> None:
    since, heard = datetime.now(UTC), list[str]()

    def listen(run: Run, tasks: list[Task]) -> None:
        heard.extend(f"{task.task_id} {task.state}" for task in tasks)

    stack.plan({})
    first = stack.client.trigger("daily_ingest", {"day": "2026-01-05"})
    assert stack.client.wait(first, RUN_SECONDS, listen).state == "success"
    assert {"validate None", "ingest success"} <= set(heard)  # told while the run was under way
    for dag_id in ("daily_sampling", "daily_retraining"):
        run = stack.client.wait_for_run(dag_id, since)
        stack.client.wait(run, RUN_SECONDS)
        assert set(stack.states(run).values()) == {"success"}
    assert stack.client.result("daily_ingest", first.run_id, "ingest")["events"] == 600
    assert stack.calls("ingest") == [["--day=2026-01-05"]]
    assert stack.calls("sample") == [["--day=pending"]]
    assert stack.calls("register") == [["--model=/models/m1", "--run-id=r1"]]
    assert sorted(stack.calls("gate")) == [
        [f"--suite={suite}", "--model=models:/spam/3"]
        for suite in ("adversarial", "fairness", "golden")
    ]
    reports = [f"--gate=/reports/{suite}.json" for suite in ("golden", "adversarial", "fairness")]
    assert stack.calls("card") == [["--model=models:/spam/3", *reports]]
    card = "--card=/reports/model_card.html"
    assert stack.calls("promote") == [["--version=3", *reports, card]]
    assert stack.client.runs("challenger_rollout", since) == [], "before anybody approved"


def test_a_value_that_breaks_the_form_is_refused_before_anything_runs(stack: Stack) -> None:
    with pytest.raises(BadInput, match=r"400.*does not match"):
        stack.client.trigger("daily_ingest", {"day": "2026-01-05; reboot"})
    with pytest.raises(BadInput, match="400"):
        stack.client.trigger("daily_retraining", {"trials": 1000})


def test_a_refused_candidate_is_no_failure(stack: Stack) -> None:
    stack.plan({"promote": {"result": {"promoted": False}}})
    run = stack.client.wait(stack.client.trigger("daily_retraining", {"trials": 2}), RUN_SECONDS)
    assert stack.states(run)["promote"] == "skipped"
    assert stack.client.result(run.dag_id, run.run_id, "promote")["promoted"] is False
    assert stack.calls("train")[-1][-1] == "--trials=2"


def test_nothing_to_do_skips_the_rest_and_is_no_failure(stack: Stack) -> None:
    stack.plan({"train": {"code": 99, "say": ["training train: 3 new labels, 200 needed"]}})
    run = stack.client.wait(stack.client.trigger("daily_retraining"), RUN_SECONDS)
    assert run.state == "success"
    states = stack.states(run)
    assert states.pop("quantise") == "success"  # beside the rest: it needs no labels
    assert set(states.values()) == {"skipped"}


def test_bad_input_fails_at_once_and_leaves_a_notice(stack: Stack) -> None:
    stack.plan({"ingest": {"code": 2, "say": ["pipelines ingest: landing: line 3: text = 5"]}})
    with pytest.raises(RunError, match=r"(?s)daily_ingest.ingest failed at attempt 1.*line 3"):
        stack.client.wait(stack.client.trigger("daily_ingest"), RUN_SECONDS)
    notices = (stack.settings.reports / "failure_notices.jsonl").read_text().splitlines()
    notice = json.loads(notices[-1])
    assert notice["task"] == "ingest"
    assert "exit code 2: pipelines ingest: landing: line 3" in notice["cause"]


def test_a_failed_step_is_tried_again(stack: Stack) -> None:
    stack.plan({"validate": {"code": 1}})
    run = stack.client.trigger("daily_ingest")
    _until(lambda: stack.states(run)["validate"] == "up_for_retry")
    stack.plan({})
    stack.client.wait(run, RUN_SECONDS)
    attempts = {t.task_id: t.attempt for t in stack.client.tasks(run.dag_id, run.run_id)}
    assert attempts["validate"] == 2


def test_the_approval_receiver_starts_a_rollout_once_however_often_it_asks(stack: Stack) -> None:
    """The receiver's own client, as the user that it has in Airflow, with model and version."""
    stack.plan({"approval": {"result": {"version": "7"}}})
    password = secret(AIRFLOW_APPROVAL_PASSWORD, stack.settings.home)
    runs = DagRuns(airflow.base_url(stack.settings), "approval", password)
    run_id, conf = "approval__spam_7_ab_12", {"model": "models:/spam/7", "version": "7"}
    assert runs.start(run_id, conf) is None
    assert runs.start(run_id, conf) in {"queued", "running"}
    run = stack.client.wait(stack.client.run("challenger_rollout", run_id), RUN_SECONDS)
    assert runs.start(run_id, conf) == run.state == "success"
    assert stack.calls("approval")[-1] == ["--or-fail", "--version=7", "--model=models:/spam/7"]
    assert [call[0] for call in stack.calls("rollout")[-2:]] == ["start", "watch"]
    assert "--version=7" in stack.calls("rollout")[-1]
    assert set(stack.states(run).values()) == {"success"}


def test_a_rollout_that_is_not_approved_fails_at_once(stack: Stack) -> None:
    before = len(stack.calls("rollout"))
    why = "models:/spam/7 is not approved: approval was revoked by ada"
    stack.plan({"approval": {"code": 2, "say": [f"training approval: {why}"]}})
    with pytest.raises(RunError, match=rf"(?s)check_approval failed at attempt 1.*{why}"):
        stack.client.wait(stack.client.trigger("challenger_rollout", {"version": "7"}), RUN_SECONDS)
    assert len(stack.calls("rollout")) == before


def test_the_receivers_user_may_not_manage_airflow(stack: Stack) -> None:
    password = secret(AIRFLOW_APPROVAL_PASSWORD, stack.settings.home)
    client = AirflowClient(airflow.base_url(stack.settings), "approval", password)
    for path in ("/connections", "/variables"):
        with pytest.raises(BadInput, match="403"):
            client._call("GET", path)


def test_everything_listens_on_loopback_only(stack: Stack) -> None:
    records = (stack.settings.home / "run").glob("airflow-*.service.json")
    leaders = [psutil.Process(json.loads(record.read_bytes())["pid"]) for record in records]
    ours = {p.pid for leader in leaders for p in (leader, *leader.children(recursive=True))}
    addresses = {
        connection.laddr.ip
        for connection in psutil.net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN and connection.pid in ours
    }
    assert addresses == {"127.0.0.1"}


def test_a_stopped_scheduler_ends_its_step_and_the_run_goes_on_after_a_restart(
    stack: Stack,
) -> None:
    stack.plan({"monitor": {"sleep_seconds": 60}})
    stack.client.set_paused("hourly_monitoring", paused=False)
    before = len(stack.calls("monitor"))
    run = stack.client.trigger("hourly_monitoring")
    _until(lambda: len(stack.calls("monitor")) > before)
    scheduler = airflow.processes(stack.settings)[-1]
    assert stack.supervisor.stop(scheduler.name)
    assert not _steps_alive(stack.settings.home)
    stack.plan({})
    stack.supervisor.start(scheduler)
    assert stack.client.wait(run, RUN_SECONDS).state == "success"


def _steps_alive(home: Path) -> list[int]:
    script = str(home / "platform-python")
    found = psutil.process_iter(["cmdline"])
    return [p.pid for p in found if script in (p.info["cmdline"] or []) and p.pid != os.getpid()]


def _until(condition: Any, timeout_seconds: float = 90.0) -> None:
    deadline = time.monotonic() + timeout_seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.3)
