"""The measured runs of `make bench-drift`, each in a process of its own on two cores."""

from __future__ import annotations

import os
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pyarrow.parquet as pq

from data_contracts.config import Drift
from evaluation.monitoring.drift.bins import Bins
from evaluation.monitoring.drift.causes import LEVELS
from evaluation.monitoring.drift.counting import counted, fitted, quantiles
from evaluation.monitoring.drift.histograms import from_table
from evaluation.monitoring.drift.judging import compared
from pipelines.tables import duckdb_backend, parquet, spark_backend
from tests.performance.drift_rows import CATEGORIES, NUMBERS
from tests.performance.memory_watch import highest_resident

CORES, POLL_SECONDS = 2, 0.1
SPARK_HEAP_GIB = 2.0


def measured(work: Callable[..., Any], *arguments: Any) -> tuple[Any, dict[str, float]]:
    """Its answer, and what it cost a fresh process: seconds, CPU-seconds, the highest memory.

    Children (Spark's JVM) are included; of the process itself the kernel keeps the peak memory,
    children are polled. CPU-seconds are what is left to compare where others use the cores.
    """
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        process.submit(_hold_to_cores).result()
        worker = next(iter(process._processes))
        began = time.monotonic()
        with _children(worker) as peak:
            answer = process.submit(work, *arguments).result()
        seconds, processor = time.monotonic() - began, _processor_seconds(worker)
        memory = max(peak[0], highest_resident(worker))
    return answer, {
        "seconds": round(seconds, 1), "cpu_seconds": round(processor, 1),
        "peak_gib": round(memory / 2**30, 3),
    }  # fmt: skip


def judge_days(files: Sequence[Path], settings: Drift) -> dict[str, Any]:
    """The whole of it on DuckDB: fix bins, count every day, judge the last; with stage seconds."""
    stages: dict[str, float] = {}
    with (
        tempfile.TemporaryDirectory(dir=files[0].parent.parent) as scratch,
        duckdb_backend(
            Path(scratch), memory_gib=settings.memory_gib, threads=settings.threads
        ) as backend,
    ):
        with _stage(stages, "fixing bins"):
            bins = fitted(
                parquet(backend, files[:-1]), NUMBERS, CATEGORIES, list(map(_day, files[:-1])),
                bins=settings.bins, most_categories=settings.most_categories,
            )  # fmt: skip
        with _stage(stages, "counting"):
            tables = [counted(parquet(backend, [file]), bins) for file in files]
        with _stage(stages, "judging"):
            *reference, current = (from_table(table, bins) for table in tables)
            last = parquet(backend, files[-1:])
            found = compared(
                bins, reference, current, settings, lambda name: quantiles(last, name, LEVELS)
            )
    return {
        "bins": bins.as_json(), "stages": {name: round(one, 1) for name, one in stages.items()},
        "found": [one.as_record() for one in found],
        "counts": {
            file.parent.name: _as_counts(table) for file, table in zip(files, tables, strict=True)
        },
    }  # fmt: skip


def count_on_spark(files: Sequence[Path], bins: bytes) -> dict[str, Any]:
    """The same expression and bins, unchanged, on Spark."""
    with (
        tempfile.TemporaryDirectory(dir=files[0].parent.parent) as scratch,
        spark_backend(
            Path(scratch), memory_gib=SPARK_HEAP_GIB, threads=CORES, partitions=CORES
        ) as backend,
    ):
        fixed = Bins.from_json(bins)
        return {
            file.parent.name: _as_counts(counted(parquet(backend, [file]), fixed)) for file in files
        }


def load_frames(current: Path, reference: Path, rows: int) -> dict[str, float]:
    """The rival: Evidently on so many rows a side, read into frames; distances by column."""
    frames = [_frame(file, rows) for file in (current, reference)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from evidently import DataDefinition, Dataset, Report
        from evidently.presets import DataDriftPreset

        definition = DataDefinition(
            numerical_columns=list(NUMBERS), categorical_columns=list(CATEGORIES)
        )
        preset = DataDriftPreset(num_method="wasserstein", cat_method="jensenshannon")
        sides = [Dataset.from_pandas(one, data_definition=definition) for one in frames]
        result: Mapping[str, Any] = Report([preset]).run(*sides).dict()
    return {
        metric["config"]["column"]: float(metric["value"])
        for metric in result["metrics"]
        if "column" in metric["config"]
    }


def _frame(file: Path, rows: int) -> Any:
    batches, held = [], 0
    for batch in pq.ParquetFile(file).iter_batches(100_000, columns=[*NUMBERS, *CATEGORIES]):
        batches.append(batch)
        held += len(batch)
        if held >= rows:
            break
    return pa.Table.from_batches(batches).slice(0, rows).to_pandas()


def _as_counts(table: pa.Table) -> dict[str, tuple[int, ...]]:
    """`feature/bin` to its three counts: what two engines must agree on."""
    return {
        f"{row['feature']}/{row['bin']}": (row["rows"], row["judged"], row["positives"])
        for row in table.to_pylist()
    }


def _day(file: Path) -> str:
    return file.parent.name.removeprefix("day=")


@contextmanager
def _stage(stages: dict[str, float], name: str) -> Iterator[None]:
    began = time.monotonic()
    yield
    stages[name] = time.monotonic() - began


def _hold_to_cores() -> None:
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])


@contextmanager
def _children(worker: int) -> Iterator[list[int]]:
    """The highest resident bytes of the process and its children together, once the block ends."""
    peak, done = [0], threading.Event()

    def poll() -> None:
        while not done.wait(POLL_SECONDS):
            peak[0] = max(peak[0], _resident(psutil.Process(worker)))

    watcher = threading.Thread(target=poll, daemon=True)
    watcher.start()
    try:
        yield peak
    finally:
        done.set()
        watcher.join()


def _processor_seconds(worker: int) -> float:
    process = psutil.Process(worker)
    times = [one.cpu_times() for one in (process, *process.children(recursive=True))]
    return float(sum(one.user + one.system for one in times))


def _resident(process: psutil.Process) -> int:
    total = 0
    for one in (process, *process.children(recursive=True)):
        try:
            total += one.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total
