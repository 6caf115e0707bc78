"""One flow, two orchestrators: Airflow's DAG and Kubeflow's pipeline cannot differ."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from tests.stand_ins.kubeflow import compiled, tasks


def test_the_dag_and_the_pipeline_are_the_same_flow(probe: dict[str, Any], tmp_path: Path) -> None:
    """Steps, what each waits for, retries, and the parameters of a run."""
    definition, _ = compiled(tmp_path, os.environ)
    dag = probe["dags"]["daily_retraining"]
    pipeline = {
        step: task for step, task in tasks(definition).items() if not step.startswith("refuse_")
    }
    assert {step: _given(task) for step, task in pipeline.items()} == {
        step: set(about["upstream"]) for step, about in dag["tasks"].items()
    }
    assert {step: task["retryPolicy"]["maxRetryCount"] for step, task in pipeline.items()} == {
        step: about["retries"] for step, about in dag["tasks"].items()
    }
    asked_for = definition["root"]["inputDefinitions"]["parameters"]
    assert set(asked_for) == set(dag["parameters"])


def _given(task: dict[str, Any]) -> set[str]:
    """The earlier steps whose results a task takes; run parameters come from outside."""
    return set(task.get("inputs", {}).get("parameters", {})) - {"trials"}
