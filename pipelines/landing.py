"""The landing zone: events as they arrived, `{home}/landing/day=YYYY-MM-DD/{source}.jsonl`."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from pipelines.days import is_day

CHUNK_BYTES = 65_536


@dataclass(frozen=True)
class Line:
    """One line of a landed file, without its line end.

    `content` is None where the line is longer than the bound; then `start` holds its first
    bytes. `size` and `sha256` are of the whole line.
    """

    number: int
    content: bytes | None
    start: bytes
    size: int
    sha256: str


def folder(home: Path, day: str) -> Path:
    """The folder of what arrived on a day."""
    return home / "landing" / f"day={day}"


def days(home: Path) -> list[str]:
    """The days on which something arrived, sorted."""
    found = (path.parent.name.removeprefix("day=") for path in home.glob("landing/day=*/*.jsonl"))
    return sorted({day for day in found if is_day(day)})


def files(home: Path, day: str) -> list[Path]:
    """The files of a day, by name; the name without `.jsonl` is the source of its events."""
    return sorted(folder(home, day).glob("*.jsonl"))


def lines(path: Path, maximum_bytes: int) -> Iterator[Line]:
    """Every line that is not blank; one over `maximum_bytes` is read in pieces, never held."""
    with path.open("rb") as file:
        number = 0
        while start := file.readline(maximum_bytes + 2):
            number += 1
            if not start.endswith(b"\n") and len(start) > maximum_bytes:
                yield _too_long(file, start, number)
                continue
            content = start.removesuffix(b"\n").removesuffix(b"\r")
            if len(content) > maximum_bytes:
                yield Line(number, None, content, len(content), _sha256(content))
            elif content.strip():
                yield Line(number, content, content, len(content), _sha256(content))


def _too_long(file: BinaryIO, start: bytes, number: int) -> Line:
    digest, size, piece = hashlib.sha256(), 0, start
    while piece:
        ends = piece.endswith(b"\n")
        body = piece[:-1] if ends else piece
        digest.update(body)
        size += len(body)
        piece = b"" if ends else file.readline(CHUNK_BYTES)
    return Line(number, None, start, size, digest.hexdigest())


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
