"""One scrape of any worker shows all workers: real processes, also when one dies."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from data_contracts.config import PROJECT
from serving.worker_metrics import environment, forget, prepare

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


class Worker:
    def __init__(self, folder: Path, number: int):
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.stand_ins.counting_worker"],
            cwd=PROJECT, env={**os.environ, **environment(folder, number)},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip

    def tell(self, line: str) -> bytes:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{line}\n".encode())
        self.process.stdin.flush()
        return self.process.stdout.read(int(self.process.stdout.readline()))

    def scrape(self) -> Samples:
        return {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in text_string_to_metric_families(self.tell("scrape").decode())
            for sample in family.samples
        }

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


@contextmanager
def workers(folder: Path, *numbers: int) -> Iterator[list[Worker]]:
    started = [Worker(folder, number) for number in numbers]
    try:
        yield started
    finally:
        for one in started:
            one.kill()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    prepare(tmp_path / "metrics")
    return tmp_path / "metrics"


def value(samples: Samples, name: str, **labels: str) -> float | None:
    return samples.get((name, tuple(sorted(labels.items()))))


SHED = {"class": "bulk", "reason": "saturated"}


def test_counters_histograms_and_gauges_of_two_workers_are_one(folder: Path) -> None:
    with workers(folder, 0, 1) as (first, second):
        for told in ("shed bulk", "took 0.03", "depth 3", "breaker closed", "model 7"):
            first.tell(told)
        for told in ("shed bulk", "shed bulk", "took 0.5", "depth 4", "breaker open", "model 7"):
            second.tell(told)
        shown = first.scrape()
        assert value(shown, "weir_shed_total", **SHED) == 3
        latency = {"arm": "stable", "content": "text", "class": "normal"}
        assert value(shown, "weir_request_seconds_count", **latency) == 2
        assert value(shown, "weir_request_seconds_sum", **latency) == 0.53
        assert value(shown, "weir_request_seconds_bucket", le="0.03", **latency) == 1
        assert value(shown, "weir_queue_depth", **{"class": "bulk"}) == 7
        assert value(shown, "weir_breaker_state", stage="image") == 2  # the worst
        assert value(shown, "weir_model", model_version="7", threshold_version="t") == 1
        assert value(shown, "weir_workers") == 2
        assert value(shown, "weir_decision_records_written_total") == 0
        for number in ("0", "1"):
            assert (value(shown, "weir_worker_resident_bytes", pid=number) or 0) > 1e6
        assert shown.keys() == second.scrape().keys()


def test_a_dead_workers_gauges_go_and_its_counts_stay(folder: Path) -> None:
    with workers(folder, 0, 1) as (first, second):
        second.tell("shed bulk")
        second.tell("depth 4")
        second.kill()
        forget(folder, 1)
        shown = first.scrape()
        assert value(shown, "weir_shed_total", **SHED) == 1
        assert value(shown, "weir_queue_depth", **{"class": "bulk"}) is None
        assert value(shown, "weir_workers") == 1
        assert value(shown, "weir_worker_resident_bytes", pid="1") is None


def test_a_successor_goes_on_counting_and_leaves_no_file_more(folder: Path) -> None:
    with workers(folder, 0) as (first,):
        first.tell("shed bulk")
        first.tell("depth 4")
        before = sorted(path.name for path in folder.iterdir())
        first.kill()
    with workers(folder, 0) as (successor,):
        successor.tell("shed bulk")
        shown = successor.scrape()
        assert value(shown, "weir_shed_total", **SHED) == 2
        assert value(shown, "weir_queue_depth", **{"class": "bulk"}) is None
        assert sorted(path.name for path in folder.iterdir()) == before


def test_two_processes_with_one_number_do_not_write_over_each_other(folder: Path) -> None:
    with workers(folder, 0, 0) as both:
        for one in both:
            one.tell("shed bulk")
            one.tell("shed bulk")
        assert value(both[0].scrape(), "weir_shed_total", **SHED) == 4


def test_a_server_begins_with_an_empty_folder(folder: Path) -> None:
    with workers(folder, 0) as (first,):
        first.tell("shed bulk")
    prepare(folder)
    assert list(folder.iterdir()) == []
