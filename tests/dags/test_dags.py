"""The DAGs as Airflow reads them: they load, match the steps, and show order and assets only."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path
from typing import Any

import pytest

from data_contracts.command_line import _parser
from data_contracts.config import PROJECT
from data_contracts.steps import load_steps

DAGS = PROJECT / "dags"
MODULES = {"platform_step.py", "step_runner.py", "failure_notice.py"}
DAG_FILES = sorted(file for file in DAGS.glob("*.py") if file.name not in MODULES)
STEPS = load_steps().steps
EXAMPLES: dict[str, Any] = {
    "day": "2026-01-05", "budget": 300, "trials": 4, "version": "3", "model": "models:/spam/3",
    "from_day": "2026-01-05", "to_day": "2026-01-06", "run_id": "r1",
    "gate": ["golden.json", "fairness.json"], "card": "model_card.html",
}  # fmt: skip


def test_every_dag_loads_and_is_named_as_its_file(probe: dict[str, Any]) -> None:
    assert probe["import_errors"] == {}
    assert sorted(probe["dags"]) == [file.stem for file in DAG_FILES]


def test_every_step_stands_in_exactly_one_dag(probe: dict[str, Any]) -> None:
    used = [task["step"] for dag in probe["dags"].values() for task in dag["tasks"].values()]
    assert sorted(used) == sorted(STEPS)


def test_the_order_of_tasks_is_the_loops(probe: dict[str, Any]) -> None:
    order = {
        name: {task: set(about["upstream"]) for task, about in dag["tasks"].items()}
        for name, dag in probe["dags"].items()
    }
    gates = {"gate_golden", "gate_adversarial", "gate_fairness"}
    assert order == {
        "daily_ingest": {
            "ingest": set(), "validate": {"ingest"}, "version": {"validate"}, "drift": {"validate"},
        },
        "daily_materialization": {"materialize": set()},
        "daily_sampling": {
            "sample": set(), "review": {"sample"}, "check_labels": {"review"},
            "collect_labels": {"check_labels"},
        },
        "daily_retraining": {
            "quantise": set(), "train": set(), "register": {"train"},
            **{gate: {"register"} for gate in gates},
            "model_card": gates | {"register"},
            "promote": gates | {"register", "model_card"},
        },
        "challenger_rollout": {
            "check_approval": set(), "rollout_start": {"check_approval"},
            "rollout_watch": {"rollout_start", "check_approval"},
        },
        "hourly_monitoring": {"monitor": set()},
    }  # fmt: skip


def test_every_asset_has_one_producer_and_is_waited_for(probe: dict[str, Any]) -> None:
    tasks = [task for dag in probe["dags"].values() for task in dag["tasks"].values()]
    assets = sorted(load_steps().assets)
    assert sorted(name for task in tasks for name in task["outlets"]) == assets
    assert sorted({name for task in tasks for name in task["inlets"]}) == assets


@pytest.mark.parametrize("name", sorted(STEPS))
def test_a_task_keeps_the_limits_of_its_step(name: str, probe: dict[str, Any]) -> None:
    step = STEPS[name]
    task = next(dag["tasks"][name] for dag in probe["dags"].values() if name in dag["tasks"])
    assert task["retries"] == step.retries
    assert task["backoff"] == 2.0
    assert task["owner"] == "weir"
    assert task["notices"] == 1
    assert step.does in task["doc"]
    assert step.when_it_fails in task["doc"]
    assert task["timeout_seconds"] == step.timeout_seconds


def test_every_dag_runs_once_at_a_time_and_does_not_catch_up(probe: dict[str, Any]) -> None:
    for dag in probe["dags"].values():
        assert (dag["max_active_runs"], dag["catchup"]) == (1, False)
        assert not dag["first_run_is_past"]
        assert "weir" in dag["tags"]
        assert len(dag["doc"]) > 80


def test_collected_labels_do_not_depend_on_the_demo_oracle(probe: dict[str, Any]) -> None:
    tasks = probe["dags"]["daily_sampling"]["tasks"]
    for name in ("check_labels", "collect_labels"):
        assert tasks[name]["trigger_rule"] == "none_failed"


def test_forms_have_titles_descriptions_and_types(probe: dict[str, Any]) -> None:
    forms = {name: set(dag["parameters"]) for name, dag in probe["dags"].items()}
    assert forms == {
        "daily_ingest": {"day"},
        "daily_materialization": {"from_day", "to_day"},
        "daily_sampling": {"day", "budget"},
        "daily_retraining": {"trials"},
        "challenger_rollout": {"version"},
        "hourly_monitoring": set(),
    }
    for dag in probe["dags"].values():
        for schema in dag["parameters"].values():
            assert {"title", "description_md", "type"} <= set(schema)


def test_forms_take_good_values_and_refuse_bad_ones(probe: dict[str, Any]) -> None:
    taken = {
        name: [value for value, accepted in values if accepted]
        for name, values in probe["parameters"].items()
    }
    assert taken == {
        "day": ["pending", "2026-01-05"],
        "from_day": [None, "2026-01-05"],
        "to_day": [None, "2026-01-05"],
        "trials": [None, 1, 200],
        "budget": [None, 1, 100_000],
        "version": ["challenger", "1", "42"],
    }


@pytest.mark.parametrize("file", DAG_FILES, ids=lambda file: file.stem)
def test_a_dag_decides_nothing(file: Path) -> None:
    nodes = list(ast.walk(ast.parse(file.read_text())))
    assert not [
        node for node in nodes if isinstance(node, ast.If | ast.IfExp | ast.Match | ast.While)
    ]
    assert len(file.read_text().splitlines()) <= 50


def test_no_dag_is_named_as_a_folder() -> None:
    folders = {path.name for path in PROJECT.iterdir() if path.is_dir()}
    assert not {file.stem for file in DAGS.glob("*.py")} & folders


@pytest.mark.parametrize("name", sorted(STEPS))
def test_the_platforms_command_line_takes_every_step(name: str, tmp_path: Path) -> None:
    """Each step's argument list parses with the folder's real parser."""
    step = STEPS[name]
    folder, verb = step.command
    verbs = importlib.import_module(f"{folder}.__main__").VERBS
    values = {parameter: EXAMPLES[parameter] for parameter in step.takes}
    argv = step.command_line("python", tmp_path / "r.json", values)
    parsed = _parser(folder, "", verbs).parse_args(argv[3:])
    assert parsed.verb.name == verb
    assert parsed.result == tmp_path / "r.json"
