"""The report of the main job adds up what its stages found."""

from __future__ import annotations

from pathlib import Path

import orjson

from infra.local.airflow_client import Task
from infra.local.loop_report import Found, refusals, write


def test_days_and_labels_add_up(tmp_path: Path) -> None:
    found = Found()
    found.add_ingested({"events": 10, "quarantined": 1, "verdicts": 0})
    found.add_ingested({"events": 5, "quarantined": 0, "verdicts": 5})
    found.add_sampled({"sample": {"sampled": {"audit": 3}}, "collect_labels": {"labels": 3}})
    found.add_sampled(
        {"sample": {"sampled": {"audit": 1, "uncertainty": 2}}, "collect_labels": {"labels": 3}}
    )
    report = write(found, 12.34, tmp_path)
    assert (report["events"], report["quarantined"], report["verdicts"]) == (15, 1, 5)
    assert report["sampled"] == {"audit": 4, "uncertainty": 2}
    assert report["labels"] == 6
    assert orjson.loads((tmp_path / "loop.json").read_bytes()) == report


def test_a_task_that_ran_twice_counts_both_times() -> None:
    found = Found()
    for seconds in (1.5, 2.0):
        found.add_tasks("daily_ingest", [Task("ingest", "success", 1, seconds)])
    assert found.task_seconds == {"daily_ingest.ingest": 3.5}


def test_gates_carry_the_version_that_they_judged() -> None:
    found = Found()
    gate = {"gate": "golden", "verdict": "fail", "metrics": []}
    found.add_candidate("2", {"train": {"trials": 4}, "gate_golden": gate, "promote": {}})
    assert found.gates == [{"version": "2", **gate}]
    assert found.trials == 4
    assert refusals({"gate_golden": gate}) == "golden: fail"
