"""How many decision records a process took on and settled, in a file that outlives its crash.

The counts lie in a mapped page: a process that is killed leaves them behind, and a record costs no
system call. Whoever opens the ledger of a dead process learns how many records died with it. A
crash between writing lines and settling them counts these lines as lost although they are there;
after a power failure nothing is promised.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

SUFFIX = ".ledger"
_COUNT, _COUNTS = struct.Struct("<Q"), struct.Struct("<QQ")  # taken on, settled


class RecordLedger:
    """`{stem}.ledger`, locked while its process lives. One thread takes on, one settles."""

    def __init__(self, folder: Path, stem: str) -> None:
        self._path = folder / f"{stem}{SUFFIX}"
        self._descriptor = -1
        self._page: mmap.mmap | None = None
        self._taken = 0
        self._settled = 0

    def open(self) -> None:
        """Raises OSError where the file cannot be made.

        One that another process left under this name is to be read first (`lost_with_the_dead`).
        """
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # written, not only extended: a page without a place on the disk would kill us when it fills
        os.pwrite(self._descriptor, bytes(mmap.PAGESIZE), 0)
        self._page = mmap.mmap(self._descriptor, mmap.PAGESIZE)

    def take_on(self, count: int) -> None:
        """So many records are promised to the disk."""
        self._taken += count
        self._keep(0, self._taken)

    def settle(self, count: int) -> None:
        """So many are written, or counted as lost."""
        self._settled += count
        self._keep(_COUNT.size, self._settled)

    def close(self) -> None:
        """Remove the file: everything is settled. One that cannot be removed says so itself."""
        if self._page is None:
            return
        self._page.close()
        self._page = None
        with suppress(OSError):
            self._path.unlink()
        os.close(self._descriptor)

    def _keep(self, offset: int, count: int) -> None:
        if self._page is not None:
            _COUNT.pack_into(self._page, offset, count)


def lost_with_the_dead(folder: Path, slot: str) -> int:
    """Records that processes of `slot` took on and died with; their ledgers are removed."""
    return sum(_lost(path) for path in sorted(_ledgers(folder, slot)))


def _ledgers(folder: Path, slot: str) -> Iterator[Path]:
    for path in folder.glob(f"{slot}-*{SUFFIX}"):
        if path.name.removesuffix(SUFFIX).removeprefix(f"{slot}-").isdigit():
            yield path


def _lost(path: Path) -> int:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:  # another worker was faster
        return 0
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        counts = os.pread(descriptor, _COUNTS.size, 0)
        path.unlink(missing_ok=True)
    except BlockingIOError:  # its process lives
        return 0
    finally:
        os.close(descriptor)
    if len(counts) < _COUNTS.size:  # killed before it had taken on any
        return 0
    taken, settled = _COUNTS.unpack(counts)
    return int(taken - settled)
