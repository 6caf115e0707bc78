"""The retraining as a Kubeflow pipeline: what its definition says, and what a task's end means."""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from data_contracts.config import load_settings
from data_contracts.errors import BadInput, WeirError
from data_contracts.steps import Flow, load_steps
from infra.kubeflow.nesting import nested
from infra.kubeflow.step_container import _ended, outcome_of, refuse, run, values_of
from tests.stand_ins.airflow import platform_stand_in
from tests.stand_ins.kubeflow import compiled, kubeflow, tasks

STEPS = load_steps()
FLOW = STEPS.flow("daily_retraining")
Definition = dict[str, Any]


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[Definition, Definition]:
    return compiled(tmp_path_factory.mktemp("kubeflow"), os.environ)


@pytest.fixture
def definition(both: tuple[Definition, Definition]) -> Definition:
    return both[0]


@pytest.fixture
def platform(both: tuple[Definition, Definition]) -> Definition:
    executors: Definition = both[1]["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    return executors


def test_a_task_runs_its_step_as_an_argument_list(definition: Definition) -> None:
    container = definition["deploymentSpec"]["executors"]["exec-register"]["container"]
    assert container["image"] == "weir/platform:0.1.0"
    assert container["command"] == ["python3", "-m", "infra.kubeflow", "step"]
    assert container["args"] == [
        "--step", "register", "--python", "python3",
        "--given", "train", "{{$.inputs.parameters['train']}}",
        "--value", "model", "train.model", "--value", "run_id", "train.run_id",
        "--result", "{{$.outputs.parameters['result'].output_file}}",
        "--outcome", "{{$.outputs.parameters['outcome'].output_file}}",
    ]  # fmt: skip


def test_no_task_starts_a_shell_or_carries_a_secret(definition: Definition) -> None:
    for executor in definition["deploymentSpec"]["executors"].values():
        assert executor["container"]["command"][:3] == ["python3", "-m", "infra.kubeflow"]
        assert {one["name"] for one in executor["container"]["env"]} == {
            "WEIR_ENV", "WEIR_HOME",
        }  # fmt: skip


def test_a_step_waits_for_every_step_before_it_to_be_done(definition: Definition) -> None:
    found = tasks(definition)
    gates = ("gate_golden", "gate_adversarial", "gate_fairness")
    for gate in gates:
        assert found[gate]["conditions"] == ("train is done", "register is done")
    assert found["quantise"]["conditions"] == ()
    assert found["promote"]["conditions"] == tuple(
        f"{step} is done" for step in ("train", "register", *gates, "model_card")
    )


def test_bad_input_ends_the_run_without_a_retry(definition: Definition) -> None:
    found = tasks(definition)
    for step in FLOW.steps:
        refusal = found[f"refuse_{step}"]
        assert refusal["conditions"][-1] == f"{step} had bad input"
        assert "retryPolicy" not in refusal


def test_a_task_has_the_resources_of_its_step_and_no_cache(definition: Definition) -> None:
    for step, task in tasks(definition).items():
        assert not task["cachingOptions"].get("enableCache", False)
        if step in FLOW.steps:
            executor = f"exec-{step.replace('_', '-')}"
            given = definition["deploymentSpec"]["executors"][executor]["container"]["resources"]
            needs = STEPS.step(step).resources
            assert float(given["resourceCpuLimit"]) == needs.cpu
            assert given["resourceMemoryLimit"] == f"{needs.memory_gib:g}Gi"


def test_every_pod_is_unprivileged_and_finds_home_and_secrets(platform: Definition) -> None:
    assert len(platform) == 2 * len(FLOW.steps)
    for executor in platform.values():
        assert executor["securityContext"]["runAsNonRoot"] is True
        assert [(one["constant"], one["mountPath"]) for one in executor["pvcMount"]] == [
            ("weir-home", "/var/weir")
        ]
        named = {
            key["envVar"]: (secret["secretName"], key["secretKey"])
            for secret in executor["secretAsEnv"]
            for key in secret["keyToEnv"]
        }
        assert named == {
            "WEIR_MLFLOW_TRAINER_PASSWORD": ("weir-mlflow", "trainer-password"),
            "PGPASSWORD": ("weir-database", "password"),
        }


def test_an_unknown_flow_is_refused(tmp_path: Path) -> None:
    output = str(tmp_path / "x.yaml")
    done = kubeflow(os.environ, "compile", "--flow", "nightly", "--output", output)
    assert done.returncode == 2
    assert "no flow 'nightly'; steps.yaml has daily_retraining" in done.stderr


def test_a_flow_of_two_branches_is_refused_rather_than_given_wrong_conditions() -> None:
    """`d` waits for `c` alone; nested, it would wait for `a` as well."""
    steps: dict[str, Any] = {"a": {}, "b": {"x": "a.x"}, "c": {}, "d": {"x": "c.x"}}
    with pytest.raises(BadInput, match="d does not wait for a"):
        nested(Flow(about="", steps=steps))


@pytest.mark.parametrize(
    ("step", "code", "result", "outcome"),
    [
        ("train", 0, {}, "done"),
        ("promote", 0, {"promoted": True}, "done"),
        ("promote", 0, {"promoted": False}, "stopped"),
        ("promote", 0, {}, "stopped"),
        ("train", 99, {}, "nothing_to_do"),
        ("train", 2, {}, "bad_input"),
        ("train", 1, {}, None),
        ("train", -9, {}, None),
    ],
)
def test_an_exit_code_has_one_meaning(
    step: str, code: int, result: dict[str, Any], outcome: str | None
) -> None:
    assert outcome_of(code, STEPS.step(step), result) == outcome


def test_a_value_that_no_step_returned_is_named() -> None:
    with pytest.raises(BadInput, match="model: train returned no model; it returned run_id"):
        values_of([], [["train", '{"run_id": "r1"}']], [["model", "train.model"]])


def test_a_step_that_outlasts_its_time_is_ended() -> None:
    began = time.monotonic()
    with pytest.raises(WeirError, match=r"not done after 0\.3 s"):
        _ended(["sleep", "60"], 0.3)
    assert time.monotonic() - began < 10


def test_the_step_gets_values_of_earlier_results_and_hands_its_own_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WEIR_HOME", str(tmp_path))
    hostile = "--result=/etc/x; $(reboot)"
    arguments = argparse.Namespace(
        step="register", python=str(platform_stand_in(tmp_path)), parameter=[],
        given=[["train", json.dumps({"model": hostile, "run_id": None})]],
        value=[["model", "train.model"], ["run_id", "train.run_id"]],
        outcome=tmp_path / "deep" / "outcome",
    )  # fmt: skip
    result = run(arguments, load_settings())
    assert result == {"model": "spam", "version": "3", "uri": "models:/spam/3"}
    assert arguments.outcome.read_text() == "done"
    call = json.loads((tmp_path / "calls.jsonl").read_text())["arguments"]
    assert call[4:] == [f"--model={hostile}"]


def test_a_refusal_says_what_to_do_next() -> None:
    with pytest.raises(BadInput, match=r"train had bad input.*Exit code 2 names what is wrong"):
        refuse(argparse.Namespace(step="train"), load_settings())
