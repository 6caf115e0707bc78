"""`version`: the lake's tables and suites as DVC versions; the one door to DVC.

DVC keeps its own repository inside the lake (`--no-scm`: the data is no part of this project)
and pushes to the remote `{home}/dvc-remote`. A table's hash is the md5 that DVC gives its
folder, so a model version can name the exact data it saw, and `dvc checkout` can bring it back.
"""

from __future__ import annotations

import argparse
import hashlib
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson
import yaml

from data_contracts.config import Settings
from data_contracts.errors import NothingToDo, WeirError
from data_contracts.files import write_atomically
from data_contracts.tables import DERIVED, TABLES, partition
from pipelines import lake
from pipelines.downloads import file_sha256
from pipelines.golden_cases import FOLDER as GOLDEN
from pipelines.golden_cases import SUITES

REMOTE = "local"
VERSIONED = [*(table for table in TABLES if table not in DERIVED), SUITES]


def run(arguments: argparse.Namespace, settings: Settings) -> dict[str, Any]:  # noqa: ARG001 - every verb has this form
    """The verb `version`. Calls DVC only when a table changed since the last version."""
    before = dataset_hashes(settings.lake)
    with lake.only_writer(settings.lake):
        hashes = version_lake(settings.lake, settings.home / "dvc-remote", settings.cache)
    changed = sorted(name for name, value in hashes.items() if before.get(name) != value)
    return {"dataset_hashes": hashes, "changed": changed}


def version_lake(lake_folder: Path, remote: Path, cache: Path) -> dict[str, str]:
    """Version every table that has days, but for DERIVED, and the suites; name and md5.

    Raises NothingToDo for an empty lake.
    """
    tables = [table for table in VERSIONED if any(_files(lake_folder, table))]
    if not tables:
        raise NothingToDo(f"the lake {lake_folder} is empty; run `python -m pipelines ingest`")
    fingerprint = {table: _fingerprint(lake_folder, table) for table in tables}
    ledger = lake_folder / "versioned.json"
    if ledger.is_file() and orjson.loads(ledger.read_bytes()) == fingerprint:
        return dataset_hashes(lake_folder)
    _add_and_push(lake_folder, remote, cache, tables)
    write_atomically(ledger, orjson.dumps(fingerprint, option=orjson.OPT_INDENT_2))
    return dataset_hashes(lake_folder)


def dataset_hashes(lake_folder: Path) -> dict[str, str]:
    """Table (or `suites`) and md5 of the last version; empty before the first.

    Reads files, not DVC.
    """
    found = {}
    for table in VERSIONED:
        path = lake_folder / f"{table}.dvc"
        if path.is_file():
            found[table] = str(yaml.safe_load(path.read_text(encoding="utf-8"))["outs"][0]["md5"])
    return found


def _fingerprint(lake_folder: Path, table: str) -> str:
    """One sha256 over the names and the bytes of a table's files."""
    digest = hashlib.sha256()
    for path in _files(lake_folder, table):
        name = path.parent.name if path.name == lake.PART else path.name
        digest.update(f"{name} {file_sha256(path)}\n".encode())
    return digest.hexdigest()


def _files(lake_folder: Path, table: str) -> list[Path]:
    """The files of a table, a day each, or of the golden suite, a kind each; sorted."""
    if table == SUITES:
        return sorted((lake_folder / GOLDEN).glob("*.jsonl"))
    return [partition(lake_folder, table, day) / lake.PART for day in lake.days(lake_folder, table)]


def _add_and_push(lake_folder: Path, remote: Path, cache: Path, tables: Sequence[str]) -> None:
    """One process for all of it: loading DVC takes longer than its work."""
    os.environ["DVC_NO_ANALYTICS"] = "1"
    for name in ("SITE_CACHE", "GLOBAL_CONFIG", "SYSTEM_CONFIG"):  # DVC's own files stay with us
        os.environ[f"DVC_{name}_DIR"] = str(cache / "dvc" / name.lower())
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    logging.getLogger("dvc").setLevel(logging.ERROR)
    try:
        if not (lake_folder / ".dvc").is_dir():
            _start_repository(Repo, lake_folder, remote)
        with Repo(str(lake_folder)) as repository:
            repository.add([str(lake_folder / table) for table in tables])
            repository.push()
    except DvcException as error:
        raise WeirError(
            f"DVC cannot version {lake_folder} ({error}); see `dvc doctor` there, or delete its "
            ".dvc folder to start versions anew"
        ) from None


def _start_repository(repo: Any, lake_folder: Path, remote: Path) -> None:
    remote.mkdir(parents=True, exist_ok=True)
    with repo.init(str(lake_folder), no_scm=True) as repository, repository.config.edit() as config:
        # DVC turns a location relative to here into one relative to its configuration, so that
        # a home can be moved
        config["remote"][REMOTE] = {"url": os.path.relpath(remote)}
        config["core"].update({"remote": REMOTE, "analytics": False})
