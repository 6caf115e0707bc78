"""Which Envoy of a home is the newest, so that another can take over its listening sockets.

`{run}/gateway.json` lists the processes that became Envoy, oldest first. Envoy's hot restart wants
the same base id, and an epoch that is one higher each time.
"""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from pathlib import Path

import orjson
import psutil

from data_contracts.errors import BadInput
from data_contracts.files import write_atomically

# The old one finishes what it holds and says `Connection: close`, then ends
DRAIN_SECONDS = 4
PARENT_ENDS_AFTER_SECONDS = 6
_FILE = "gateway.json"
_BASE_ID = "gateway-base-id"


@dataclass(frozen=True)
class Generation:
    """One Envoy of the home: its restart epoch, and the process, once it is one."""

    epoch: int
    pid: int = 0
    started: float = 0.0

    def following(self) -> Generation:
        return Generation(self.epoch + 1)

    def runs(self) -> bool:
        try:
            process = psutil.Process(self.pid)
            return process.create_time() == self.started and process.is_running()
        except psutil.Error:
            return False


def running_generation(run: Path) -> Generation:
    """The newest that runs. Raises BadInput where there is none to take over from."""
    for generation in reversed(_generations(run)):
        if generation.runs():
            return generation
    raise BadInput(
        f"--take-over: no gateway of this home runs ({run / _FILE}); start one without it"
    )


def hot_restart(run: Path, generation: Generation) -> list[str]:
    """Envoy's arguments for this generation, noted as what this process is about to become."""
    base_id = run / _BASE_ID
    earlier = [one for one in _generations(run) if one.runs()] if generation.epoch else []
    this = psutil.Process()
    noted = [*earlier, Generation(generation.epoch, os.getpid(), this.create_time())]
    run.mkdir(parents=True, exist_ok=True)
    write_atomically(run / _FILE, orjson.dumps([asdict(one) for one in noted]))
    if generation.epoch == 0:
        return ["--use-dynamic-base-id", "--base-id-path", str(base_id), *_durations()]
    own = ["--base-id", base_id.read_text().strip(), "--restart-epoch", str(generation.epoch)]
    return [*own, *_durations()]


def _durations() -> list[str]:
    return [
        "--drain-strategy", "immediate",
        "--drain-time-s", str(DRAIN_SECONDS),
        "--parent-shutdown-time-s", str(PARENT_ENDS_AFTER_SECONDS),
    ]  # fmt: skip


def _generations(run: Path) -> list[Generation]:
    file = run / _FILE
    return [Generation(**one) for one in orjson.loads(file.read_bytes())] if file.is_file() else []
