"""The monitor of the game day: `python -m evaluation monitor` at every interval, in one process.

    python -m tests.performance.game_day_monitor FACTOR

Imports take longer than a report does, so they are done once; what is called is what the step
`monitor` of the hourly DAG calls. A report that fails is said, and the next one is made.
"""

from __future__ import annotations

import argparse
import sys
import threading
import time
import traceback
from collections.abc import Callable

from data_contracts.config import load_settings
from tests.performance.game_day_scale import divide_constants

HOUR_SECONDS = 3600.0


def main() -> None:
    factor = float(sys.argv[1])
    divide_constants(factor)
    from evaluation.monitoring import monitor

    settings, interval = load_settings(), HOUR_SECONDS / factor
    every(interval, lambda: print(monitor.run(argparse.Namespace(hours=None), settings)["alarms"]))


def every(seconds: float, act: Callable[[], object], stop: threading.Event | None = None) -> None:
    """At whole multiples of `seconds` of the wall clock, until `stop`."""
    stop = stop or threading.Event()
    while not stop.wait(seconds - time.time() % seconds):
        began = time.monotonic()
        try:
            act()
        except Exception:
            traceback.print_exc()
        print(f"{time.time():.1f} took {time.monotonic() - began:.1f} s", flush=True)


if __name__ == "__main__":
    main()
