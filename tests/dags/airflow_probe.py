"""Runs in Airflow's environment: writes what Airflow makes of the DAGs and of the operator.

    .venv-airflow/bin/python tests/dags/airflow_probe.py OUTPUT.json

The output has `import_errors`, `dags` (each with its tasks and parameters), `parameters` (which
values the schemas take), and `operator` (what each exit code becomes).
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

DAGS = Path(__file__).resolve().parents[2] / "dags"
sys.path.insert(0, str(DAGS))

from airflow.dag_processing.dagbag import DagBag  # noqa: E402
from failure_notice import notify_failure  # noqa: E402
from platform_step import PlatformStep, form  # noqa: E402

CANDIDATES = {
    "day": ["pending", "2026-01-05", "2026-13-05", "yesterday", "2026-01-05\n", "", None, 5],
    "from_day": [None, "2026-01-05", "2026-01-32", "pending", 5],
    "to_day": [None, "2026-01-05", "2026-00-05", "all", "2026-01-05 "],
    "trials": [None, 1, 200, 0, 201, -1, "4; reboot", 2.5],
    "budget": [None, 1, 100_000, 0, 100_001, "many"],
    "version": ["challenger", "1", "42", "champion", "0", "--result=/etc/x", "3 4", None],
}


class Instance:
    """The part of Airflow's task instance that a step uses."""

    dag_id, run_id, task_id, try_number = "a_dag", "a_run", "a_task", 2

    def __init__(self) -> None:
        self.pushed: dict[str, Any] = {}

    def xcom_push(self, key: str, value: Any) -> None:
        self.pushed[key] = value


def described(dag: Any) -> dict[str, Any]:
    return {
        "doc": dag.doc_md,
        "tags": sorted(dag.tags),
        "max_active_runs": dag.max_active_runs,
        "catchup": dag.catchup,
        "timetable": type(dag.timetable).__name__,
        "first_run_is_past": _first_run_is_past(dag.timetable),
        "parameters": {name: dag.params.get_param(name).schema for name in dag.params},
        "tasks": {task.task_id: _task(task) for task in dag.tasks},
    }


def _first_run_is_past(timetable: Any) -> bool:
    """Whether Airflow would run the time just past when it first sees this schedule.

    Asked of the scheduler's own timetable, one minute after the schedule's time.
    """
    from airflow.serialization.decoders import decode_timetable
    from airflow.serialization.encoders import encode_timetable
    from airflow.timetables import trigger
    from airflow.timetables.base import TimeRestriction

    known = decode_timetable(encode_timetable(timetable))
    if not isinstance(known, trigger.CronTriggerTimetable):
        return False
    just_after = known._align_to_prev(trigger.coerce_datetime(trigger.utcnow())).add(minutes=1)
    with mock.patch.object(trigger, "utcnow", return_value=just_after):
        first = known.next_dagrun_info(
            last_automated_data_interval=None, restriction=TimeRestriction(None, None, False)
        )
    return first is not None and first.run_after < just_after


def _task(task: Any) -> dict[str, Any]:
    return {
        "operator": type(task).__name__,
        "step": task.step,
        "upstream": sorted(task.upstream_task_ids),
        "owner": task.owner,
        "retries": task.retries,
        "backoff": task.retry_exponential_backoff,
        "timeout_seconds": task.execution_timeout.total_seconds(),
        "trigger_rule": str(task.trigger_rule.value),
        "doc": task.doc_md,
        "outlets": [asset.name for asset in task.outlets],
        "inlets": [asset.name for asset in task.inlets],
        "notices": len(task.on_failure_callback),
    }


def accepted(name: str, value: Any) -> bool:
    try:
        form(name)[name].resolve(value)
    except Exception:
        return False
    return True


def ran(
    step: str, plan: dict[str, Any], params: dict[str, Any], values: dict[str, Any],
    dag_run: Any = None,
) -> Any:  # fmt: skip
    """Execute one operator on the stand-in platform; the exception and the pushed values."""
    (Path(os.environ["WEIR_HOME"]) / "plan.json").write_text(json.dumps(plan))
    task, instance = PlatformStep(step=step, values=values), Instance()
    context = {"params": params, "ti": instance, "task": task, "dag_run": dag_run}
    outcome: dict[str, Any] = {"pushed": instance.pushed}
    try:
        outcome["result"] = task.execute(context)
    except Exception as error:
        outcome |= {"error": type(error).__name__, "message": str(error)}
        notify_failure({**context, "exception": error})
    return outcome


def operator() -> dict[str, Any]:
    bad = {"say": [f"line {number}" for number in range(30)] + ["pipelines ingest: field day"]}
    day = {"day": "2026-01-05"}
    hostile = {"model": "--result=/etc/x", "run_id": "r1; rm -rf / $(reboot) `id`"}
    return {
        "done": ran("ingest", {}, day, {}),
        "failed": ran("ingest", {"ingest": {**bad, "code": 1}}, day, {}),
        "bad_input": ran("ingest", {"ingest": {**bad, "code": 2}}, day, {}),
        "nothing_to_do": ran("ingest", {"ingest": {**bad, "code": 99}}, day, {}),
        "unforeseen": ran("ingest", {"ingest": {"say": [], "code": 7}}, day, {}),
        "refused": ran(
            "promote",
            {"promote": {"result": {"promoted": False}}},
            {},
            {"version": 3, "gate": ["a"]},
        ),
        "hostile": ran("register", {}, {}, hostile),
        "unknown_value": ran("ingest", {}, {}, {"shell": "sh"}),
        "started_by_hand": ran("monitor", {}, {}, {}, SimpleNamespace(triggering_user_name="ada")),
    }


if __name__ == "__main__":
    bag = DagBag(str(DAGS))
    found = {
        "import_errors": bag.import_errors,
        "dags": {dag_id: described(dag) for dag_id, dag in bag.dags.items()},
        "parameters": {
            name: [[value, accepted(name, value)] for value in values]
            for name, values in CANDIDATES.items()
        },
        "operator": operator(),
    }
    Path(sys.argv[1]).write_text(json.dumps(found, default=str))
