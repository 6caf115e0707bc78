"""`python -m training register`: a trained model becomes a version with its lineage."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

import orjson

from data_contracts.config import Settings
from data_contracts.errors import BadInput
from training import registry
from training.ensemble import Ensemble
from training.gate_evidence import ENSEMBLE_TAG, TRIGGERED_BY_TAG
from training.lineage import Lineage, read_lineage, trace
from training.registry.artefact import ensemble_directory
from training.stage_sources import stage_sources

TRIGGERED_BY = "WEIR_TRIGGERED_BY"  # set by the orchestrator: who started the training by hand


def register(arguments: argparse.Namespace, settings: Settings) -> dict[str, Any]:
    """Make a trained model a version, with the lineage that leads back to its inputs."""
    if not arguments.model.is_dir():
        raise BadInput(f"--model {arguments.model}: no such folder; train a model first")
    directory = ensemble_directory(arguments.model)
    connection = registry.connect(settings)
    lineage = read_lineage(directory) or trace(settings)
    run_id = arguments.run_id or _run_for(connection, directory)
    champion = registry.champion_version(connection)
    tags = {
        **lineage.as_tags(),
        "weir.parent": champion.uri if champion else "none",
        ENSEMBLE_TAG: Ensemble.load(directory, sources=stage_sources(settings)).version,
    }
    if starter := os.environ.get(TRIGGERED_BY):
        tags[TRIGGERED_BY_TAG] = starter
    version = registry.log_version(connection, directory, run_id, tags)
    _attach_lineage(connection, run_id, lineage)
    return {
        "model": version.model,
        "version": version.number,
        "uri": version.uri,
        "run_id": run_id,
    }


def _run_for(connection: registry.Connection, directory: Path) -> str:
    """A run of its own for a model that was trained without tracking."""
    with registry.training_run(connection, f"register {directory.name}") as run:
        return run.run_id


def _attach_lineage(connection: registry.Connection, run_id: str, lineage: Lineage) -> None:
    registry.attach(
        connection,
        run_id,
        tags=lineage.as_tags(),
        texts={"lineage/lineage.json": _pretty(lineage.as_record())},
        datasets={f"lake/{table}": digest for table, digest in lineage.dataset_hashes.items()},
    )


def _pretty(value: object) -> str:
    return orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()
