"""What the loop has done so far, read from where it writes it down; and the demo's reviewer.

Times of alerts, mitigations and rollout phases are those of the state database; ends of Airflow's
tasks are noticed within a second or two.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Engine, inspect, select

from data_contracts.config import Settings
from data_contracts.errors import WeirError
from evaluation.monitoring.campaigns import NAME
from infra.local.airflow_client import AirflowClient
from infra.local.commands import CommandError, call
from pipelines.alert_inbox import ENTRIES
from pipelines.state import open_state, reading
from serving.incidents.tables import ACTIONS, INCIDENTS
from serving.rollout.store import RolloutStore

RUN_OF_INCIDENT = "incident-"
# stage: DAG, task whose success ends it
TASKS = {
    "sampled": ("daily_sampling", "sample"),
    "labelled": ("daily_sampling", "collect_labels"),
    "trained": ("daily_retraining", "train"),
    "gated": ("daily_retraining", "promote"),
}
PHASES = {"shadow": "shadow", "canary": "canary", "full": "full", "done": "done"}
STAGES = ("detected", "asked", *TASKS, "approved", *PHASES)


@dataclass
class Loop:
    """Follows one campaign from its first post at `began`; `at` has the time of each stage."""

    settings: Settings
    airflow: AirflowClient
    began: datetime
    champion: str
    at: dict[str, datetime] = field(default_factory=dict)
    version: str | None = None
    results: dict[str, Any] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._engine: Engine = open_state(self.settings.state_url)
        self._rollouts = RolloutStore(self._engine)

    @property
    def is_over(self) -> bool:
        return "done" in self.at

    def look(self) -> list[str]:
        """The stages that have been reached since the last look."""
        before = set(self.at)
        self._look_at_alerts()
        with contextlib.suppress(WeirError):  # Airflow may be slow to answer: the next look asks
            self._look_at_tasks()
        self._look_at_rollout()
        return [stage for stage in STAGES if stage in self.at and stage not in before]

    def review(self) -> None:
        """As the demo reviewer does: approve a challenger whose gates passed, and nothing else."""
        if "gated" not in self.at or "approved" in self.at or self.version is None:
            return
        try:
            given = call(self.settings, "training", "approve", f"--version={self.version}")
        except CommandError as error:
            self.problems.append(str(error))
            return
        self.at["approved"] = datetime.fromisoformat(given["approved_at"])

    def alerts(self) -> list[dict[str, Any]]:
        """Every alert that was raised since the stack began, the first time of each."""
        with reading(self._engine) as connection:
            rows = connection.execute(
                select(ENTRIES).where(ENTRIES.c.kind == "raised").order_by(ENTRIES.c.id)
            ).all()
        first: dict[str, Any] = {}
        for row in rows:
            first.setdefault(row.fingerprint, row)
        return [
            {
                "name": row.alert["name"], "at": row.received_at, "subject": row.alert["subject"],
                "hint": row.alert["severity_hint"], "reason": row.alert["reason"],
                "likely_cause": row.alert["likely_cause"],
            }
            for row in first.values()
        ]  # fmt: skip

    def actions(self) -> list[dict[str, Any]]:
        """What incident response did by itself, and to which incident."""
        with reading(self._engine) as connection:
            if not inspect(connection).has_table(ACTIONS.name):
                return []
            joined = select(ACTIONS, INCIDENTS.c.title).join(
                INCIDENTS, INCIDENTS.c.id == ACTIONS.c.incident_id
            )
            return [
                {"incident": row.title, "mitigation": row.mitigation, "state": row.state,
                 "reason": row.reason, "at": row.at, "ended_at": row.ended_at}
                for row in connection.execute(joined.order_by(ACTIONS.c.id))
            ]  # fmt: skip

    def _look_at_alerts(self) -> None:
        for alert in self.alerts():
            if alert["name"] == NAME and alert["at"] >= self.began:
                self.at.setdefault("detected", alert["at"])
        for action in self.actions():
            done = action["mitigation"] == "sample_now" and action["state"] == "done"
            if done and action["at"] >= self.began:
                self.at.setdefault("asked", action["ended_at"])

    def _look_at_tasks(self) -> None:
        if "asked" not in self.at or "gated" in self.at:
            return
        for run in self.airflow.runs("daily_sampling", self.began):
            if run.run_id.startswith(RUN_OF_INCIDENT):
                self._note(run.dag_id, run.run_id)
        if "labelled" not in self.at:
            return
        for run in self.airflow.runs("daily_retraining", self.at["asked"]):
            self._note(run.dag_id, run.run_id)

    def _note(self, dag_id: str, run_id: str) -> None:
        for task in self.airflow.tasks(dag_id, run_id):
            stages = [name for name, known in TASKS.items() if known == (dag_id, task.task_id)]
            if task.state == "success" and stages and stages[0] not in self.at:
                self.at[stages[0]] = datetime.now(UTC)
            if task.state in ("success", "skipped") and task.task_id not in self.results:
                result = self.airflow.result(dag_id, run_id, task.task_id)
                self.results |= {task.task_id: result} if result else {}
            if task.state == "failed":
                self.problems.append(f"{dag_id}.{task.task_id} failed")
        if dag_id == "daily_retraining" and "register" in self.results:
            self.version = str(self.results["register"]["version"])

    def _look_at_rollout(self) -> None:
        rollout = self._rollouts.latest(self.version) if self.version else None
        if rollout is None or rollout.version == self.champion:
            return
        for row in self._rollouts.history(rollout):
            stage = PHASES.get(str(row["to_phase"]))
            if stage is not None:
                self.at.setdefault(stage, _time(row["at"]))


def _time(value: Any) -> datetime:
    at = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    return at if at.tzinfo else at.replace(tzinfo=UTC)
