"""`drive`: landed events go to the gateway at a steady rate, and every failure is counted.

An open loop: requests leave on schedule whether or not earlier ones have been answered, up to a
bound on those in flight. Nothing is retried, so that what a client would have seen is what is
counted. SIGTERM and Ctrl-C end it: no new request leaves, those in flight are waited for, and
the report is written.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import httpx
import numpy as np
import orjson

from data_contracts.config import Settings
from data_contracts.errors import BadInput, ServiceUnavailable
from data_contracts.events import MAX_EVENT_BYTES
from data_contracts.files import write_atomically
from data_contracts.verdicts import ACTIONS
from pipelines import landing
from pipelines.days import days_between

MAXIMUM_IN_FLIGHT = 128
TIMEOUT_SECONDS = 10.0
PROGRESS_SECONDS = 15.0
SHOWN_FAILURES = 5
VERSION_HEADER, ARM_HEADER = "x-weir-model-version", "x-weir-arm"


@dataclass
class Tally:
    """What the client saw. `latencies`: milliseconds of answered requests."""

    requests: int = 0
    failed: int = 0
    latencies: list[float] = field(default_factory=list)
    failures: list[dict[str, str]] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)
    arms: Counter[str] = field(default_factory=Counter)
    versions: Counter[str] = field(default_factory=Counter)
    actions: Counter[str] = field(default_factory=Counter)

    def fail(self, event_id: str, kind: str, detail: str) -> None:
        self.failed += 1
        self.kinds[kind] += 1
        if len(self.failures) < SHOWN_FAILURES:
            self.failures.append({"event_id": event_id, "kind": kind, "detail": detail[:200]})

    def percentiles(self) -> dict[str, float | None]:
        """p50, p95 and p99 of the latency in milliseconds; None without an answer."""
        if not self.latencies:
            return {"p50": None, "p95": None, "p99": None}
        values = np.percentile(self.latencies, [50, 95, 99])
        return {
            name: round(float(value), 2)
            for name, value in zip(("p50", "p95", "p99"), values, strict=True)
        }


@dataclass(frozen=True)
class Prepared:
    """One request as it is sent again and again."""

    event_id: str
    body: bytes


def run(arguments: argparse.Namespace, settings: Settings) -> dict[str, Any]:
    """The verb `drive`."""
    if not 0 < arguments.rate <= 10_000:
        raise BadInput(f"--rate {arguments.rate} is not between 0 and 10000 requests a second")
    if arguments.duration is not None and arguments.duration <= 0:
        raise BadInput(f"--duration {arguments.duration} is no time; give seconds above 0")
    days = days_between(
        arguments.days, landing.days(settings.home), where=f"{settings.home / 'landing'}"
    )
    serving = settings.serving
    url = f"http://{serving.host}:{serving.gateway_port}/v1/models/{serving.model_name}:predict"
    report = asyncio.run(
        drive(url, prepared_requests(settings, days), arguments.rate, arguments.duration)
    )
    if arguments.report is not None:
        encoded = orjson.dumps(report, option=orjson.OPT_INDENT_2)
        write_atomically(arguments.report, encoded)
    if report["requests"] and report["failed"] == report["requests"]:
        raise ServiceUnavailable(
            f"all {report['requests']} requests to {url} failed "
            f"({report['failures'][0]['detail']}); start the gateway and a model with `make up`"
        )
    return report


def prepared_requests(settings: Settings, days: Sequence[str]) -> list[Prepared]:
    """The landed events of these days, in order of time; lines that are no event are left out."""
    found: list[tuple[str, Prepared]] = []
    for day in days:
        for path in landing.files(settings.home, day):
            for line in landing.lines(path, MAX_EVENT_BYTES):
                with suppress(orjson.JSONDecodeError, AttributeError, KeyError):
                    event = orjson.loads(line.content or b"")
                    at = f"{day} {event.get('occurred_at', '')}"
                    body = orjson.dumps({"instances": [event]})
                    found.append((at, Prepared(str(event["event_id"]), body)))
    if not found:
        raise BadInput(f"no event landed on {', '.join(days)}; run `python -m pipelines replay`")
    return [item for _, item in sorted(found, key=lambda pair: (pair[0], pair[1].event_id))]


async def drive(
    url: str, items: Sequence[Prepared], rate: float, duration_seconds: float | None
) -> dict[str, Any]:
    """Send `items` in turn, over and over, at `rate` requests a second; returns the report."""
    tally, stop = Tally(), asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stop.set)
    started = loop.time()
    limits = httpx.Limits(max_connections=MAXIMUM_IN_FLIGHT)
    headers = {"content-type": "application/json"}
    async with httpx.AsyncClient(
        limits=limits, timeout=TIMEOUT_SECONDS, headers=headers, trust_env=False
    ) as client:
        progress = asyncio.create_task(_say_progress(tally))
        await _send_on_schedule(client, url, items, rate, duration_seconds, tally, stop)
        progress.cancel()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.remove_signal_handler(name)
    return _report(tally, loop.time() - started, rate)


async def _send_on_schedule(
    client: httpx.AsyncClient,
    url: str,
    items: Sequence[Prepared],
    rate: float,
    duration_seconds: float | None,
    tally: Tally,
    stop: asyncio.Event,
) -> None:
    loop = asyncio.get_running_loop()
    started, number = loop.time(), 0
    room = asyncio.Semaphore(MAXIMUM_IN_FLIGHT)
    async with asyncio.TaskGroup() as in_flight:
        while duration_seconds is None or number < duration_seconds * rate:
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), max(0, started + number / rate - loop.time()))
            if stop.is_set() or (duration_seconds and loop.time() - started > duration_seconds):
                break
            await room.acquire()
            in_flight.create_task(_send(client, url, items[number % len(items)], tally, room))
            number += 1


async def _send(
    client: httpx.AsyncClient, url: str, item: Prepared, tally: Tally, room: asyncio.Semaphore
) -> None:
    tally.requests += 1
    started = time.perf_counter()
    try:
        response = await client.post(url, content=item.body)
    except httpx.HTTPError as error:
        tally.fail(item.event_id, type(error).__name__, str(error) or "no answer in time")
        return
    finally:
        room.release()
    tally.latencies.append((time.perf_counter() - started) * 1000)
    problem = _problem(response, item.event_id)
    if problem is not None:
        tally.fail(item.event_id, problem[0], problem[1])
        return
    tally.arms[response.headers.get(ARM_HEADER, "unknown")] += 1
    tally.versions[response.headers.get(VERSION_HEADER, "unknown")] += 1
    tally.actions[response.json()["predictions"][0]["action"]] += 1


def _problem(response: httpx.Response, event_id: str) -> tuple[str, str] | None:
    """Why an answer is no verdict about this event, as (kind, detail); None where it is one."""
    if response.status_code != 200:
        return f"status {response.status_code}", response.text
    try:
        verdict = orjson.loads(response.content)["predictions"][0]
        fits = 0 <= verdict["score"] <= 1 and verdict["action"] in ACTIONS
    except (orjson.JSONDecodeError, KeyError, IndexError, TypeError):
        return "malformed", "the answer holds no prediction with score and action"
    if not fits:
        return "malformed", f"score {verdict['score']}, action {verdict['action']}"
    if verdict.get("event_id", event_id) != event_id:
        return "malformed", f"the answer is about {verdict['event_id']}"
    return None


def _report(tally: Tally, seconds: float, rate: float) -> dict[str, Any]:
    return {
        "requests": tally.requests,
        "failed": tally.failed,
        "seconds": round(seconds, 3),
        "rate_asked": rate,
        "rate_sent": round(tally.requests / max(seconds, 1e-9), 2),
        "latency_ms": tally.percentiles(),
        "failures": tally.failures,
        "failure_kinds": dict(tally.kinds),
        "arms": dict(tally.arms),
        "model_versions": dict(tally.versions),
        "actions": dict(tally.actions),
    }


async def _say_progress(tally: Tally) -> None:
    while True:
        await asyncio.sleep(PROGRESS_SECONDS)
        latency = tally.percentiles()["p95"]
        print(
            f"drive: {tally.requests} requests, {tally.failed} failed, p95 {latency} ms",
            file=sys.stderr,
            flush=True,
        )
