"""Public files, fetched once: a file whose sha256 is not the expected one never gets its name."""

from __future__ import annotations

import hashlib
import urllib.error
import urllib.request
from pathlib import Path
from typing import BinaryIO

from data_contracts.errors import MissingPart
from data_contracts.files import opened_atomically

TIMEOUT_SECONDS = 60
CHUNK_BYTES = 1 << 20


def file_sha256(path: Path) -> str:
    """The file's sha256 as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def download(url: str, sha256: str, target: Path, *, part: str, remedy: str) -> Path:
    """Fetch `url` to `target` unless an intact copy is there; returns `target`.

    `part` names what is fetched. Raises MissingPart with `remedy` where the origin does not
    answer, or answers with other bytes.
    """
    if target.is_file() and file_sha256(target) == sha256:
        return target
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS) as response:  # noqa: S310 - https only, by the catalogue's contract
            return keep_verified(response, sha256, target, part=part, remedy=remedy)
    except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
        reason = getattr(error, "reason", error)
        raise MissingPart(f"{part}: {url} does not answer ({reason}); {remedy}") from None


def keep_verified(content: BinaryIO, sha256: str, target: Path, *, part: str, remedy: str) -> Path:
    """Write a stream to `target` if its sha256 is the expected one, else raise MissingPart."""
    digest = hashlib.sha256()
    with opened_atomically(target) as file:
        while chunk := content.read(CHUNK_BYTES):
            digest.update(chunk)
            file.write(chunk)
        if digest.hexdigest() != sha256:
            raise MissingPart(
                f"{part}: sha256 {digest.hexdigest()} is not the catalogue's {sha256}, "
                f"so it was refused; {remedy}"
            )
    return target
