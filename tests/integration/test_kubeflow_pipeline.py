"""The compiled retraining, run by kfp.local: retries, skips, refusals, and the real platform."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.stand_ins.airflow import platform_stand_in
from tests.stand_ins.kubeflow import kubeflow


def ran(
    home: Path, plan: dict[str, Any], python: str = ""
) -> tuple[subprocess.CompletedProcess[str], list[list[str]]]:
    """The run, and each call of the platform as [verb, option …], the result file left out.

    `quantise` stands beside the others, at no fixed time: where it is told, it is told first.
    """
    (home / "plan.json").write_text(json.dumps(plan))
    environment = {
        **os.environ,
        "WEIR_HOME": str(home),
        "WEIR__ORCHESTRATION__PLATFORM_PYTHON": python or str(platform_stand_in(home)),
        "WEIR__ORCHESTRATION__RETRY_DELAY_SECONDS": "0.6",
    }
    done = kubeflow(environment, "run-local", "--parameter", "trials", "2")
    log = home / "calls.jsonl"
    lines = log.read_text().splitlines() if log.is_file() else []
    calls = [json.loads(line)["arguments"] for line in lines]
    told = [[call[2], *call[4:]] for call in calls]
    return done, sorted(told, key=lambda call: call[0] != "quantise")


def test_a_step_that_fails_is_tried_again_and_its_result_is_handed_on(tmp_path: Path) -> None:
    done, calls = ran(tmp_path, {"register": {"code": 1, "fails_first": 1}})
    assert done.returncode == 0, done.stdout + done.stderr
    assert [call[0] for call in calls[:4]] == ["quantise", "train", "register", "register"]
    assert calls[1][1:] == ["--lake-days=all", "--if-new-labels", "--tracking", "--trials=2"]
    assert calls[3][1:] == ["--model=/models/m1", "--run-id=r1"]
    assert sorted(call[1] for call in calls[4:7]) == [
        "--suite=adversarial", "--suite=fairness", "--suite=golden",
    ]  # fmt: skip
    reports = [f"--gate=/reports/{gate}.json" for gate in ("golden", "adversarial", "fairness")]
    assert calls[7:] == [
        ["card", "--model=models:/spam/3", *reports],
        ["promote", "--version=3", *reports, "--card=/reports/model_card.html"],
    ]


def test_bad_input_ends_the_run_as_failed_and_is_not_tried_again(tmp_path: Path) -> None:
    done, calls = ran(tmp_path, {"register": {"code": 2}})
    assert done.returncode == 1
    assert "register had bad input or configuration" in done.stdout
    assert [call[0] for call in calls] == ["quantise", "train", "register"]


def test_a_step_whose_retries_are_used_up_fails_the_run(tmp_path: Path) -> None:
    done, calls = ran(tmp_path, {"train": {"code": 1}})
    assert done.returncode == 1
    assert "Inner task failed" in done.stderr
    assert [call[0] for call in calls] == ["quantise", "train", "train"]


def test_the_real_platform_has_nothing_to_train_on_so_the_run_is_done_and_runs_nothing_more(
    tmp_path: Path,
) -> None:
    """Every step is real; `train` ends with 99 in an empty home."""
    done, _ = ran(tmp_path, {}, python=sys.executable)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "training train: no labels in" in done.stdout
    assert "register" not in done.stdout
