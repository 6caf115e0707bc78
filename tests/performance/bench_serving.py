"""What a verdict costs and how long it takes: cost, latency, overload, faults, and a long run.

    make bench-serving    (or: python -m tests.performance.bench_serving [--part NAME]
                           [--soak-minutes N])

`trivial`: CPU of a request to Weir's hot path and to KServe's own route, both around a model that
does next to nothing, in interleaved rounds in closed loop. All else asks an ensemble of every
stage, trained on real sets, with events it never saw, in the mix of `serving_mix`, one event a
request, through Envoy: `ensemble` its cost beside heavy models always (`serving_pairs`), `latency`
and `overload` (`serving_latency`), `faults` and `soak` (modules of that name).

Load comes from a second process (`http_load`). Servers have the first core to themselves; Envoy
and the load share the second where there is no third. Capacity is that of the one core, measured
in this run.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Collection
from contextlib import ExitStack
from pathlib import Path
from statistics import median

import orjson

from data_contracts.config import Settings, load_settings
from data_contracts.files import write_atomically
from data_contracts.secrets import ACCOUNT_KEY
from tests.performance.http_load import Generator, generator
from tests.performance.http_shots import post
from tests.performance.provenance import commit
from tests.performance.serving_bench import CONNECTIONS, Bench
from tests.performance.serving_faults import faults
from tests.performance.serving_latency import latency, overload
from tests.performance.serving_mix import PREDICT, made_mix
from tests.performance.serving_pairs import PAIR_EVENTS, pairs
from tests.performance.serving_pairs import ROUNDS as PAIRS
from tests.performance.serving_report import Report, say, spread
from tests.performance.serving_soak import soak
from tests.performance.serving_stack import Cores, as_in_production, serve, server, stack

PARTS = ("trivial", "ensemble", "latency", "overload", "faults", "soak")
EVENTS = PAIRS * PAIR_EVENTS
ROUNDS, TRIVIAL_REQUESTS, CHEAPER = 5, 3000, 10.0
SOAK_MINUTES = 20.0
HOT_PATH, SHIPPED, QUIET = "hot path", "KServe's own route", "KServe's own route, logging nothing"
TRIVIAL = {
    HOT_PATH: ("tests.stand_ins.no_model", "0", "bench"),
    SHIPPED: ("tests.stand_ins.kserve_route", "as-shipped", "0"),
    QUIET: ("tests.stand_ins.kserve_route", "quiet", "0"),
}


def main() -> int:
    parser = argparse.ArgumentParser(description="cost and latency of verdicts")
    parser.add_argument("--part", action="append", choices=PARTS, help="default: all")
    parser.add_argument("--soak-minutes", type=float, default=SOAK_MINUTES, metavar="N",
                        help="default: %(default)g")  # fmt: skip
    arguments = parser.parse_args()
    own, report, cores = load_settings(), Report(), Cores.of_this_process()
    report.row("machine", cores=cores.described(), of=os.cpu_count())
    os.environ["OMP_NUM_THREADS"] = "1"  # a server has one core
    with (
        tempfile.TemporaryDirectory(prefix="bench-serving-") as folder,
        generator(cores.load) as load,
    ):
        home, parts = Path(folder), arguments.part or PARTS
        environment = {**os.environ, "WEIR_HOME": folder, "WEIR_ENV": "local", ACCOUNT_KEY: "bench"}
        environment |= as_in_production()
        if "trivial" in parts:
            _trivial(environment, home, cores, load, report)
        if set(parts) - {"trivial"}:
            mix, model = made_mix(EVENTS, own, load_settings(environment), home)
            bench = Bench(mix, model, environment, home, cores, load, report)
            _asked(bench, parts, arguments.soak_minutes)
    _write(report, own)
    return 0


def _asked(bench: Bench, parts: Collection[str], soak_minutes: float) -> None:
    """The parts that ask the ensemble; all but the first need its capacity."""
    if "ensemble" in parts:
        pairs(bench)
    if not set(parts) & {"latency", "overload", "faults", "soak"}:
        return
    commands = {"bench": serve(bench.model)}
    with stack(commands, bench.environment, bench.home, bench.cores) as running:
        capacity = bench.capacity(running)
        if "latency" in parts:
            latency(bench, running, capacity)
        if "overload" in parts:
            overload(bench, running, capacity)
    if "faults" in parts:
        faults(bench, capacity)
    if "soak" in parts:
        with stack(commands, bench.environment, bench.home, bench.cores) as running:
            soak(bench, running, capacity, soak_minutes)


def _trivial(
    environment: dict[str, str], home: Path, cores: Cores, load: Generator, report: Report
) -> None:
    body = b'{"instances":[{"event_id":"e1","text":"shall we meet at nine tomorrow?"}]}'
    requests = [post(PREDICT, body, x_weir_priority="bulk")] * TRIVIAL_REQUESTS
    spent: dict[str, list[float]] = {name: [] for name in TRIVIAL}
    with ExitStack() as entered:
        servers = {
            name: entered.enter_context(server(module, environment, home / f"{at}.log", cores))
            for at, (name, module) in enumerate(TRIVIAL.items())
        }
        for turn in range(ROUNDS + 1):
            for name, running in servers.items():
                before = running.cpu_seconds
                heard = load.closed(running.port, requests, CONNECTIONS)
                if heard.share() < 1:
                    raise RuntimeError(f"{name} answered {heard.by_status()}, not 200; see {home}")
                if turn:
                    used = running.cpu_seconds - before
                    spent[name].append(1e6 * used / TRIVIAL_REQUESTS)
            say(f"trivial: round {turn} of {ROUNDS}")
    for name, values in spent.items():
        report.row("trivial", system=name, cpu_microseconds_a_request=spread(values))
    for goal, name in (("trivial", SHIPPED), ("trivial.quiet", QUIET)):
        both = zip(spent[HOT_PATH], spent[name], strict=True)
        ratios = [theirs / ours for ours, theirs in both]
        report.goal(
            goal, f"{name} costs this many times the hot path's CPU, median of pairs",
            f">= {CHEAPER:g}", median(ratios), met=median(ratios) >= CHEAPER,
            range=spread(ratios)["range"],
        )  # fmt: skip


def _write(report: Report, own: Settings) -> None:
    content = {"name": "serving", "commit": commit(), "rows": report.rows, "goals": report.goals}
    path = own.reports / "bench-serving.json"
    write_atomically(path, orjson.dumps(content, option=orjson.OPT_INDENT_2))
    for shown in [*report.rows, *report.goals]:
        print(orjson.dumps(shown).decode())
    print(path)


if __name__ == "__main__":
    sys.exit(main())
