"""Model servers as detached processes that outlive whoever started them.

What a slot holds is a small JSON file, `{run}/slot-{name}.json`. A process is ours when its
environment carries the token of that file, so a process id that the system gave to somebody
else is never taken for a server, and a server whose file was never written is found and ended.
"""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import orjson
import psutil

from data_contracts.files import write_atomically
from serving.rollout.targets.base import Deployment

SLOT_VARIABLE = "WEIR_SLOT"
TOKEN_VARIABLE = "WEIR_SLOT_TOKEN"  # noqa: S105 (a name, and no secret)
STOP_SECONDS = 10.0


@dataclass(frozen=True)
class SlotRecord:
    """One started server: who it is, what it serves, and whether it has answered yet."""

    pid: int
    started: float
    token: str
    model_uri: str
    version: str
    warmed: bool = False

    @property
    def deployment(self) -> Deployment:
        return Deployment(self.model_uri, self.version)


class SlotProcesses:
    """Starts, finds and ends the server process of each slot.

    `run` holds the slot files, `logs` a log a slot; `folder` is where servers start.
    """

    def __init__(self, run: Path, logs: Path, folder: Path, variables: Mapping[str, str]) -> None:
        self._run = run
        self._logs = logs
        self._folder = folder
        self._variables = dict(variables)
        self._children: dict[int, subprocess.Popen[bytes]] = {}

    def start(
        self,
        slot: str,
        command: Sequence[str],
        deployment: Deployment,
        variables: Mapping[str, str] | None = None,
    ) -> None:
        """Start the command for the slot, in place of whatever runs there."""
        self.stop(slot)
        token = secrets.token_hex(8)
        identity = {SLOT_VARIABLE: self._identity(slot), TOKEN_VARIABLE: token}
        self._logs.mkdir(parents=True, exist_ok=True)
        with self.log_file(slot).open("ab") as log:
            child = subprocess.Popen(
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._folder,
                env={**os.environ, **self._variables, **(variables or {}), **identity},
                start_new_session=True,
            )
        self._children[child.pid] = child
        uri, version = deployment.model_uri, deployment.version
        self._save(slot, SlotRecord(child.pid, time.time(), token, uri, version))

    def record(self, slot: str) -> SlotRecord | None:
        path = self._file(slot)
        if not path.is_file():
            return None
        return SlotRecord(**orjson.loads(path.read_bytes()))

    def mark_warmed(self, slot: str) -> None:
        record = self.record(slot)
        if record is not None:
            self._save(slot, replace(record, warmed=True))

    def alive(self, slot: str) -> bool:
        record = self.record(slot)
        return record is not None and self._is_ours(record)

    def stop(self, slot: str) -> None:
        """End the slot's server and any stray one of the slot; then forget it."""
        record = self.record(slot)
        strays = [process.pid for process in self._strays(slot)]
        own = [record.pid] if record is not None and self._is_ours(record) else []
        for pid in {*own, *strays}:
            self._end(pid)
        self._file(slot).unlink(missing_ok=True)

    def log_file(self, slot: str) -> Path:
        return self._logs / f"model-server-{slot}.log"

    def last_words(self, slot: str, lines: int = 5) -> str:
        """The end of the slot's log, for a message about a server that died."""
        path = self.log_file(slot)
        if not path.is_file():
            return ""
        with path.open("rb") as log:
            log.seek(max(0, path.stat().st_size - 8192))
            return "\n".join(log.read().decode(errors="replace").splitlines()[-lines:])

    def _is_ours(self, record: SlotRecord) -> bool:
        child = self._children.get(record.pid)
        if child is not None and child.poll() is not None:
            del self._children[record.pid]
            return False
        try:
            process = psutil.Process(record.pid)
            if process.status() == psutil.STATUS_ZOMBIE:
                return False
            return process.environ().get(TOKEN_VARIABLE) == record.token
        except psutil.Error:
            return False

    def _strays(self, slot: str) -> list[psutil.Process]:
        """Servers of this slot that were started just before their starter died."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get(SLOT_VARIABLE) == self._identity(slot):
                    found.append(process)
            except (psutil.Error, OSError):
                continue
        return found

    def _end(self, pid: int) -> None:
        _signal_group(pid, signal.SIGTERM)
        deadline = time.monotonic() + STOP_SECONDS
        while _exists(pid) and time.monotonic() < deadline:
            self._reap(pid)
            time.sleep(0.05)
        if _exists(pid):
            _signal_group(pid, signal.SIGKILL)
        self._reap(pid)

    def _reap(self, pid: int) -> None:
        child = self._children.get(pid)
        if child is not None and child.poll() is not None:
            del self._children[pid]

    def _identity(self, slot: str) -> str:
        return f"{self._run}:{slot}"

    def _file(self, slot: str) -> Path:
        return self._run / f"slot-{slot}.json"

    def _save(self, slot: str, record: SlotRecord) -> None:
        write_atomically(self._file(slot), orjson.dumps(asdict(record)))


def _exists(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def _signal_group(pid: int, number: signal.Signals) -> None:
    """To the whole session that the server leads; a stray child is only itself."""
    try:
        if os.getpgid(pid) == pid:
            os.killpg(pid, number)
        else:
            os.kill(pid, number)
    except ProcessLookupError:
        return
