"""`python -m training fetch MODEL FOLDER`: a registered version's files, in a folder that is there.

KServe runs it before a model server, in place of its own storage initializer, and appends the two
arguments (infra/kubernetes/base/cluster/model_fetching.yaml).
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path
from typing import Any

from data_contracts.config import Settings
from training.registry.connection import READER, Connection, connect
from training.registry.download import fetch
from training.registry.versions import get_version


def run(arguments: argparse.Namespace, settings: Settings) -> dict[str, Any]:
    """Asks MLflow as a user who may only read. Raises WeirError as `registry.download.fetch`."""
    connection = connect(settings, READER)
    return fetch_into(arguments.folder, arguments.model, connection, settings.cache / "models")


def fetch_into(folder: Path, model: str, connection: Connection, cache: Path) -> dict[str, Any]:
    """Checked against the digest that it was registered with; a second time changes nothing."""
    version = get_version(connection, model)
    files = fetch(connection, version, cache)
    shutil.copytree(files, folder, dirs_exist_ok=True)
    return {"version": str(version.number), "model": version.uri, "folder": str(folder)}
