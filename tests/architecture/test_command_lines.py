"""Every folder's command line explains itself and loads nothing heavy to do so."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
FOLDERS = ("pipelines", "training", "evaluation", "serving", "infra.local", "infra.kubeflow")
HEAVY = {
    "dvc", "evidently", "great_expectations", "kserve", "lightgbm", "matplotlib", "mlflow", "numba",
    "onnxruntime", "optuna", "pandas", "pyarrow", "scipy", "sklearn", "sqlalchemy", "torch",
}  # fmt: skip


def imported_by_help(*arguments: str) -> tuple[int, set[str]]:
    """The exit code of `python -m … --help` and the top-level modules it imported."""
    finished = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", *arguments, "--help"],
        cwd=PROJECT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return finished.returncode, imported_modules(finished.stderr)


def imported_modules(import_times: str) -> set[str]:
    """Top-level names in what `-X importtime` wrote."""
    return {
        line.rsplit("|", 1)[1].strip().partition(".")[0]
        for line in import_times.splitlines()
        if line.startswith("import time:")
    }


@pytest.mark.parametrize("folder", FOLDERS)
def test_help_imports_no_heavy_library(folder: str) -> None:
    code, modules = imported_by_help(folder)
    assert code == 0
    assert not modules & HEAVY


@pytest.mark.parametrize("folder", FOLDERS)
def test_an_unknown_verb_is_bad_input(folder: str) -> None:
    finished = subprocess.run(
        [sys.executable, "-m", folder, "no-such-verb"],
        cwd=PROJECT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert finished.returncode == 2
    assert "no-such-verb" in finished.stderr


def test_the_inference_that_serving_loads_needs_no_training_library() -> None:
    finished = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", "import training.ensemble"],
        cwd=PROJECT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert not imported_modules(finished.stderr) & {
        "torch",
        "mlflow",
        "optuna",
        "sklearn",
        "pandas",
    }
