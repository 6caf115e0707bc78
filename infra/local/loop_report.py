"""What one turn of the loop found: `loop.json` for programs, a summary for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from data_contracts.files import write_atomically
from infra.local.airflow_client import Task
from infra.local.console import say, say_table


@dataclass
class Found:
    """Results of the stages, as they come."""

    replay: dict[str, Any] = field(default_factory=dict)
    traffic: dict[str, Any] = field(default_factory=dict)
    monitoring: dict[str, Any] = field(default_factory=dict)
    lineage: dict[str, Any] = field(default_factory=dict)
    rollout: list[dict[str, Any]] = field(default_factory=list)
    gates: list[dict[str, Any]] = field(default_factory=list)
    approvals: list[dict[str, Any]] = field(default_factory=list)
    sampled: Counter[str] = field(default_factory=Counter)
    ingested: Counter[str] = field(default_factory=Counter)
    versions: list[str] = field(default_factory=list)
    labels: int = 0
    trials: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    task_seconds: dict[str, float] = field(default_factory=dict)

    def add_ingested(self, result: Mapping[str, Any]) -> None:
        for key in ("events", "quarantined", "verdicts"):
            self.ingested[key] += int(result.get(key, 0))

    def add_sampled(self, results: Mapping[str, Mapping[str, Any]]) -> None:
        self.sampled.update(results["sample"].get("sampled", {}))
        self.labels += int(results["collect_labels"].get("labels", 0))

    def add_candidate(self, version: str, results: Mapping[str, Mapping[str, Any]]) -> None:
        self.versions.append(version)
        self.trials += int(results["train"].get("trials", 0))
        for task, result in results.items():
            if task.startswith("gate_") and result:
                self.gates.append({"version": version, **result})

    def add_tasks(self, dag_id: str, tasks: Sequence[Task]) -> None:
        for task in tasks:
            name = f"{dag_id}.{task.task_id}"
            self.task_seconds[name] = round(self.task_seconds.get(name, 0) + (task.seconds or 0), 1)


def write(found: Found, seconds_total: float, folder: Path) -> dict[str, Any]:
    """Write `loop.json` and return it. A figure of synthetic data says so."""
    report = {
        "datasets": found.replay.get("datasets", []),
        "languages": found.replay.get("languages", []),
        "synthetic": found.replay.get("synthetic", False),
        "days": found.replay.get("days", []),
        "events": found.ingested["events"],
        "quarantined": found.ingested["quarantined"],
        "verdicts": found.ingested["verdicts"],
        "sampled": dict(found.sampled),
        "labels": found.labels,
        "trials": found.trials,
        "gates": found.gates,
        "approved_by": found.approvals[-1]["approved_by"] if found.approvals else None,
        "approvals": found.approvals,
        "rollout": found.rollout,
        "failed_client_requests": found.traffic.get("failed"),
        "client_requests": found.traffic.get("requests"),
        "client_latency_ms": found.traffic.get("latency_ms"),
        "champion_version": found.lineage.get("version"),
        "lineage": found.lineage,
        "monitoring": found.monitoring,
        "seconds": {**found.seconds, "tasks": found.task_seconds},
        "seconds_total": round(seconds_total, 1),
    }
    write_atomically(folder / "loop.json", orjson.dumps(report, option=orjson.OPT_INDENT_2))
    return report


def show(report: Mapping[str, Any], folder: Path) -> None:
    """The summary that ends `make run`; on generated data every line says so."""
    note = " (synthetic)" if report["synthetic"] else ""
    rows = [
        ("datasets", ", ".join(report["datasets"])),
        ("events", f"{report['events']} kept, {report['quarantined']} in quarantine"),
        ("sampled", ", ".join(f"{name} {n}" for name, n in report["sampled"].items())),
        ("labels", report["labels"]),
        ("trials", report["trials"]),
        (
            "gates",
            ", ".join(f"v{g['version']} {g['gate']} {g['verdict']}" for g in report["gates"]),
        ),
        ("approved by", report["approved_by"]),
        (
            "client requests",
            f"{report['client_requests']}, {report['failed_client_requests']} failed",
        ),
        ("champion", f"version {report['champion_version']}"),
        ("time", f"{report['seconds_total']:.0f} s"),
    ]
    say_table(f"The loop{note}", ("what", "result"), [(name + note, value) for name, value in rows])
    columns = ("phase", "weight", "mirror", "requests", "errors", "seconds", "verdict")
    steps = [[step.get(column) for column in columns] for step in report["rollout"]]
    say_table(f"The challenger's rollout{note}", columns, steps)
    say(f"written to {folder / 'loop.json'}")


def refusals(results: Mapping[str, Mapping[str, Any]]) -> str:
    """Which gates did not pass, for an error message."""
    found = [
        f"{result['gate']}: {result['verdict']}"
        for task, result in results.items()
        if task.startswith("gate_") and result.get("verdict") != "pass"
    ]
    return ", ".join(found) or "no gate report"
