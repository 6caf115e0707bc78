"""Live traffic through the gateway while something else happens."""

from __future__ import annotations

import contextlib
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from data_contracts.config import PROJECT, Settings
from infra.local.commands import CommandError, argument_list, environment

END_TIMEOUT_SECONDS = 60


@dataclass
class TrafficReport:
    """What the clients saw; filled when the traffic has ended."""

    seen: dict[str, Any] = field(default_factory=dict)

    @property
    def failed(self) -> int:
        return int(self.seen.get("failed", 0))


@contextlib.contextmanager
def live_traffic(
    settings: Settings, days: str, requests_per_second: float, report: Path
) -> Iterator[TrafficReport]:
    """Send the landed events of `days` (`A..B`) until the block ends.

    Raises CommandError where the client itself fails; failed requests are counted, not raised.
    """
    report.unlink(missing_ok=True)
    log = settings.home / "logs" / "drive.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    options = (f"--days={days}", f"--rate={requests_per_second}", f"--report={report}")
    found = TrafficReport()
    with log.open("ab") as output:
        client = subprocess.Popen(
            argument_list("pipelines", "drive", *options),
            cwd=PROJECT,
            env=environment(settings),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            yield found
        finally:
            client.send_signal(signal.SIGTERM)
            client.wait(timeout=END_TIMEOUT_SECONDS)
    if not report.is_file():
        raise CommandError(f"the traffic client wrote no report; see {log}")
    found.seen.update(orjson.loads(report.read_bytes()))
