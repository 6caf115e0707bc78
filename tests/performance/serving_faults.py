"""What a fault costs: at half of capacity, the share of requests answered within the deadline.

Each fault has servers of its own and strikes after a third of the run. The share is of all
requests offered from that moment on; before it is shown beside it.
"""

from __future__ import annotations

import errno
import os
import resource
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path

import numpy as np

from data_contracts.config import Settings, load_settings
from data_contracts.secrets import REDIS_URL
from pipelines.enrichment import Enrichment
from pipelines.feature_store.freshness import note_newest
from pipelines.feature_store.redis import RedisStates
from pipelines.features.behaviour.state import BehaviourState
from pipelines.features.surroundings.state import SurroundingsState
from tests.performance.http_load import children
from tests.performance.serving_bench import INTERACTIVE_SECONDS, OPEN_CONNECTIONS, Bench
from tests.performance.serving_report import say
from tests.performance.serving_stack import Stack, serve, stack
from tests.redis_server import RedisServer
from training.stage_sources import media_reader

LOAD, SECONDS, STRIKES_AT, SHARE_IN_TIME = 0.5, 24.0, 8.0, 0.99
HUNG = ("image", "meaning")  # a stage with threads of its own, and one in the caller's
DISK_BYTES, SPARE_BYTES = 8 * 2**20, 1024
KNOWN_EVENTS, STORE_SECONDS = 200, 1.0
Strike = Callable[[], object]


def faults(bench: Bench, capacity: float) -> None:
    """Each fault in turn, its goals in the report."""
    asking = replace(bench, mix=bench.mix.without_past())
    cases = {
        **{f"hung stage: {stage}": (bench, _hung_stage(bench, stage)) for stage in HUNG},
        "stopped media worker": (bench, _stopped_worker(bench)),
        "full disk for decision records": (bench, _full_disk(bench)),
        "killed model server, one of two": (bench, _killed_server(bench)),
        "dead feature store": (asking, _dead_store(asking)),
    }
    for name, (asked, case) in cases.items():
        with case as (running, strike, how):
            _struck(asked, capacity, name, running, strike, how)


def _struck(
    bench: Bench, capacity: float, name: str, running: Stack, strike: Strike, how: str
) -> None:
    bench.warm_up(running)
    load = bench.poisson_load(LOAD * capacity, SECONDS)
    start, pending = bench.load.fire(running.gateway.port, load, OPEN_CONNECTIONS)
    time.sleep(max(0.0, start + STRIKES_AT - time.monotonic()))
    strike()
    heard = pending.get()
    before, after = heard.between(0.0, STRIKES_AT), heard.between(STRIKES_AT, np.inf)
    share = after.share(INTERACTIVE_SECONDS)
    bench.report.row(
        "faults", fault=name, how=how, load=LOAD, offered=len(after.seconds),
        share_in_time=round(share, 4), before=round(before.share(INTERACTIVE_SECONDS), 4),
        answers=after.by_status(), milliseconds=after.quantiles(), generator=heard.generator(),
    )  # fmt: skip
    bench.report.goal(
        f"faults.{name.replace(' ', '_')}", f"{name}: share of the requests offered that are "
        "answered within 80 ms", f"> {SHARE_IN_TIME:g}", share, met=share > SHARE_IN_TIME,
    )  # fmt: skip
    say(f"fault, {name}: {share:.4f} in time, {before.share(INTERACTIVE_SECONDS):.4f} before")


@contextmanager
def _hung_stage(bench: Bench, stage: str) -> Iterator[tuple[Stack, Strike, str]]:
    signal_file = bench.home / f"hang-{stage}"
    command = ["tests.stand_ins.hung_stage", stage, str(signal_file), *serve(bench.model)[1:]]
    try:
        with _one(bench, command) as running:
            yield running, signal_file.touch, "every call of its extractor hangs"
            signal_file.unlink(missing_ok=True)  # so that the server can end
    finally:
        signal_file.unlink(missing_ok=True)


@contextmanager
def _stopped_worker(bench: Bench) -> Iterator[tuple[Stack, Strike, str]]:
    with _one(bench, serve(bench.model)) as running:

        def strike() -> None:
            for child in children(running.server.process.pid):
                os.kill(child, signal.SIGSTOP)

        yield running, strike, "SIGSTOP to every child of the server"


@contextmanager
def _full_disk(bench: Bench) -> Iterator[tuple[Stack, Strike, str]]:
    """A small file system for the records; a limit on files where none may be mounted."""
    folder = bench.home / "decisions"
    folder.mkdir(exist_ok=True)
    options = f"size={DISK_BYTES}"
    command = ["mount", "-t", "tmpfs", "-o", options, "none", str(folder)]
    mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
    try:
        with _one(bench, serve(bench.model)) as running:
            if mounted:
                yield running, partial(_fill, folder), "a tmpfs of 8 MiB that becomes full"
            else:
                process = running.server.process.pid
                strike = partial(resource.prlimit, process, resource.RLIMIT_FSIZE, (1, 1))
                yield running, strike, "RLIMIT_FSIZE of one byte, since nothing may be mounted"
    finally:
        if mounted:
            subprocess.run(["umount", str(folder)], check=True)


def _fill(folder: Path) -> None:
    with (folder / "filler").open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(SPARE_BYTES))
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise


@contextmanager
def _killed_server(bench: Bench) -> Iterator[tuple[Stack, Strike, str]]:
    commands = {slot: serve(bench.model) for slot in ("a", "b")}
    with stack(commands, bench.environment, bench.home, bench.cores) as running:
        strike = running.servers["b"].process.kill
        yield running, strike, "SIGKILL; both servers share one core; nothing starts it again"


@contextmanager
def _dead_store(bench: Bench) -> Iterator[tuple[Stack, Strike, str]]:
    """Redis knows of some events, so that those with a time are judged with their past."""
    with RedisServer(bench.home / "redis") as redis:
        changed = {"WEIR__FEATURE_STORE__ENGINE": "redis", REDIS_URL: redis.url}
        _tell(redis.url, bench, load_settings({**bench.environment, **changed}))
        with _one(bench, serve(bench.model), changed) as running:
            yield running, redis.kill, "SIGKILL to the Redis that the server reads"


def _tell(url: str, bench: Bench, settings: Settings) -> None:
    """The store of the first events that have a time."""
    events = [event for event in bench.mix.events if event.occurred_at][:KNOWN_EVENTS]
    keeping = timedelta(days=settings.feature_store.time_to_live_days)
    with RedisStates(url, keeping, STORE_SECONDS) as states, media_reader(settings) as media:
        past = Enrichment(BehaviourState(states), SurroundingsState(states), media)
        past.enrich_in_order(events, ())
        note_newest(states, max(event.occurred_at for event in events if event.occurred_at))


def _one(
    bench: Bench, command: list[str], more: Mapping[str, str] | None = None
) -> AbstractContextManager[Stack]:
    environment = {**bench.environment, **(more or {})}
    return stack({"fault": command}, environment, bench.home, bench.cores)
