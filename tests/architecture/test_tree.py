"""The shape of the repository: what stands at the top, who owns a folder, what never appears."""

from __future__ import annotations

import ast
import re
import subprocess
import tokenize
from pathlib import Path

import pytest

from tests.side_by_side import KUBERNETES, ORDER

PROJECT = Path(__file__).resolve().parents[2]
FOLDERS = ("data_contracts", "pipelines", "training", "evaluation", "serving", "infra")
TOP_LEVEL = {
    "dags", "pipelines", "training", "evaluation", "serving", "data_contracts", "infra", "tests",
    "requirements.txt", "README.md", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "Makefile",
    "pyproject.toml",
}  # fmt: skip
VAGUE_NAMES = {"utils", "helpers", "manager", "common", "misc"}


def tracked(suffix: str = "") -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=PROJECT, check=True, capture_output=True, text=True,
    )  # fmt: skip
    files = (PROJECT / line for line in listed.stdout.splitlines())
    return [file for file in files if file.name.endswith(suffix) and file.is_file()]


def test_the_top_level_holds_only_the_fixed_folders_and_tool_files() -> None:
    names = {file.relative_to(PROJECT).parts[0] for file in tracked()}
    unexpected = {name for name in names - TOP_LEVEL if not name.startswith(".")}
    assert not unexpected


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_folder_says_what_it_owns(folder: str) -> None:
    source = (PROJECT / folder / "__init__.py").read_text()
    documentation = ast.get_docstring(ast.parse(source)) or ""
    assert len(documentation) > 60, f"{folder}/__init__.py says too little"


def test_every_module_says_its_purpose() -> None:
    silent = [
        str(file.relative_to(PROJECT))
        for file in tracked(".py")
        if file.read_text().strip() and not says_its_purpose(file)
    ]
    assert not silent


def says_its_purpose(module: Path) -> bool:
    """Whether its first token is a string that says something: to parse all of it takes longer."""
    nothing = (tokenize.ENCODING, tokenize.COMMENT, tokenize.NL)
    with module.open("rb") as lines:
        first = next(one for one in tokenize.tokenize(lines.readline) if one.type not in nothing)
    return first.type == tokenize.STRING and bool(str(ast.literal_eval(first.string)).strip())


def test_a_module_that_says_nothing_is_found(tmp_path: Path) -> None:
    module = tmp_path / "module.py"
    for source, says in (
        ('# a\n\n"""Purpose."""\n', True),
        ("import os\n", False),
        ('" "\n', False),
    ):
        module.write_text(source)
        assert says_its_purpose(module) == says


def test_no_module_has_a_vague_name() -> None:
    vague = [str(file) for file in tracked(".py") if set(file.with_suffix("").parts) & VAGUE_NAMES]
    assert not vague


def test_no_machine_path_or_registry_host_is_tracked() -> None:
    needles = [
        str(PROJECT.parent) + "/",
        str(Path.home()) + "/",
        "--index" + "-url",
        "--find" + "-links",
    ]
    found = [
        f"{file.relative_to(PROJECT)}: {needle}"
        for file in tracked()
        if file.suffix not in {".png", ".lock"}
        for needle in needles
        if needle in file.read_text(errors="ignore")
    ]
    assert not found


def test_nothing_loads_formats_that_can_execute_code() -> None:
    risky = re.compile(
        r"pickle\.loads?\(|joblib\.load\(|yaml\.load\(|(?<![.\w])eval\(|shell=True"
        r"|torch\.load\((?!.*weights_only=True)"
    )
    found = [
        f"{file.relative_to(PROJECT)}:{number}"
        for file in tracked(".py")
        if "tests" not in file.relative_to(PROJECT).parts
        for number, line in enumerate(file.read_text().splitlines(), 1)
        if risky.search(line)
    ]
    assert not found


def test_no_tracked_file_is_larger_than_a_megabyte() -> None:
    assert not [str(file) for file in tracked() if file.stat().st_size > 1_000_000]


def test_requirements_are_pinned() -> None:
    loose = [
        line
        for name in ("requirements.txt", "dags/requirements.txt", "infra/review/requirements.txt")
        for line in (PROJECT / name).read_text().splitlines()
        if line and not line.startswith("#") and "==" not in line
    ]
    assert not loose


def test_files_that_are_told_to_begin_first_exist() -> None:
    assert not [name for name in {*KUBERNETES, *ORDER} if not (PROJECT / name).is_file()]
