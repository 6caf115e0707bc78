"""The sentence encoder that the configuration names: its file, and the sha256 that names it.

`data.encoder_variant` says which: the catalogue's `published` file, or what `python -m training
quantise` kept of it: `quantised` (int8, CPU) or `cuda` (fp16, ONNX Runtime on a GPU). The variant
goes into the model that is trained with it; serving opens what the model brings.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson

from data_contracts.config import Data
from data_contracts.errors import MissingPart
from pipelines.assets import asset, asset_file
from pipelines.downloads import file_sha256

RESULT = "quantisation.json"


def variants_folder(name: str, cache: Path) -> Path:
    """Where the quantised variants of an encoder are kept, with `quantisation.json`."""
    return cache / "encoders" / name


def encoder_version(data: Data, cache: Path) -> str:
    """The sha256 of the encoder's file, without reading it."""
    if data.encoder_variant == "published":
        return asset(data.encoder).sha256
    return str(_kept(data, cache)["sha256"])


def encoder_file(data: Data, cache: Path) -> Path:
    """The encoder's file, verified. MissingPart that names the remedy where there is none."""
    if data.encoder_variant == "published":
        if asset(data.encoder).input == "tokens":
            raise MissingPart(
                f"data.encoder {data.encoder} takes tokens, and its published file brings no "
                "tokeniser; set data.encoder_variant to quantised or cuda"
            )
        return asset_file(data.encoder, data, cache)
    kept = _kept(data, cache)
    path = variants_folder(data.encoder, cache) / str(kept["file"])
    if not path.is_file() or file_sha256(path) != kept["sha256"]:
        raise MissingPart(f"{path} is absent or was changed; {_remedy(data)}")
    return path


def _kept(data: Data, cache: Path) -> dict[str, Any]:
    path = variants_folder(data.encoder, cache) / RESULT
    found = orjson.loads(path.read_bytes()) if path.is_file() else {}
    kept: dict[str, Any] | None = found.get("kept", {}).get(data.encoder_variant)
    if kept is None:
        why = f"{path} keeps none" if found else f"there is no {path}"
        raise MissingPart(
            f"data.encoder_variant {data.encoder_variant} of {data.encoder}: {why}; {_remedy(data)}"
        )
    return kept


def _remedy(data: Data) -> str:
    where = " where ONNX Runtime has CUDA" if data.encoder_variant == "cuda" else ""
    return f"run `python -m training quantise`{where}, or set data.encoder_variant to published"
