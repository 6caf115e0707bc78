"""`python -m evaluation gate`: judge one model on one suite and leave the evidence."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson

from data_contracts.config import Settings
from data_contracts.errors import BadInput, MissingPart, ServiceUnavailable
from data_contracts.files import write_atomically
from data_contracts.reports import GateReport
from evaluation.attacks import attacks, media_under
from evaluation.gates import gates
from evaluation.gates.base import Contender, Gate
from evaluation.gates.origin import Origin
from evaluation.gates.parallel_scoring import ParallelAssessor, free_workers
from evaluation.gates.policy import load_policy
from evaluation.gates.score_cache import ScoreCache, cache_file, forget_others
from evaluation.gates.suite import Suite, dataset_suite, golden_cases, lake_suite
from training.artefact_files import MANIFEST

if TYPE_CHECKING:
    from training.ensemble import Ensemble

SEED = 20_260_105
NO_CHAMPION = "no champion: judged by absolute floors alone"
ITSELF = "the model is the champion itself: judged by absolute floors alone"


def run(arguments: argparse.Namespace, settings: Settings) -> dict[str, Any]:
    """Judge, write report and pictures under `{home}/reports/gates/{model}/`; a no is data."""
    _gate(arguments.suite, settings)  # a wrong name fails before anything is loaded
    suite, notes = suite_for(arguments.suite, arguments.dataset, settings)
    with ExitStack() as opened:
        model = load(arguments.model, settings, opened)
        champion, note = _champion(arguments, settings, opened)
        if champion is not None and champion.name == model.name:
            champion, note = None, ITSELF
        notes += [note] if note else []
        return judge(arguments.suite, suite, model, champion, settings, "; ".join(notes) or None)


def suite_for(
    gate: str, datasets: Sequence[str] | None, settings: Settings
) -> tuple[Suite, list[str]]:
    """What a gate asks by default, and notes on what is missing from it.

    The lake's held-out events (or these data sets); the golden gate adds the golden suite, the
    fairness gate the identity sets.
    """
    suite = dataset_suite(datasets, settings) if datasets else lake_suite(settings.lake)
    if gate == "golden":
        return suite.with_cases(golden_cases(settings.lake)), []
    if gate == "fairness":
        from evaluation.gates.fairness_cases import identity_cases

        cases, notes = identity_cases(load_policy(settings.gates.policy).fairness, settings)
        return suite.with_cases(cases), notes
    return suite, []


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
    began = time.monotonic()
    report = gate.judge(suite, model, champion, np.random.default_rng(SEED))
    spent = {"seconds": round(time.monotonic() - began, 1), "scores": _tallies(model, champion)}
    report = replace(
        report,
        reasons=(*report.reasons, *([note] if note else [])),
        details={**report.details, **spent},
    )
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


def load(model: str, settings: Settings, opened: ExitStack | None = None) -> Contender:
    """The ensemble of a folder, an alias or a registry URI: the same that is served.

    With `opened`, which ends what was started, its scores are kept in `{home}/cache/gate-scores`,
    and several processes may make them.
    """
    from training.registry import download

    directory = download(model, settings)
    ensemble = open_ensemble(directory, settings)
    origin = Origin.of(ensemble)
    if opened is None:
        return Contender(ensemble.version, ensemble, origin)
    gates_section = settings.gates
    workers = free_workers(gates_section.workers)
    shared = ParallelAssessor(ensemble, directory, settings, workers, gates_section.parallel_from)
    opened.callback(shared.close)
    stages = settings.ensemble.model_dump_json().encode()
    path = cache_file(settings.cache, ensemble.version, manifest(directory), stages)
    forget_others(path, ensemble.version)
    return Contender(ensemble.version, ScoreCache(shared, path), origin)


def open_ensemble(directory: Path, settings: Settings) -> Ensemble:
    """The ensemble of a folder with the configured stages."""
    from training.ensemble import Ensemble
    from training.stage_sources import stage_sources

    return Ensemble.load(directory, sources=stage_sources(settings))


def manifest(directory: Path) -> bytes:
    """The sums of an artefact's files: every one of them may change an answer."""
    return (directory / MANIFEST).read_bytes()


def _gate(name: str, settings: Settings) -> Gate:
    media = partial(media_under, settings.media_root)
    known = gates(load_policy(settings.gates.policy), attacks(media))
    if name not in known:
        raise BadInput(f"--suite {name!r} is no gate; use one of {', '.join(known)}")
    return known[name]


def _tallies(*models: Contender | None) -> dict[str, dict[str, int]]:
    """Of each model whose scores are kept, how many were known and how many were made."""
    return {
        model.name: asdict(model.assessor.tally)
        for model in models
        if model is not None and isinstance(model.assessor, ScoreCache)
    }


def _champion(
    arguments: argparse.Namespace, settings: Settings, opened: ExitStack | None = None
) -> tuple[Contender | None, str | None]:
    """The champion to compare with, or why there is none.

    A folder can be judged while no registry runs; a version of the registry cannot.
    """
    if arguments.champion == "none":
        return None, NO_CHAMPION
    if arguments.champion:
        return load(arguments.champion, settings, opened), None
    from training.registry import champion_version, connect

    try:
        version = champion_version(connect(settings))
    except (ServiceUnavailable, MissingPart):
        if Path(arguments.model).is_dir():
            return None, f"{NO_CHAMPION} (the registry does not answer)"
        raise
    return (None, NO_CHAMPION) if version is None else (load(version.uri, settings, opened), None)
