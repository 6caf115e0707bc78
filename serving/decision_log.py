"""Every verdict as a line of `{home}/decisions/{slot}-{pid}.jsonl`, written beside the traffic.

Requests only put records into a bounded buffer; one thread turns them into whole lines. A clean
stop loses nothing. What has to be given up (a full buffer, a disk that stays full) is counted in
`weir_decision_records_lost_total`, and a verdict that could not be recorded says so in its
reasons.
"""

from __future__ import annotations

import os
import sys
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import orjson

from data_contracts.errors import ContractViolation, ServiceUnavailable
from data_contracts.events import parse_event
from data_contracts.protocols import Assessor
from data_contracts.verdicts import DecisionRecord, Verdict
from serving import metrics

NOT_RECORDED = "decision_not_recorded"  # the reason code of a verdict without a record
MEBIBYTE = 1_048_576


@dataclass(frozen=True)
class LogLimits:
    """How much may wait in memory, how large a file grows, how long a record waits."""

    buffered_bytes: int = 64 * MEBIBYTE
    file_bytes: int = 64 * MEBIBYTE
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
        self._waiting: deque[tuple[Sequence[DecisionRecord], int]] = deque()
        self._waiting_bytes = 0
        self._wake = threading.Condition()
        self._closing = False
        self._file = _LineFile(folder, slot, self.limits.file_bytes)
        self._thread = threading.Thread(target=self._run, name="decision-log", daemon=True)

    def start(self) -> None:
        """Open the file and the thread. Raises ServiceUnavailable where the folder is closed."""
        try:
            self._file.open()
        except OSError as error:
            raise ServiceUnavailable(
                f"{self._file.path}: cannot write decision records ({error.strerror}); "
                "free the folder, or move the home with WEIR_HOME"
            ) from None
        self._thread.start()

    def append(self, records: Sequence[DecisionRecord], size_bytes: int) -> bool:
        """Take the records of a request of `size_bytes`; False, counted, where they do not fit."""
        with self._wake:
            fits = self._waiting_bytes + size_bytes <= self.limits.buffered_bytes
            if fits and not self._closing:
                if not self._waiting:
                    self._wake.notify()
                self._waiting.append((records, size_bytes))
                self._waiting_bytes += size_bytes
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

    def _run(self) -> None:
        while not self._closing:
            with self._wake:
                self._wake.wait_for(lambda: self._closing or self._waiting)
                self._wake.wait_for(lambda: self._closing, self.limits.flush_seconds)
            self._flush()

    def _flush(self) -> None:
        while self._waiting:
            records, size_bytes = self._waiting[0]
            self._write(records)
            with self._wake:
                self._waiting.popleft()
                self._waiting_bytes -= size_bytes

    def _write(self, records: Sequence[DecisionRecord]) -> None:
        """Try until it is written; when closing, only once more."""
        try:
            lines = b"".join(orjson.dumps(one, option=orjson.OPT_APPEND_NEWLINE) for one in records)
        except orjson.JSONEncodeError:
            return self._lose(len(records), "encoding")
        failed = False
        while True:
            last_try = self._closing
            try:
                self._file.append(lines)
            except OSError as error:
                if not failed:
                    _say(f"cannot write decision records to {self._file.path}: {error.strerror}")
                failed = True
                if last_try:
                    return self._lose(len(records), "disk")
                with self._wake:
                    self._wake.wait_for(lambda: self._closing, self.limits.retry_seconds)
            else:
                self.written += len(records)
                metrics.RECORDS_WRITTEN.inc(len(records))
                return None

    def _lose(self, count: int, reason: str) -> None:
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


def read_records(path: Path) -> Iterator[DecisionRecord]:
    """The decision records of a file. Raises ContractViolation that names file and line."""
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                yield DecisionRecord.from_record(orjson.loads(line))
            except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
                raise ContractViolation(
                    "line",
                    f"{len(line)} bytes",
                    f"not a decision record ({type(error).__name__})",
                    "remove the line; the server that wrote it was killed in the act",
                    where=f"{path}:{number}",
                ) from None


def replay(record: DecisionRecord, assessor: Assessor) -> Verdict:
    """Decide the recorded event again, from its inputs alone.

    With the version that decided it, the result equals `record.verdict`. The account in the
    record is the keyed hash, which is also all that the assessor saw at the time.
    """
    then = record.verdict
    (assessment,) = assessor.assess([parse_event(record.event)])
    verdict = Verdict.of(
        then.event_id,
        assessment,
        model_version=then.model_version,
        threshold_version=then.threshold_version,
        arm=then.arm,
    )
    return replace(verdict, revision=then.revision)


def _ends_with_a_line(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"


def _say(message: str) -> None:
    print(f"serving: {message}", file=sys.stderr, flush=True)
