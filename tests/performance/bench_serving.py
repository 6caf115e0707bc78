"""What a verdict costs and how long it takes: the hot path, the ensemble, and overload.

    make bench-serving        (or: python -m tests.performance.bench_serving [--part NAME])

`trivial`: CPU of a request to Weir's hot path and to KServe's own route, both around a model that
does next to nothing, ROUNDS interleaved rounds in closed loop. `ensemble`: an ensemble of every
stage, trained on real messages and composed traffic (made-up sources), behind a real model server;
the mix is MIX, a tenth of it spam; verdicts a core-second of the server and the worker that decodes
media in closed loop, then latency in open loop at 70 % of the measured capacity. `overload`: three
times the capacity, interactive traffic at half of it. Not in it yet: Envoy, and the same events
with every stage forced.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import orjson

from data_contracts.config import PROJECT, Settings, load_settings
from data_contracts.events import Event
from data_contracts.files import write_atomically
from data_contracts.secrets import ACCOUNT_KEY
from pipelines.catalogue import read_labelled
from tests.all_modalities import composed, small_ensemble
from tests.performance.http_load import Shot, closed_loop, cpu_seconds, fire, poisson, post
from tests.performance.provenance import commit
from training.stage_sources import media_reader

PREDICT = "/v1/models/spam:predict"
PARTS = ("trivial", "ensemble", "overload")
ROUNDS, TRIVIAL_REQUESTS, CONNECTIONS, SEED = 5, 3000, 16, 20_260_105
MIX: Mapping[str, float] = {"text": 0.80, "image": 0.12, "video": 0.03, "account": 0.05}
SPAM_SHARE, EVENTS, TRAINED_ON, COMPOSED = 0.1, 3000, 2000, 1500
LATENCY_SECONDS, OVERLOAD_SECONDS = 30.0, 60.0
Pools = dict[str, dict[bool, list[Event]]]  # by kind of content, and whether it is spam
Rows = list[dict[str, Any]]
CHEAPER, P99_MILLISECONDS, VERDICTS_A_CORE_SECOND = 10.0, 80.0, 2000.0


def main() -> int:
    parser = argparse.ArgumentParser(description="the hot path, the ensemble, and overload")
    parser.add_argument("--part", action="append", choices=PARTS, help="default: all")
    wanted = parser.parse_args().part or list(PARTS)
    own = load_settings()
    rows: Rows = []
    goals: Rows = []
    with tempfile.TemporaryDirectory(prefix="bench-serving-") as folder:
        home = Path(folder)
        environment = {**os.environ, "WEIR_HOME": folder, "WEIR_ENV": "local", ACCOUNT_KEY: "bench"}
        environment |= _production_deadlines(own)
        if "trivial" in wanted:
            _trivial(environment, home, rows, goals)
        if wanted != ["trivial"]:
            events, model = _ensemble(own, load_settings(environment), home)
            with _model_server(model, environment, home) as (server, port):
                capacity = _capacity(server, port, events, rows, goals)
                if "ensemble" in wanted:
                    _latency(port, events, capacity, rows, goals)
                if "overload" in wanted:
                    _overload(port, events, capacity, rows, goals)
    report = {"name": "serving", "commit": commit(), "rows": rows, "goals": goals}
    path = own.reports / "bench-serving.json"
    write_atomically(path, orjson.dumps(report, option=orjson.OPT_INDENT_2))
    for shown in [*rows, *goals]:
        print(orjson.dumps(shown).decode())
    print(path)
    return 0


def _production_deadlines(settings: Settings) -> dict[str, str]:
    """Those of a server that has its cores to itself, not the local loop's."""
    classes = {"interactive": 80, "normal": 250, "shadow": 1000}
    prefix = "WEIR__SERVING__ADMISSION__CLASSES__"
    known = settings.serving.admission.classes
    return {
        f"{prefix}{name.upper()}__DEADLINE_MILLISECONDS": str(milliseconds)
        for name, milliseconds in classes.items()
        if name in known
    }


