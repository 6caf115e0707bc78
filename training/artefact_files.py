"""The files of an artefact: written beside the target and renamed, verified when read.

`manifest.json` holds the sha256 of every other file. Arrays are .npz without pickles.
"""

from __future__ import annotations

import hashlib
import io
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from data_contracts.errors import BadInput, MissingPart

FORMAT = 2
MANIFEST = "manifest.json"
REMEDY = "give the folder that `python -m training train` wrote, or train again"


def write_artefact(directory: Path, files: Mapping[str, bytes | Path]) -> None:
    """Write all files (contents, or paths to copy) and the manifest; an old artefact is replaced.

    Raises BadInput where `directory` holds something that is not an artefact.
    """
    if directory.exists() and any(directory.iterdir()) and not (directory / MANIFEST).is_file():
        raise BadInput(f"{directory} is not empty and holds no model; give another --output")
    directory.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(dir=directory.parent, prefix=f".{directory.name}."))
    try:
        for name, content in files.items():
            _put(fresh / name, content)
        sums = {name: _sha256(fresh / name) for name in sorted(files)}
        manifest = orjson.dumps({"format": FORMAT, "files": sums}, option=orjson.OPT_INDENT_2)
        (fresh / MANIFEST).write_bytes(manifest)
        fresh.chmod(0o755)
        if directory.exists():
            shutil.rmtree(directory)
        fresh.rename(directory)
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        raise


def verify_artefact(directory: Path) -> dict[str, str]:
    """The sha256 by file name. MissingPart or BadInput that names what is absent or changed."""
    path = directory / MANIFEST
    if not path.is_file():
        raise MissingPart(f"{directory} holds no {MANIFEST}, so it is no model; {REMEDY}")
    try:
        manifest = orjson.loads(path.read_bytes())
        version, sums = manifest["format"], dict(manifest["files"])
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
        raise BadInput(f"{path} is not a manifest; {REMEDY}") from None
    if version != FORMAT:
        raise BadInput(f"{path}: format {version!r} is not {FORMAT}; {REMEDY}")
    for name, expected in sums.items():
        _check(directory / name, expected)
    return sums


def read_json(path: Path) -> Any:
    try:
        return orjson.loads(path.read_bytes())
    except orjson.JSONDecodeError as error:
        raise BadInput(f"{path} is not JSON ({error}); {REMEDY}") from None


def arrays_to_bytes(**arrays: NDArray[Any]) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    with np.load(path, allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}


def _put(path: Path, content: bytes | Path) -> None:
    if isinstance(content, Path):
        shutil.copyfile(content, path)
    else:
        path.write_bytes(content)


def _check(path: Path, expected: str) -> None:
    if not path.is_file():
        raise MissingPart(f"{path} is absent, though the manifest names it; {REMEDY}")
    found = _sha256(path)
    if found != expected:
        raise BadInput(f"{path} has sha256 {found}, the manifest says {expected}; {REMEDY}")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
