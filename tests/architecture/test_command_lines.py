"""Every folder's command line explains itself and loads nothing heavy to do so."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
FOLDERS = ("pipelines", "training", "evaluation", "serving", "infra.local")
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
    modules = {
        line.rsplit("|", 1)[1].strip().partition(".")[0]
        for line in finished.stderr.splitlines()
        if line.startswith("import time:")
    }
    return finished.returncode, modules


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
