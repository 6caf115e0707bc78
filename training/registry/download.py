"""From a model's name to a local directory that `Ensemble.load` reads."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from data_contracts.config import Settings
from data_contracts.errors import BadInput, WeirError
from training.registry.artefact import ARTEFACT_TAG, directory_digest, ensemble_directory
from training.registry.connection import Connection, connect
from training.registry.versions import CHALLENGER, CHAMPION, ModelVersion, get_version


def download(model: str | Path, settings: Settings) -> Path:
    """The ensemble's directory of `model`: a folder, `champion`, `challenger` or `models:/…`.

    A folder is used where it lies (a saved MLflow model's data is found in it). A version is
    fetched once into `{home}/cache/models`, checked against the digest that it was registered
    with, and appears there complete or not at all. MLflow is asked which version an alias means.
    """
    name = str(model)
    if name not in {CHAMPION, CHALLENGER} and not name.startswith("models:/"):
        return _local(Path(name))
    connection = connect(settings)
    return fetch(connection, get_version(connection, name), settings.cache / "models")


def fetch(connection: Connection, version: ModelVersion, cache: Path) -> Path:
    """The version's files, from the cache or from MLflow. Raises WeirError when they changed."""
    expected = version.tags.get(ARTEFACT_TAG)
    if expected is None:
        raise BadInput(
            f"{version.uri} has no tag {ARTEFACT_TAG}; it was not registered by "
            "`python -m training register`"
        )
    # named by content: the same number in another registry is another model
    target = cache / f"{version.model}-{version.number}-{expected.removeprefix('sha256:')[:16]}"
    if not target.is_dir():
        _download_atomically(connection, version, expected, target)
    return target


def _local(path: Path) -> Path:
    if not path.is_dir():
        raise BadInput(
            f"model {str(path)!r} is neither a folder nor champion, challenger or models:/NAME/N; "
            "train one with `python -m training train --output DIR`"
        )
    return ensemble_directory(path)


def _download_atomically(
    connection: Connection, version: ModelVersion, expected: str, target: Path
) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}."))
    try:
        with connection.client():
            import mlflow

            saved = mlflow.artifacts.download_artifacts(
                artifact_uri=version.source, dst_path=str(temporary)
            )
        files = ensemble_directory(Path(saved))
        _check_digest(version, files, expected)
        _move_into_place(files, target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _check_digest(version: ModelVersion, files: Path, expected: str) -> None:
    found = directory_digest(files)
    if found != expected:
        raise WeirError(
            f"{version.uri}: its files have {found}, registered was {expected}; they were changed "
            "or came incomplete: try again, then register the model anew"
        )


def _move_into_place(files: Path, target: Path) -> None:
    try:
        files.rename(target)
    except OSError:
        if not target.is_dir():  # otherwise another process was faster: its files are the same
            raise
