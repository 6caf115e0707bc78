"""The landing zone: what arrived, as it arrived, by day and source.

Events are in `{home}/landing/day=YYYY-MM-DD/{source}.jsonl`, the platform's log of actions in
`{home}/landing/day=YYYY-MM-DD/actions/{source}.jsonl`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO

from data_contracts.errors import ContractViolation
from pipelines.days import is_day

CHUNK_BYTES = 65_536
RAW_KEPT_BYTES = 65_536
CLOCK_TOLERANCE = timedelta(days=1)
LOOKBACK_DAYS = 7  # within which a delivery that is repeated is recognised


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
    folders = (home / "landing").glob("day=*")
    found = {path.name.removeprefix("day=") for path in folders}
    return sorted(day for day in found if is_day(day) and all_files(home, day))


def files(home: Path, day: str) -> list[Path]:
    """The files of a day, by name; the name without `.jsonl` is the source of its events."""
    return sorted(folder(home, day).glob("*.jsonl"))


def action_folder(home: Path, day: str) -> Path:
    """The folder of the actions that arrived on a day."""
    return folder(home, day) / "actions"


def action_files(home: Path, day: str) -> list[Path]:
    """The files of a day's actions, by name."""
    return sorted(action_folder(home, day).glob("*.jsonl"))


def all_files(home: Path, day: str) -> list[Path]:
    """Everything that arrived on a day."""
    return [*files(home, day), *action_files(home, day)]


def midnight(day: str) -> datetime:
    """Its beginning, in UTC."""
    return datetime.fromisoformat(day).replace(tzinfo=UTC)


def check_time(field: str, at: datetime, day: str) -> None:
    """ContractViolation for what landed on a day and lies over a day after it."""
    if at >= midnight(day) + timedelta(days=1) + CLOCK_TOLERANCE:
        raise ContractViolation(
            field,
            at.isoformat(),
            f"is over a day after the day it landed on ({day})",
            "mend the sender's clock",
        )


def too_long(line: Line, what: str, maximum_bytes: int, remedy: str) -> ContractViolation:
    """The violation of a line that is longer than the bound."""
    return ContractViolation(
        what,
        f"{line.size} bytes",
        f"the line has {line.size} bytes, an {what} at most {maximum_bytes}",
        remedy,
    )


def quarantined(line: Line, path: Path, violation: ContractViolation) -> dict[str, Any]:
    """The row of the lake's quarantine for a line of a landed file."""
    of_day = next(parent for parent in path.parents if parent.name.startswith("day="))
    return {
        "source": path.relative_to(of_day.parent).as_posix(),
        "line": line.number,
        "field": violation.field,
        "reason": f"{violation.problem}; {violation.remedy}",
        "raw": line.start[:RAW_KEPT_BYTES],
        "sha256": line.sha256,
    }


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
