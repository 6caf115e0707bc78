"""What every part of `bench-serving` that asks the real ensemble is given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np

from tests.performance.http_load import Generator
from tests.performance.http_shots import Load, poisson
from tests.performance.serving_mix import SEED, Mix
from tests.performance.serving_report import Report, say
from tests.performance.serving_stack import Cores, Stack

CONNECTIONS, OPEN_CONNECTIONS = 16, 1024
FEW_CONNECTIONS = 4  # keep a core busy without a request being turned away
WARM_UP_EVENTS, CAPACITY_EVENTS, CAPACITY_ROUNDS = 400, 1500, 3
INTERACTIVE_SECONDS = 0.080


@dataclass(frozen=True)
class Bench:
    """The traffic, the model that it meets, and where they run."""

    mix: Mix
    model: Path
    environment: Mapping[str, str]
    home: Path
    cores: Cores
    load: Generator
    report: Report

    def warm_up(self, running: Stack, events: int = WARM_UP_EVENTS) -> None:
        """Every kind of event, until sessions, caches of code and the worker are there."""
        self.load.closed(running.gateway.port, self.mix.requests()[-events:], FEW_CONNECTIONS)

    def capacity(self, running: Stack) -> float:
        """Verdicts a second in closed loop through the gateway: the median of some rounds.

        What is shed does not count.
        """
        self.warm_up(running)
        requests = self.mix.requests()
        found = []
        for turn in range(CAPACITY_ROUNDS):
            places = (np.arange(CAPACITY_EVENTS) + turn * CAPACITY_EVENTS) % len(requests)
            chosen = [requests[at] for at in places]
            heard = self.load.closed(running.gateway.port, chosen, FEW_CONNECTIONS)
            found.append(float((heard.statuses == 200).sum()) / heard.wall_seconds)
        self.report.row("capacity", verdicts_a_second=[round(one, 1) for one in found],
                        **self.mix.described())  # fmt: skip
        say(f"capacity: {median(found):,.0f} verdicts a second")
        return median(found)

    def poisson_load(
        self, rate: float, seconds: float, priority: str | None = None, seed: int = SEED
    ) -> Load:
        """The mix at `rate` a second; without `priority` what the gateway makes of it."""
        rng = np.random.default_rng(seed)
        times = poisson(rate, seconds, rng)
        requests = self.mix.requests(priority)
        picks = np.arange(len(times)) % len(requests)
        return Load(times, picks, requests, (priority or "interactive",) * len(requests))
