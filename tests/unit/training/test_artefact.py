"""The artefact holds no pickle, and its digest depends on its files alone."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest

from data_contracts.config import load_settings
from data_contracts.errors import BadInput
from training.registry import download
from training.registry.artefact import directory_digest, ensemble_directory, refuse_pickles


def test_onnx_text_json_and_plain_arrays_are_welcome(tmp_path: Path) -> None:
    (tmp_path / "encoder.onnx").write_bytes(b"\x08\x07\x12\x00")
    (tmp_path / "policy.json").write_text("{}")
    (tmp_path / "empty").write_bytes(b"")
    np.savez_compressed(tmp_path / "arrays.npz", weights=np.zeros(3))
    refuse_pickles(tmp_path)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_a_pickle_is_found_by_its_bytes_whatever_its_name(tmp_path: Path, protocol: int) -> None:
    (tmp_path / "weights.bin").write_bytes(pickle.dumps({"a": 1}, protocol))
    with pytest.raises(BadInput, match=r"weights\.bin is a pickle"):
        refuse_pickles(tmp_path)


def test_a_pickle_inside_a_container_is_found(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "model.bin", "w") as container:
        container.writestr("archive/data.pkl", b"")
    with pytest.raises(BadInput, match="is a pickle"):
        refuse_pickles(tmp_path)


def test_an_array_of_objects_is_a_pickle(tmp_path: Path) -> None:
    np.savez(tmp_path / "arrays.npz", words=np.array(["a", None], dtype=object))
    with pytest.raises(BadInput, match="is a pickle"):
        refuse_pickles(tmp_path)


def test_an_empty_folder_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="holds no files"):
        refuse_pickles(tmp_path)


def test_the_digest_depends_on_names_and_bytes(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for folder, names in ((first, "ab"), (second, "ba")):
        folder.mkdir()
        for name in names:
            (folder / name).write_text(name)
    assert directory_digest(first) == directory_digest(second)
    (second / "a").rename(second / "c")
    assert directory_digest(first) != directory_digest(second)


def test_a_saved_mlflow_model_leads_to_its_data(tmp_path: Path) -> None:
    (tmp_path / "data" / "model").mkdir(parents=True)
    (tmp_path / "MLmodel").write_text("flavors: {python_function: {data: data/model}}")
    assert ensemble_directory(tmp_path) == tmp_path / "data" / "model"
    assert download(tmp_path, load_settings({})) == tmp_path / "data" / "model"
    assert download(tmp_path / "data", load_settings({})) == tmp_path / "data"
    (tmp_path / "MLmodel").write_text("flavors: {sklearn: {}}")
    with pytest.raises(BadInput, match="names no data folder"):
        ensemble_directory(tmp_path)


def test_a_folder_that_is_absent_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"neither a folder nor champion"):
        download(tmp_path / "absent", load_settings({}))
