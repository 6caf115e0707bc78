"""The artefact: one MLflow model that holds the ensemble's files and no pickle.

MLflow's pyfunc flavour names `training.served_model` as the loader, so the files stay what the
ensemble wrote (ONNX, LightGBM text, JSON) and anybody with MLflow and Weir can load them.
"""

from __future__ import annotations

import hashlib
import os
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from data_contracts.errors import BadInput
from training.registry.connection import Connection
from training.registry.versions import ModelVersion, create_version, versions_of_run

if TYPE_CHECKING:
    from mlflow.models import ModelSignature
    from mlflow.models.model import ModelInfo

LOADER = "training.served_model"
ARTEFACT_TAG = "weir.artefact"
MODEL_NAME_IN_RUN = "ensemble"
REQUIREMENTS = ("lightgbm", "numpy", "onnxruntime", "onnxruntime-extensions", "orjson", "pydantic")
_PICKLE_NAMES = {".pkl", ".pickle", ".joblib", ".dill", ".pt", ".pth"}
_PICKLE_PROTOCOLS = {b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"}


def log_version(
    connection: Connection, directory: Path, run_id: str, tags: Mapping[str, str]
) -> ModelVersion:
    """Upload the ensemble's directory to the run and make it a version with these tags.

    Idempotent: the same bytes from the same run are the version that they already are.
    Raises BadInput where the directory is empty or holds a pickle.
    """
    refuse_pickles(directory)
    digest = directory_digest(directory)
    for version in versions_of_run(connection, run_id):
        if version.tags.get(ARTEFACT_TAG) == digest:
            return version
    logged = _upload(connection, directory, run_id)
    return create_version(
        connection, logged.model_uri, run_id, logged.model_id, {**tags, ARTEFACT_TAG: digest}
    )


def refuse_pickles(directory: Path) -> None:
    """Loading a pickle runs whatever code it names, so an artefact has none. Raises BadInput."""
    if not any(_files(directory)):
        raise BadInput(f"{directory} holds no files; give the folder that training wrote")
    for path in _files(directory):
        if _is_pickle(path):
            raise BadInput(
                f"{path} is a pickle; save it as ONNX, LightGBM text, JSON or safetensors"
            )


def directory_digest(directory: Path) -> str:
    """`sha256:…` over every file's relative path and bytes, whatever the order on disk."""
    total = hashlib.sha256()
    for path in sorted(_files(directory)):
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        total.update(f"{path.relative_to(directory).as_posix()}\0{content}\n".encode())
    return f"sha256:{total.hexdigest()}"


def ensemble_directory(directory: Path) -> Path:
    """The ensemble's own files: `directory` itself, or the data of a saved MLflow model."""
    description = directory / "MLmodel"
    if not description.is_file():
        return directory
    flavors = yaml.safe_load(description.read_text(encoding="utf-8"))["flavors"]
    data = flavors.get("python_function", {}).get("data")
    if data is None or not (directory / data).is_dir():
        raise BadInput(
            f"{description} names no data folder; it is not a model that Weir registered"
        )
    return directory / str(data)


def _upload(connection: Connection, directory: Path, run_id: str) -> ModelInfo:
    requirements = [f"{name}=={installed_version(name)}" for name in REQUIREMENTS]
    with connection.client():
        import mlflow

        with mlflow.start_run(run_id=run_id), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # MLflow would like an input example as well
            return mlflow.pyfunc.log_model(
                name=MODEL_NAME_IN_RUN,
                loader_module=LOADER,
                data_path=str(directory),
                signature=_signature(),
                pip_requirements=requirements,
            )


def _signature() -> ModelSignature:
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema

    return ModelSignature(
        inputs=Schema([ColSpec(DataType.string, "event")]),
        outputs=Schema([ColSpec(DataType.double, "score"), ColSpec(DataType.string, "action")]),
    )


def _files(directory: Path) -> Iterator[Path]:
    return (path for path in directory.rglob("*") if path.is_file())


def _is_pickle(path: Path) -> bool:
    if path.suffix in _PICKLE_NAMES:
        return True
    if zipfile.is_zipfile(path):  # torch's containers, NumPy's .npz
        with zipfile.ZipFile(path) as container:
            return any(_holds_pickle(container, name) for name in container.namelist())
    with path.open("rb") as file:
        if file.read(2) not in _PICKLE_PROTOCOLS:
            return False
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"."


def _holds_pickle(container: zipfile.ZipFile, name: str) -> bool:
    """A pickle by name, or an array whose type is object, which NumPy keeps as one."""
    if Path(name).suffix in _PICKLE_NAMES:
        return True
    with container.open(name) as member:
        return name.endswith(".npy") and b"'descr': '|O'" in member.read(256)
