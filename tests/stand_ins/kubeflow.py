"""What tests of the Kubeflow pipelines need: the compiler's environment, and a definition read."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from data_contracts.config import PROJECT

PYTHON = PROJECT / ".venv-kubeflow" / "bin" / "python"


def kubeflow(environment: Mapping[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """`python -m infra.kubeflow …` in kfp's environment; skips, naming it, where that is absent."""
    if not PYTHON.exists():
        pytest.skip(f"{PYTHON} is missing (infra/kubeflow/requirements.txt): run `make setup`")
    return subprocess.run(
        [str(PYTHON), "-m", "infra.kubeflow", *arguments], cwd=PROJECT, env=dict(environment),
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip


def compiled(folder: Path, environment: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The retraining as kfp's definition and its Kubernetes part."""
    file = folder / "retraining.yaml"
    done = kubeflow(environment, "compile", "--output", str(file))
    assert done.returncode == 0, done.stderr
    definition, platform = yaml.safe_load_all(file.read_text())
    return definition, platform


def tasks(definition: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Every task by the step it runs, with the conditions it stands under (`conditions`)."""
    return dict(_tasks(definition, definition["root"], ()))


def _tasks(
    definition: Mapping[str, Any], component: Mapping[str, Any], conditions: tuple[str, ...]
) -> Iterator[tuple[str, dict[str, Any]]]:
    for task in component["dag"]["tasks"].values():
        inner = definition["components"][task["componentRef"]["name"]]
        if "dag" in inner:
            yield from _tasks(definition, inner, (*conditions, task["taskInfo"]["name"]))
        else:
            yield task["taskInfo"]["name"], {**task, "conditions": conditions}
