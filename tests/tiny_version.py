"""A version in MLflow that stands for a trained one: two small files, and reports that pass it."""

from __future__ import annotations

import json
from pathlib import Path

from training import registry
from training.gate_evidence import ENSEMBLE_TAG
from training.gate_reports import read_judgements
from training.promotion import Promoted, Promotion
from training.registry import Connection, ModelVersion

ENSEMBLE = "e-1"
GATES = ("golden", "adversarial", "fairness")


def artefact(folder: Path) -> Path:
    """Stands for an ensemble's directory."""
    folder.mkdir()
    (folder / "policy.json").write_text('{"threshold": 0.5}')
    (folder / "trees.txt").write_text("trees")
    return folder


def registered(connection: Connection, directory: Path) -> ModelVersion:
    """The artefact as a version, as `training register` logs it."""
    with registry.training_run(connection, "tiny") as run:
        return registry.log_version(connection, directory, run.run_id, {ENSEMBLE_TAG: ENSEMBLE})


def gate_report(folder: Path, gate: str, verdict: str = "pass", model: str = ENSEMBLE) -> Path:
    """A gate's report with one picture."""
    metric = {
        "name": "average_precision", "value": 0.98, "sample_size": 400, "low": 0.96,
        "high": 0.99, "bound": 0.9, "direction": "at_least", "slice": "all", "verdict": verdict,
    }  # fmt: skip
    picture = folder / f"{gate}.svg"
    picture.write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    record = {
        "gate": gate, "verdict": verdict, "model": model, "reasons": [], "datasets": ["tiny"],
        "metrics": [metric, {**metric, "slice": "language=tr", "bound": None}],
        "suite_version": "1", "details": {"pictures": [picture.name]},
    }  # fmt: skip
    path = folder / f"{gate}.json"
    path.write_text(json.dumps(record))
    return path


def promoted(
    promotion: Promotion, version: ModelVersion, folder: Path, **verdicts: str
) -> Promoted:
    """The version after every gate judged it."""
    paths = [gate_report(folder, gate, verdicts.get(gate, "pass")) for gate in GATES]
    return promotion.promote(version.number, read_judgements(paths))
