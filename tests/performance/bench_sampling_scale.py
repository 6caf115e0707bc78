"""How long and in how much memory the day's selection runs on a pool of ten million events.

    make bench-sampling-scale        (or: python -m tests.performance.bench_sampling_scale)

Each run is a process of its own, held to two cores: it opens the Parquet, makes the shortlist
(the Ibis expressions), then lets every sampler and the portfolio choose. Memory is the resident
memory of the process and its children (Spark's JVM), polled. On the smaller pool DuckDB and Spark
must agree on every row and feature of the shortlist and on every chosen event. Pools are made
once and kept under {WEIR_HOME}/cache/bench-sampling-scale (2.6 and 0.6 GB for ten million).
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import psutil
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from data_contracts.config import load_settings
from data_contracts.files import write_atomically
from pipelines.labelling.emergence import emergence_column
from pipelines.labelling.pool import MOST_COMPARED
from pipelines.labelling.samplers import SAMPLERS, Pool, Portfolio
from pipelines.labelling.samplers.base import stacked
from pipelines.labelling.shortlist import Shortlist, shortlist
from pipelines.tables import duckdb_backend, parquet, spark_backend
from tests.performance.provenance import commit
from tests.performance.scale_picture import draw
from tests.performance.scale_pool import pool_files

SEED, BUDGET, THRESHOLD, CORES = 20_260_105, 1000, 0.8, 2
MINUTES, GIGABYTES, POLL_SECONDS = 15.0, 8.0, 0.05
AUDIT_SHARE, ARMS = 0.2, ("cluster_margin", "diversity", "adversarial", "time_sensitive")
BROUGHT = ("flip_share", "evasion_similarity")  # columns of the pool that an arm ranks by
BACKENDS = {"duckdb": duckdb_backend, "spark": spark_backend}


@dataclass(frozen=True)
class Task:
    """One run: which engine selects from which files, and where its shortlist goes."""

    engine: str
    rows: int
    pool: Path
    reference: Path
    output: Path


@dataclass
class Outcome:
    """Seconds of each stage, and what each sampler chose, the most wanted first."""

    seconds: dict[str, float] = field(default_factory=dict)
    chosen: dict[str, tuple[str, ...]] = field(default_factory=dict)
    shortlisted: int = 0

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        began = time.monotonic()
        yield
        self.seconds[name] = time.monotonic() - began


def main() -> int:
    arguments = _arguments()
    settings = load_settings()
    folder = settings.cache / "bench-sampling-scale"
    rows = []
    with tempfile.TemporaryDirectory(dir=_made(folder)) as scratch:
        plan = [("duckdb", arguments.compared), ("spark", arguments.compared)]
        for engine, size in [*plan, ("duckdb", arguments.rows)]:
            _say(f"{engine}, {size:,} rows: making or finding the pool")
            pool, reference = pool_files(folder, size, SEED)
            task = Task(engine, size, pool, reference, Path(scratch) / f"{engine}-{size}.parquet")
            _say(f"{engine}, {size:,} rows: selecting")
            rows.append(_measured(task))
        same = _same(rows[0], rows[1])
    report = {
        "name": "sampling-scale",
        "commit": commit(),
        "rows": [{name: row[name] for name in row if name != "task"} for row in rows],
        "goals": _goals(rows[2], rows[1], same),
    }
    for row in report["rows"]:
        row.pop("chosen")
    path = settings.home / "reports" / "bench-sampling-scale.json"
    write_atomically(path, orjson.dumps(report, option=orjson.OPT_INDENT_2))
    _print(report)
    print(f"{path}\n{draw(report, path.with_suffix('.svg'), GIGABYTES)}")
    return 0


def _measured(task: Task) -> dict[str, Any]:
    """A run in a fresh process, with its wall time and its highest memory."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        process.submit(_hold_to_cores).result()
        began = time.monotonic()
        with _highest_memory(next(iter(process._processes))) as peak:
            outcome = process.submit(_select, task).result()
        wall = time.monotonic() - began
    return {
        "task": task,
        "engine": task.engine,
        "pool_rows": task.rows,
        "reference_rows": pq.ParquetFile(task.reference).metadata.num_rows,
        "shortlisted": outcome.shortlisted,
        "budget": BUDGET,
        "cores": CORES,
        "seconds": round(wall, 1),
        "peak_gigabytes": round(peak[0] / 1e9, 2),
        "stages": {name: round(value, 2) for name, value in outcome.seconds.items()},
        "chosen": outcome.chosen,
    }


def _hold_to_cores() -> None:
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])


def _select(task: Task) -> Outcome:
    """The real path: open, shortlist, and let every sampler choose."""
    outcome = Outcome()
    with outcome.stage("shortlist"):
        short = _shortlist(task)
    outcome.shortlisted = short.rows.num_rows
    with outcome.stage("emergence"):
        rows = _with_emergence(short.rows, task.reference)
    with outcome.stage("pool in memory"):
        pool = Pool.of(rows, THRESHOLD, short.population)
    for name, sampler in {**SAMPLERS, "portfolio": portfolio()}.items():
        with outcome.stage(name):
            budget = min(BUDGET, len(sampler.eligible(pool)))
            selection = sampler.select(pool, budget, np.random.default_rng(SEED))
        outcome.chosen[name] = selection.event_ids
    pq.write_table(short.rows, task.output)
    return outcome


