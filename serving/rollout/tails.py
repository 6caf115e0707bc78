"""Files of JSON lines that grow while they are read."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

import orjson


class Tail:
    """New whole lines of the files that match a pattern, wherever renaming has put them."""

    def __init__(self, folder: Path, pattern: str, since: datetime) -> None:
        self._folder = folder
        self._pattern = pattern
        self._since = since.timestamp() - 1
        self._read_bytes: dict[int, int] = {}

    def records(self) -> Iterator[dict[str, Any]]:
        for path in sorted(self._folder.glob(self._pattern)):
            yield from self._records_of(path)

    def _records_of(self, path: Path) -> Iterator[dict[str, Any]]:
        try:
            with path.open("rb") as file:
                yield from self._new_lines(file)
        except FileNotFoundError:  # moved on between listing and opening
            return

    def _new_lines(self, file: BinaryIO) -> Iterator[dict[str, Any]]:
        status = os.fstat(file.fileno())
        if status.st_mtime < self._since:
            return
        file.seek(self._read_bytes.get(status.st_ino, 0))
        for line in file:
            if not line.endswith(b"\n"):
                return
            self._read_bytes[status.st_ino] = self._read_bytes.get(status.st_ino, 0) + len(line)
            try:
                yield orjson.loads(line)
            except orjson.JSONDecodeError:
                continue  # half a line that a killed server left behind
