"""How long answers take: at 70 % of capacity, and at three times capacity and after it."""

from __future__ import annotations

import math

import numpy as np

from tests.performance.http_shots import Booleans, Heard
from tests.performance.serving_bench import INTERACTIVE_SECONDS, OPEN_CONNECTIONS, Bench
from tests.performance.serving_mix import SEED
from tests.performance.serving_report import say
from tests.performance.serving_stack import Stack

LOAD, SECONDS, P99_MILLISECONDS = 0.7, 45.0, 80.0
OVERLOAD = {None: 0.5, "normal": 1.5, "bulk": 1.0}  # of capacity, by the class that clients state
OVERLOAD_SECONDS, AFTER_SECONDS, AFTER_LOAD = 60.0, 20.0, 0.5
OVERLOAD_P99_MILLISECONDS, GOODPUT, RECOVERY_SECONDS, WINDOW_SECONDS = 100.0, 0.9, 5.0, 0.5


def latency(bench: Bench, running: Stack, capacity: float) -> None:
    """Open loop; latency over all that were offered, the refused counting as endless."""
    load = bench.poisson_load(LOAD * capacity, SECONDS)
    before, envoy_before = running.server.cpu_seconds, running.gateway.cpu_seconds
    _, pending = bench.load.fire(running.gateway.port, load, OPEN_CONNECTIONS)
    heard = pending.get()
    busy = (running.server.cpu_seconds - before) / heard.wall_seconds
    by_envoy = 1e6 * (running.gateway.cpu_seconds - envoy_before) / len(load.times)
    bench.report.row(
        "latency", load=LOAD, offered=len(load.times), answers=heard.by_status(),
        milliseconds=heard.quantiles(), share_in_time=round(heard.share(INTERACTIVE_SECONDS), 4),
        server_share_of_a_core=round(busy, 3), envoy_microseconds_a_request=round(by_envoy, 1),
        histogram_milliseconds=heard.histogram(), generator=heard.generator(),
    )  # fmt: skip
    p99 = heard.quantile(0.99)
    bench.report.goal("p99", "p99 of the requests offered in milliseconds, at 70 % of capacity",
                      f"<= {P99_MILLISECONDS:g}", p99, met=p99 <= P99_MILLISECONDS)  # fmt: skip
    say(f"latency: {heard.quantiles()}, {heard.by_status()}")


def overload(bench: Bench, running: Stack, capacity: float) -> None:
    """Three times capacity, then half of it: what is answered meanwhile, and when all is well."""
    first, *others = (
        bench.poisson_load(share * capacity, OVERLOAD_SECONDS, name, SEED + number)
        for number, (name, share) in enumerate(OVERLOAD.items())
    )
    load = first
    for other in others:
        load = load.then(other, 0.0)
    after = bench.poisson_load(AFTER_LOAD * capacity, AFTER_SECONDS, seed=SEED + len(OVERLOAD))
    load = load.then(after, OVERLOAD_SECONDS)
    _, pending = bench.load.fire(running.gateway.port, load, OPEN_CONNECTIONS)
    heard = pending.get()
    during = heard.between(0.0, OVERLOAD_SECONDS)
    for name in dict.fromkeys(load.names):
        one = during.of(name)
        bench.report.row(
            "overload", priority=name, offered=len(one.seconds), answers=one.by_status(),
            milliseconds=one.quantiles(), share_answered=round(one.share(), 4),
        )  # fmt: skip
    bench.report.row("overload", generator=heard.generator())
    _overload_goals(bench, heard, during, capacity)


def _overload_goals(bench: Bench, heard: Heard, during: Heard, capacity: float) -> None:
    report, interactive = bench.report, during.of("interactive").quantile(0.99)
    report.goal(
        "overload.interactive", "p99 of interactive requests offered, milliseconds, at three times "
        "capacity", f"<= {OVERLOAD_P99_MILLISECONDS:g}", interactive,
        met=interactive <= OVERLOAD_P99_MILLISECONDS,
    )  # fmt: skip
    goodput = float((during.statuses == 200).sum()) / OVERLOAD_SECONDS / capacity
    report.goal("overload.goodput", "answered, as a share of capacity, at three times capacity",
                f">= {GOODPUT:g}", goodput, met=goodput >= GOODPUT)  # fmt: skip
    wrong = _unmeant(heard)
    report.goal("overload.errors", "5xx that are no deliberate shedding, and no answer at all",
                "0", float(wrong.sum()), met=not wrong.any(),
                by_status=heard.where(wrong).by_status())  # fmt: skip
    recovery = recovery_seconds(heard.of("interactive").between(OVERLOAD_SECONDS, math.inf))
    report.goal("overload.recovery", "seconds after the overload until no window of half a second "
                "has a refusal or a p99 above 80 ms any more", f"<= {RECOVERY_SECONDS:g}", recovery,
                met=recovery <= RECOVERY_SECONDS)  # fmt: skip
    say(f"overload: interactive p99 {interactive:.0f} ms, goodput {goodput:.2f}, recovery "
        f"{recovery:g} s")  # fmt: skip


def _unmeant(heard: Heard) -> Booleans:
    errors = (heard.statuses >= 500) & ~heard.deliberate
    return np.asarray((heard.statuses == 0) | errors)


def recovery_seconds(after: Heard) -> float:
    """From the first request until the last window that was not well had ended; endless where
    that is the last of all."""
    start = float(after.times.min())
    windows = ((after.times - start) / WINDOW_SECONDS).astype(np.int64)
    bad = [
        window
        for window in np.unique(windows)
        if after.where(windows == window).quantile(0.99) > 1000 * INTERACTIVE_SECONDS
    ]
    if not bad:
        return 0.0
    return math.inf if max(bad) == windows.max() else float(WINDOW_SECONDS * (max(bad) + 1))