def _with_emergence(rows: pa.Table, reference: Path) -> pa.Table:
    """As the daily step does: a uniform part of the day against a part of the days before."""
    earlier = next(pq.ParquetFile(reference).iter_batches(MOST_COMPARED, columns=["embedding"]))
    past = stacked(pa.chunked_array([earlier["embedding"].drop_null()]))
    drawn = rows.sort_by("audit_order")["event_id"].slice(0, MOST_COMPARED).combine_chunks()
    lists = pc.if_else(
        pc.is_in(rows["event_id"], value_set=drawn), rows["embedding"].combine_chunks(), None
    )
    return rows.append_column("emergence", emergence_column(lists, past))


def portfolio() -> Portfolio:
    """The audit and four arms with equal shares of the rest."""
    share = (1.0 - AUDIT_SHARE) / len(ARMS)
    return Portfolio(
        {arm: SAMPLERS[arm] for arm in ARMS}, {"audit": AUDIT_SHARE, **dict.fromkeys(ARMS, share)}
    )


def _shortlist(task: Task) -> Shortlist:
    with (
        tempfile.TemporaryDirectory(dir=task.output.parent) as scratch,
        BACKENDS[task.engine](Path(scratch), threads=CORES) as backend,
    ):
        return shortlist(
            parquet(backend, [task.pool]), parquet(backend, [task.reference]),
            budget=BUDGET, seed=SEED, threshold=THRESHOLD, also=BROUGHT,
        )  # fmt: skip


@contextmanager
def _highest_memory(process: int) -> Iterator[list[int]]:
    """The highest resident bytes of the process and all its children, once the block ends."""
    peak, done = [0], threading.Event()

    def poll() -> None:
        while not done.wait(POLL_SECONDS):
            peak[0] = max(peak[0], _resident(psutil.Process(process)))

    watcher = threading.Thread(target=poll, daemon=True)
    watcher.start()
    try:
        yield peak
    finally:
        done.set()
        watcher.join()


def _resident(process: psutil.Process) -> int:
    total = 0
    for one in (process, *process.children(recursive=True)):
        try:
            total += one.memory_info().rss
        except psutil.NoSuchProcess:  # it ended between the list and the look
            continue
    return total


def _same(one: dict[str, Any], other: dict[str, Any]) -> dict[str, bool]:
    """Whether two runs agree, bit for bit: the shortlist, and each sampler's choice in order."""
    tables = [pq.read_table(row["task"].output) for row in (one, other)]
    return {
        "shortlist": _equal(*tables),
        **{name: one["chosen"][name] == other["chosen"][name] for name in one["chosen"]},
    }


def _equal(one: pa.Table, other: pa.Table) -> bool:
    return one.column_names == other.column_names and all(
        one[name].combine_chunks().equals(other[name].combine_chunks()) for name in one.column_names
    )


def _goals(large: dict[str, Any], spark: dict[str, Any], same: dict[str, bool]) -> list[Any]:
    wall, memory = large["seconds"] / 60, large["peak_gigabytes"]
    size, compared = f"{large['pool_rows']:,}", f"{spark['pool_rows']:,}"
    differing = [name for name, equal in same.items() if not equal]
    return [
        _goal("time", f"{size} rows selected in under {MINUTES:g} minutes on {CORES} cores",
              f"< {MINUTES:g} minutes", round(wall, 2), wall < MINUTES),
        _goal("memory", f"{size} rows selected in under {GIGABYTES:g} GB on {CORES} cores",
              f"< {GIGABYTES:g} GB", memory, memory < GIGABYTES),
        _goal("spark", f"Spark selects the same rows as DuckDB of {compared}, bitwise equal "
              "features", "no difference", differing or "no difference", not differing),
    ]  # fmt: skip


def _goal(name: str, statement: str, target: str, measured: Any, met: bool) -> dict[str, Any]:
    return {
        "id": f"sampling-scale.{name}", "statement": statement, "target": target,
        "measured": measured, "met": met,
    }  # fmt: skip


def _print(report: dict[str, Any]) -> None:
    print(f"{'engine':8} {'rows':>12} {'shortlist':>10} {'seconds':>9} {'peak GB':>8}  stages")
    for row in report["rows"]:
        stages = ", ".join(f"{name} {value:g}" for name, value in row["stages"].items())
        print(
            f"{row['engine']:8} {row['pool_rows']:12,} {row['shortlisted']:10,} "
            f"{row['seconds']:9.1f} {row['peak_gigabytes']:8.2f}  {stages}"
        )
    for goal in report["goals"]:
        print(f"{'met' if goal['met'] else 'NOT MET':8} {goal['statement']}: {goal['measured']}")


def _say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--rows", type=int, default=10_000_000, help="of the large pool")
    parser.add_argument("--compared", type=int, default=1_000_000, help="of the pool for Spark")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
