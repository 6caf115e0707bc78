"""Files that a reader never sees half written."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


def write_atomically(path: Path, content: bytes, mode: int = 0o644) -> None:
    """Write beside the target, then rename: a reader sees the old bytes or the new ones."""
    with opened_atomically(path, mode) as file:
        file.write(content)


@contextmanager
def opened_atomically(path: Path, mode: int = 0o644) -> Iterator[BinaryIO]:
    """A file to write that takes the target's place at the end; after an error it is gone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(mode)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
