"""`python -m evaluation gate`: judge one model on one suite and leave the evidence."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from data_contracts.config import Settings
from data_contracts.errors import BadInput, MissingPart, ServiceUnavailable
from data_contracts.files import write_atomically
from data_contracts.reports import GateReport
from evaluation.gates import gates
from evaluation.gates.base import Contender, Gate
from evaluation.gates.policy import load_policy
from evaluation.gates.suite import Suite, dataset_suite, lake_suite

SEED = 20_260_105
NO_CHAMPION = "no champion: judged by absolute floors alone"


def run(arguments: argparse.Namespace, settings: Settings) -> dict[str, Any]:
    """Judge, write report and pictures under `{home}/reports/gates/{model}/`; a no is data."""
    _gate(arguments.suite, settings)  # a wrong name fails before anything is loaded
    suite = _suite(arguments.dataset, settings)
    model = load(arguments.model, settings)
    champion, note = _champion(arguments, settings)
    if champion is not None and champion.name == model.name:
        champion, note = None, "the model is the champion itself: judged by absolute floors alone"
    return judge(arguments.suite, suite, model, champion, settings, note)


def judge(
    name: str,
    suite: Suite,
    model: Contender,
    champion: Contender | None,
    settings: Settings,
    note: str | None = None,
) -> dict[str, Any]:
    """One gate's report, written with its pictures; `note` is added to its reasons."""
    from evaluation.gates.pictures import draw

    gate = _gate(name, settings)
    report = gate.judge(suite, model, champion, np.random.default_rng(SEED))
    report = replace(report, reasons=(*report.reasons, *([note] if note else [])))
    folder = settings.reports / "gates" / model.name
    pictures = draw(report, folder)
    path = folder / f"{report.gate}.json"
    write_atomically(path, encoded(report, pictures))
    return {
        "gate": report.gate,
        "verdict": report.verdict,
        "reasons": list(report.reasons),
        "metrics": report.as_record()["metrics"],
        "report": str(path),
        "pictures": [str(picture) for picture in pictures],
    }


def encoded(report: GateReport, pictures: list[Path]) -> bytes:
    """The report as JSON; `details.pictures` names the files beside it."""
    names = [picture.name for picture in pictures]
    record = replace(report, details={**report.details, "pictures": names}).as_record()
    return orjson.dumps(record, option=orjson.OPT_INDENT_2)


def load(model: str, settings: Settings) -> Contender:
    """The ensemble of a folder, an alias or a registry URI: the same that is served."""
    from training.ensemble import Ensemble
    from training.registry import download
    from training.stage_sources import stage_sources

    ensemble = Ensemble.load(download(model, settings), sources=stage_sources(settings))
    return Contender(ensemble.version, ensemble)


def _gate(name: str, settings: Settings) -> Gate:
    known = gates(load_policy(settings.gates.policy))
    if name not in known:
        raise BadInput(f"--suite {name!r} is no gate; use one of {', '.join(known)}")
    return known[name]


def _suite(names: list[str] | None, settings: Settings) -> Suite:
    return dataset_suite(names, settings) if names else lake_suite(settings.lake)


def _champion(
    arguments: argparse.Namespace, settings: Settings
) -> tuple[Contender | None, str | None]:
    """The champion to compare with, or why there is none.

    A folder can be judged while no registry runs; a version of the registry cannot.
    """
    if arguments.champion == "none":
        return None, NO_CHAMPION
    if arguments.champion:
        return load(arguments.champion, settings), None
    from training.registry import champion_version, connect

    try:
        version = champion_version(connect(settings))
    except (ServiceUnavailable, MissingPart):
        if Path(arguments.model).is_dir():
            return None, f"{NO_CHAMPION} (the registry does not answer)"
        raise
    return (None, NO_CHAMPION) if version is None else (load(version.uri, settings), None)