def _trivial(environment: Mapping[str, str], home: Path, rows: Rows, goals: Rows) -> None:
    body = b'{"instances":[{"event_id":"e1","text":"shall we meet at nine tomorrow?"}]}'
    requests = [post(PREDICT, body, x_weir_priority="bulk")] * TRIVIAL_REQUESTS
    spent: dict[str, list[float]] = {"hot path": [], "KServe's own route": []}
    modules = {
        "hot path": ["tests.stand_ins.capital_letters", "0", "bench"],
        "KServe's own route": ["tests.stand_ins.kserve_route", "0"],
    }
    with (
        _server(modules["hot path"], environment, home / "hot.log") as hot,
        _server(modules["KServe's own route"], environment, home / "kserve.log") as kserve,
    ):
        servers = dict(zip(spent, (hot, kserve), strict=True))
        for turn in range(ROUNDS + 1):
            for name, (server, port) in servers.items():
                before = cpu_seconds(server.pid)
                if wrong := closed_loop(port, requests, CONNECTIONS):
                    raise RuntimeError(f"{name}: {wrong} answers were not 200; see {home}")
                if turn:
                    used = cpu_seconds(server.pid) - before
                    spent[name].append(1e6 * used / TRIVIAL_REQUESTS)
            _say(f"trivial: round {turn} of {ROUNDS}")
    ratios = [theirs / ours for ours, theirs in zip(*spent.values(), strict=True)]
    rows += [
        {"part": "trivial", "system": name, "cpu_microseconds_a_request": round(median(one), 1),
         "range": [round(min(one), 1), round(max(one), 1)]}
        for name, one in spent.items()
    ]  # fmt: skip
    goals.append(
        _goal("serving.trivial", "KServe's own route costs this many times the hot path's CPU",
              f">= {CHEAPER:g}", median(ratios), median(ratios) >= CHEAPER)
    )  # fmt: skip


def _ensemble(own: Settings, settings: Settings, home: Path) -> tuple[list[Event], Path]:
    """The traffic of MIX, and the artefact's folder."""
    rng = np.random.default_rng(SEED)
    found = read_labelled("text_sms_spam_uci", own.data, own.cache)
    order = rng.permutation(len(found))
    learnt = [found[at] for at in order[:TRAINED_ON]]
    with media_reader(settings) as media:
        training = composed(settings, COMPOSED, media, SEED)
        _say(f"training on {TRAINED_ON} messages and {COMPOSED} composed events")
        model = home / "model"
        small_ensemble(settings, [*learnt, *training.labelled()], media, home).save(model)
        traffic = composed(settings, COMPOSED, media, SEED + 1)
    pools: Pools = {kind: {True: [], False: []} for kind in MIX}
    for event in traffic.events:
        is_spam = traffic.labels[event.event_id] == "spam"
        kinds = {one.kind for one in event.media}
        kind = "video" if "video" in kinds else "image" if kinds else "account"
        bare = event if kinds else event.model_copy(update={"text": ""})
        pools[kind][is_spam].append(bare)
    for at in order[TRAINED_ON:]:
        pools["text"][found[at].is_spam].append(found[at].event)
    return list(_mixed(pools, rng)), model


def _mixed(
    pools: Mapping[str, Mapping[bool, list[Event]]], rng: np.random.Generator
) -> Iterator[Event]:
    kinds = rng.choice(list(MIX), EVENTS, p=list(MIX.values()))
    spam = rng.random(EVENTS) < SPAM_SHARE
    for number, (kind, is_spam) in enumerate(zip(kinds, spam, strict=True)):
        pool = pools[kind][bool(is_spam)] or pools[kind][not is_spam]
        yield pool[number % len(pool)].model_copy(update={"event_id": f"e{number}"})


def _capacity(
    server: subprocess.Popen[bytes], port: int, events: Sequence[Event],
    rows: Rows, goals: Rows,
) -> float:  # fmt: skip
    """Verdicts a second in closed loop, the normal class; what is shed does not count."""
    requests = [_request(event, "normal") for event in events]
    closed_loop(port, requests[:300], CONNECTIONS)
    found: dict[str, list[float]] = {"rate": [], "wall": []}
    for turn in range(ROUNDS):
        before, began = cpu_seconds(server.pid), time.perf_counter()
        refused = closed_loop(port, requests, CONNECTIONS)
        used, wall = cpu_seconds(server.pid) - before, time.perf_counter() - began
        found["rate"].append((len(requests) - refused) / used)
        found["wall"].append((len(requests) - refused) / wall)
        _say(f"ensemble: round {turn + 1} of {ROUNDS}, {found['rate'][-1]:,.0f} a core-second")
    rate, wall = median(found["rate"]), median(found["wall"])
    rows.append({
        "part": "ensemble", "events": len(events), "mix": dict(MIX), "spam_share": SPAM_SHARE,
        "verdicts_a_core_second": round(rate, 1), "verdicts_a_second": round(wall, 1),
        "range": [round(min(found["rate"]), 1), round(max(found["rate"]), 1)],
    })  # fmt: skip
    goals.append(_goal("serving.verdicts_a_core_second", "verdicts a core-second of the server, "
                       "without Envoy", f">= {VERDICTS_A_CORE_SECOND:g}", rate,
                       rate >= VERDICTS_A_CORE_SECOND))  # fmt: skip
    return wall


