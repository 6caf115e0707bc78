"""Every verdict as a line of `{home}/decisions/{slot}-{pid}.jsonl`, written beside the traffic.

Requests only put records into a bounded buffer; one thread turns them into whole lines. A clean
stop loses nothing. What has to be given up (a full buffer, a disk that stays full) is counted in
`weir_decision_records_lost_total`, and a verdict that could not be recorded says so in its
reasons. What a killed process took with it is counted by the next one of its slot.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import orjson

from data_contracts.errors import ServiceUnavailable
from serving import metrics
from serving.logs import say
from serving.record_ledger import RecordLedger, lost_with_the_dead

NOT_RECORDED = "decision_not_recorded"  # the reason code of a verdict without a record
MEBIBYTE = 1_048_576


class Unwritten(Protocol):
    """A record that becomes a line in the log's thread (`serving.decision_records`)."""

    def line(self) -> bytes:
        """With its newline. Raises orjson.JSONEncodeError for what JSON cannot hold."""
        ...


@dataclass(frozen=True)
class LogLimits:
    """How much may wait in memory, how large a file grows, how long a record waits.

    Requests are written together, up to `write_bytes` of them at once.
    """

    buffered_bytes: int = 64 * MEBIBYTE
    file_bytes: int = 64 * MEBIBYTE
    write_bytes: int = MEBIBYTE
    flush_seconds: float = 0.1
    retry_seconds: float = 1.0


class DecisionLog:
    """Appends decision records to files that only this process writes, never half a line."""

    def __init__(self, folder: Path, slot: str, limits: LogLimits | None = None):
        self.folder = folder
        self.slot = slot
        self.limits = limits or LogLimits()
        self.written = 0
        self.lost = 0
        self._waiting: deque[tuple[Sequence[Unwritten], int]] = deque()
        self._waiting_bytes = 0
        self._wake = threading.Condition()
        self._closing = False
        self._file = _LineFile(folder, slot, self.limits.file_bytes)
        self._ledger = RecordLedger(folder, f"{slot}-{os.getpid()}")
        self._thread = threading.Thread(target=self._run, name="decision-log", daemon=True)

    @property
    def buffered_bytes(self) -> int:
        """Of the requests whose records wait for the disk."""
        return self._waiting_bytes

    def start(self) -> None:
        """Open the file and the thread. Raises ServiceUnavailable where the folder is closed."""
        try:
            self._file.open()
        except OSError as error:
            raise ServiceUnavailable(
                f"{self._file.path}: cannot write decision records ({error.strerror}); "
                "free the folder, or move the home with WEIR_HOME"
            ) from None
        self._open_ledger()
        self._thread.start()

    def append(self, records: Sequence[Unwritten], size_bytes: int) -> bool:
        """Take the records of a request of `size_bytes`; False, counted, where they do not fit."""
        with self._wake:
            fits = self._waiting_bytes + size_bytes <= self.limits.buffered_bytes
            if fits and not self._closing:
                if not self._waiting:
                    self._wake.notify()
                self._waiting.append((records, size_bytes))
                self._waiting_bytes += size_bytes
                self._ledger.take_on(len(records))
                return True
        self._lose(len(records), "closed" if self._closing else "overflow")
        return False

    def close(self) -> None:
        """Write everything that waits, then stop the thread."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        self._thread.join()
        self._file.close()
        self._ledger.close()

    def _run(self) -> None:
        while not self._closing:
            with self._wake:
                self._wake.wait_for(lambda: self._closing or self._waiting)
                self._wake.wait_for(lambda: self._closing, self.limits.flush_seconds)
            self._flush()
        self._flush()  # what came between the last flush and the closing

    def _flush(self) -> None:
        while requests := self._next_requests():
            records = [record for taken, _ in requests for record in taken]
            self._write(self._encoded(records))
            self._ledger.settle(len(records))
            with self._wake:
                for _, size_bytes in requests:
                    self._waiting.popleft()
                    self._waiting_bytes -= size_bytes

    def _next_requests(self) -> list[tuple[Sequence[Unwritten], int]]:
        """The first that wait, up to `write_bytes`; they keep their place in the buffer."""
        chosen, total = [], 0
        with self._wake:
            for request in self._waiting:
                chosen.append(request)
                total += request[1]
                if total >= self.limits.write_bytes:
                    break
        return chosen

    def _encoded(self, records: Iterable[Unwritten]) -> list[bytes]:
        lines = []
        for record in records:
            try:
                lines.append(record.line())
            except orjson.JSONEncodeError:
                self._lose(1, "encoding")
        return lines

    def _write(self, lines: Sequence[bytes]) -> None:
        """Try until they are written; when closing, only once more."""
        content = b"".join(lines)
        failed = False
        while True:
            last_try = self._closing
            try:
                self._file.append(content)
            except OSError as error:
                if not failed:
                    say("cannot write decision records to {path}: {why}", "error",
                        path=str(self._file.path), why=error.strerror)  # fmt: skip
                failed = True
                if last_try:
                    return self._lose(len(lines), "disk")
                with self._wake:
                    self._wake.wait_for(lambda: self._closing, self.limits.retry_seconds)
            else:
                self.written += len(lines)
                metrics.RECORDS_WRITTEN.inc(len(lines))
                return None

    def _open_ledger(self) -> None:
        """Count what earlier processes died with, then begin. Without a ledger only crashes are
        not counted, so that a full disk keeps no server from starting.
        """
        try:
            lost = lost_with_the_dead(self.folder, self.slot)
            self._ledger.open()
        except OSError as error:
            say("records that a crash loses will not be counted: {why}", "warning",
                why=error.strerror)  # fmt: skip
            return
        if lost:
            say("{lost} decision records were lost when a server of slot {slot} was killed",
                "warning", lost=lost, slot=self.slot)  # fmt: skip
            metrics.RECORDS_LOST.labels("crash").inc(lost)

    def _lose(self, count: int, reason: str) -> None:
        with self._wake:
            self.lost += count
        metrics.RECORDS_LOST.labels(reason).inc(count)


class _LineFile:
    """`{slot}-{pid}.jsonl`, then `{slot}-{pid}.1.jsonl` and so on; a full file is left alone."""

    def __init__(self, folder: Path, slot: str, maximum_bytes: int):
        self._folder = folder
        self._stem = f"{slot}-{os.getpid()}"
        self._maximum_bytes = maximum_bytes
        self._number = 0
        self._descriptor = -1
        self._size = 0

    @property
    def path(self) -> Path:
        number = f".{self._number}" if self._number else ""
        return self._folder / f"{self._stem}{number}.jsonl"

    def open(self) -> None:
        """Open for appending; half a line that a crash left behind is ended first."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        self._descriptor = os.open(self.path, flags, 0o600)
        self._size = os.fstat(self._descriptor).st_size
        if self._size and not _ends_with_a_line(self.path):
            self._size += os.write(self._descriptor, b"\n")

    def append(self, lines: bytes) -> None:
        """Write all of it or nothing. Raises OSError."""
        if self._size >= self._maximum_bytes:
            self._next()
        done = 0
        try:
            while done < len(lines):
                done += os.write(self._descriptor, lines[done:])
        except OSError:
            os.ftruncate(self._descriptor, self._size)
            raise
        self._size += done

    def close(self) -> None:
        os.close(self._descriptor)

    def _next(self) -> None:
        full = self._descriptor
        self._number += 1
        try:
            self.open()
        except OSError:
            self._number -= 1
            raise
        os.close(full)


def _ends_with_a_line(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"
