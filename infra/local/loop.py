"""The main job: one whole turn of the loop, driven through Airflow as production would be.

replay → ingest → sample → label → train → gate → approve → rollout, twice: the early days bring
up the first champion, the later days a challenger that goes through shadow, canary and full while
live traffic flows. The only thing done by hand is what people do: a demo reviewer approves.
"""

from __future__ import annotations

import argparse
import contextlib
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from data_contracts.config import Settings
from data_contracts.errors import WeirError
from infra.local import loop_report
from infra.local.airflow_client import AirflowClient, Run, Task
from infra.local.commands import call
from infra.local.console import say
from infra.local.earlier_turns import has_earlier_turn, set_aside
from infra.local.live_traffic import live_traffic
from infra.local.stack import airflow_client, start, stop

RUN_TIMEOUT_SECONDS = 600.0
TRAINING_TIMEOUT_SECONDS = 900.0
REQUESTS_PER_SECOND = 30.0
POLL_SECONDS = 1.0
TASK_ENDED = ("success", "skipped", "failed")


class RefusedError(WeirError):
    """A candidate did not pass its gates, so there is nothing to roll out."""


def run(arguments: argparse.Namespace, settings: Settings) -> None:
    """Turn the loop once, write `reports/loop.json`, and print the summary."""
    began = time.monotonic()
    turn = Turn(settings)
    if has_earlier_turn(settings.home):
        stop(settings)
        say(f"the last turn's state is kept in {set_aside(settings.home)}")
    try:
        with turn.stage("start services"):
            started = start(settings)
        turn.take()
        with turn.stage("watch"):
            turn.watch()
    finally:
        if not arguments.keep:
            stop(settings)
    report = loop_report.write(turn.found, time.monotonic() - began, settings.reports)
    loop_report.show(report, settings.reports)
    if not arguments.keep:
        say(f"{len(started)} services are stopped again; `make up` keeps them running")


class Turn:
    """One turn of the loop; `found` collects what each stage reported."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.found = loop_report.Found()

    @cached_property
    def airflow(self) -> AirflowClient:
        """Signed in at the first use: a fresh home has its password only once services start."""
        return airflow_client(self.settings)

    def take(self) -> None:
        with self.stage("replay"):
            self.found.replay = call(self.settings, "pipelines", "replay")
        days: list[str] = self.found.replay["days"]
        half = len(days) // 2
        early, late = days[:half], days[half:]
        say(f"  {self.found.replay['events']} events on {len(days)} days")

        version = self.make_candidate("first champion", early)
        with self.stage("first rollout"):
            self.roll_out(version, asked_at=datetime.now(UTC))

        span = f"{late[0]}..{late[-1]}"
        report = self.settings.reports / "live-traffic.json"
        with live_traffic(self.settings, span, REQUESTS_PER_SECOND, report) as traffic:
            challenger = self.make_candidate("challenger", late)
            with self.stage("rollout"):
                self.found.rollout = self.roll_out(challenger, asked_at=datetime.now(UTC))
        self.found.traffic = traffic.seen

    def make_candidate(self, name: str, days: Sequence[str]) -> str:
        """Ingest the days; their assets start sampling, labelling, training and the gates."""
        began = datetime.now(UTC)
        with self.stage(f"{name}: ingest"):
            for day in days:
                self.ingest(day)
        with self.stage(f"{name}: sample, label, train, gate"):
            return self.candidate(since=began)

    def ingest(self, day: str) -> None:
        run = self.airflow.trigger("daily_ingest", {"day": day})
        self.finish(run, RUN_TIMEOUT_SECONDS)
        self.found.add_ingested(self.airflow.result(run.dag_id, run.run_id, "ingest"))

    def candidate(self, since: datetime) -> str:
        """The version that came out of the training which the new labels started."""
        run = self.training_run(since)
        results = {
            task.task_id: self.airflow.result(run.dag_id, run.run_id, task.task_id)
            for task in self.airflow.tasks(run.dag_id, run.run_id)
        }
        for sampling in self.airflow.runs("daily_sampling", since):
            self.found.add_sampled(
                {
                    task: self.airflow.result(sampling.dag_id, sampling.run_id, task)
                    for task in ("sample", "collect_labels")
                }
            )
        version = str(results["register"]["version"])
        self.found.add_candidate(version, results)
        if not results["promote"].get("promoted"):
            raise RefusedError(
                f"version {version} did not pass its gates ({loop_report.refusals(results)}); "
                f"the reports are in {self.settings.reports / 'gates'} and in MLflow"
            )
        return version

    def training_run(self, since: datetime) -> Run:
        """Wait for the training that had enough new labels; those that skipped do not count."""
        deadline = time.monotonic() + TRAINING_TIMEOUT_SECONDS
        followed: set[str] = set()
        while time.monotonic() < deadline:
            for run in self.airflow.runs("daily_retraining", since):
                if run.run_id not in followed:
                    self.finish(run, TRAINING_TIMEOUT_SECONDS)
                    followed.add(run.run_id)
                    if self.airflow.result(run.dag_id, run.run_id, "register"):
                        return run
            time.sleep(POLL_SECONDS)
        raise WeirError(
            f"no training had enough new labels within {TRAINING_TIMEOUT_SECONDS:.0f} s; lower "
            "training.minimum_new_labels or raise labelling.budget"
        )

    def roll_out(self, version: str, asked_at: datetime) -> list[dict[str, Any]]:
        """Approve as the demo reviewer, then follow the rollout that the receiver starts on it."""
        approval = call(self.settings, "training", "approve", f"--version={version}")
        self.found.approvals.append(approval)
        say(f"  version {version} approved by {approval['approved_by']} (demo reviewer)")
        run = self.airflow.wait_for_run("challenger_rollout", asked_at)
        self.finish(run, self.settings.rollout.progress_deadline_seconds + RUN_TIMEOUT_SECONDS)
        watched = self.airflow.result(run.dag_id, run.run_id, "rollout_watch")
        return list(watched["rollout"])

    def watch(self) -> None:
        """One monitoring run over what the turn left behind, and the champion's lineage."""
        run = self.finish(self.airflow.trigger("hourly_monitoring"), RUN_TIMEOUT_SECONDS)
        self.found.monitoring = self.airflow.result(run.dag_id, run.run_id, "monitor")
        self.found.lineage = call(self.settings, "training", "lineage", "--version=champion")

    def finish(self, run: Run, timeout_seconds: float) -> Run:
        told: set[str] = set()

        def tell(run: Run, tasks: Sequence[Task]) -> None:
            for task in tasks:
                if task.state in TASK_ENDED and task.seconds and task.task_id not in told:
                    told.add(task.task_id)
                    seconds = f"{task.seconds:5.1f} s"
                    say(f"  {run.dag_id:<18} {task.task_id:<16} {task.state:<8} {seconds}")

        ended = self.airflow.wait(run, timeout_seconds, tell)
        self.found.add_tasks(run.dag_id, self.airflow.tasks(run.dag_id, run.run_id))
        return ended

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[None]:
        say(f"\n{name}")
        began = time.monotonic()
        yield
        self.found.seconds[name] = round(time.monotonic() - began, 1)