def _latency(
    port: int,
    events: Sequence[Event],
    capacity: float,
    rows: list[dict[str, Any]],
    goals: list[Any],
) -> None:
    times = poisson(0.7 * capacity, LATENCY_SECONDS, np.random.default_rng(SEED))
    shots = [
        Shot(float(at), _request(events[number % len(events)], "interactive"), "interactive")
        for number, at in enumerate(times)
    ]
    heard = fire(port, shots, 256)
    quantiles = {f"p{100 * q:g}": round(heard.quantile(q), 1) for q in (0.5, 0.95, 0.99, 0.999)}
    rows.append({"part": "latency", "load": 0.7, "offered": len(shots),
                 "answers": heard.by_status(), "milliseconds": quantiles})  # fmt: skip
    goals.append(_goal("serving.p99", "p99 in milliseconds at 70 % of capacity, of those offered",
                       f"<= {P99_MILLISECONDS:g}", heard.quantile(0.99),
                       heard.quantile(0.99) <= P99_MILLISECONDS))  # fmt: skip


def _overload(
    port: int,
    events: Sequence[Event],
    capacity: float,
    rows: list[dict[str, Any]],
    goals: list[Any],
) -> None:
    rng = np.random.default_rng(SEED)
    classes = {"interactive": 0.5, "normal": 1.5, "bulk": 1.0}
    shots = [
        Shot(float(at), _request(events[int(rng.integers(len(events)))], name), name)
        for name, share in classes.items()
        for at in poisson(share * capacity, OVERLOAD_SECONDS, rng)
    ]
    shots.sort()
    heard = fire(port, shots, 1024)
    for name in classes:
        one = heard.of(name)
        rows.append({"part": "overload", "class": name, "offered": len(one.seconds),
                     "answers": one.by_status(), "p99": round(one.quantile(0.99), 1)})  # fmt: skip
    interactive = heard.of("interactive").quantile(0.99)
    goodput = float((heard.statuses == 200).sum()) / OVERLOAD_SECONDS / capacity
    goals += [
        _goal("serving.overload.interactive", "p99 of interactive requests offered, milliseconds, "
              "at three times capacity", "<= 100", interactive, interactive <= 100),
        _goal("serving.overload.goodput", "answered, as a share of capacity, at three times "
              "capacity", ">= 0.9", goodput, goodput >= 0.9),
    ]  # fmt: skip


def _request(event: Event, priority: str) -> bytes:
    stored = event.model_dump(mode="json", exclude_defaults=True)
    return post(PREDICT, orjson.dumps({"instances": [stored]}), x_weir_priority=priority)


@contextmanager
def _model_server(
    model: Path, environment: Mapping[str, str], home: Path
) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    command = ["serving", "serve", "--model", str(model), "--port", "0", "--slot", "bench"]
    with _server(command, environment, home / "server.log") as running:
        yield running


@contextmanager
def _server(
    module: Sequence[str], environment: Mapping[str, str], log: Path
) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """A process that says on stderr where it listens; its last lines where it does not."""
    with log.open("wb") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", *module], cwd=PROJECT, env=dict(environment), stderr=stderr,
            stdout=subprocess.DEVNULL,
        )  # fmt: skip
    try:
        yield process, _port_of(process, log)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def _port_of(process: subprocess.Popen[bytes], log: Path) -> int:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        if found := re.search(r"http://127\.0\.0\.1:(\d+)", log.read_text(errors="replace")):
            return int(found[1])
        time.sleep(0.05)
    raise RuntimeError("no server:\n" + log.read_text(errors="replace")[-2000:])


def _goal(name: str, statement: str, target: str, measured: float, met: bool) -> dict[str, Any]:
    return {
        "id": name, "statement": statement, "target": target,
        "measured": round(float(measured), 3), "met": bool(met),
    }  # fmt: skip


def _say(message: str) -> None:
    print(f"{time.strftime('%H:%M:%S')}  {message}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
