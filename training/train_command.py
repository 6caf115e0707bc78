"""The verb `train`: from arguments and settings to a model's folder."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import orjson
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from data_contracts.config import Settings
from data_contracts.errors import BadInput, ConfigurationError, NothingToDo
from data_contracts.files import write_atomically
from data_contracts.labels import LabelledEvent
from data_contracts.protocols import TrialLog
from pipelines import lake, switches
from pipelines.configured_encoder import encoder_file, encoder_version
from pipelines.days import days_between
from pipelines.features.text.embedding_cache import CachedEncoder
from pipelines.features.text.token_encoder import encoder_of
from pipelines.state import open_state
from training.ensemble import Ensemble
from training.labelled_rows import apart_from_cases, check_rows, read_datasets, read_lake
from training.lineage import trace, write_lineage
from training.stage_sources import media_reader, training_stages
from training.train import Plan, Progress, train
from training.tuning import NoTrialLog

LATEST = "latest.json"


@dataclass(frozen=True)
class _Input:
    rows: list[LabelledEvent]
    where: str
    lake_days: tuple[str, ...] = ()
    left_out: int = 0


def run(arguments: argparse.Namespace, settings: Settings) -> dict[str, Any]:
    """Train, save, and say where the model is and how good it is out of fold."""
    began = time.monotonic()
    say = Progress(began)
    if arguments.if_new_labels:
        refuse_while_frozen(settings)
    plan = _plan(arguments, settings)
    given = _apart_from_cases(_read(arguments, settings), settings)
    if given.left_out:
        say(f"left out {given.left_out} labelled events that resemble golden cases")
    check_rows(given.rows, given.where)
    if arguments.if_new_labels:
        _require_new_labels(len(given.rows), settings)
    file = encoder_file(settings.data, settings.cache)
    cache = CachedEncoder(
        encoder_of(file),
        settings.cache / "embeddings",
        encoder_version(settings.data, settings.cache),
    )
    with _trial_log(arguments.tracking, settings, given) as (log, run_id), cache as encoder:
        with (
            threadpool_limits(1),
            media_reader(settings) as media,
            training_stages(settings, media) as stages,
        ):
            ensemble = train(given.rows, encoder, file, plan, log, say, stages)
        _log_quality(log, ensemble)
    output = arguments.output or settings.home / "models" / ensemble.version
    ensemble.save(output)
    write_lineage(output, trace(settings, given.lake_days, ensemble.training["datasets"]))
    if given.lake_days:
        _remember(settings, len(given.rows), output)
    say(f"saved {output}")
    return {
        "model": str(output),
        "model_version": ensemble.version,
        "run_id": run_id,
        "trials": ensemble.training["trials"],
        "rows": ensemble.training["rows"],
        "left_out": given.left_out,
        "datasets": ensemble.training["datasets"],
        "lake_days": given.lake_days,
        "quality_out_of_fold": ensemble.training["quality_out_of_fold"],
        "seconds": round(time.monotonic() - began, 1),
    }


def refuse_while_frozen(settings: Settings) -> None:
    """No scheduled training while incident response holds `freeze_training`; by hand one may.

    Raises NothingToDo, so that the step is skipped, and ServiceUnavailable where nobody can tell.
    """
    held = switches.holds(open_state(settings.state_url), switches.FREEZE_TRAINING)
    if held:
        raise NothingToDo(
            f"training is frozen: {'; '.join(str(one) for one in held)}. It is lifted with the "
            "incident: python -m serving incidents list"
        )


def _plan(arguments: argparse.Namespace, settings: Settings) -> Plan:
    training = settings.training
    trials = training.trials if arguments.trials is None else arguments.trials
    if not 0 <= trials <= 1000:
        raise ConfigurationError(f"--trials {trials} is not between 0 and 1000; 0 tries no search")
    return Plan(
        trials=trials,
        folds=training.folds,
        seed=training.seed if arguments.seed is None else arguments.seed,
        target_false_positive_rate=training.target_false_positive_rate,
        studies=settings.home / "studies",
        search_seconds=training.search_seconds,
        hardening=training.hardening,
        fusion_tokens=arguments.fusion_tokens,
    )


def _read(arguments: argparse.Namespace, settings: Settings) -> _Input:
    if bool(arguments.dataset) == bool(arguments.lake_days):
        raise BadInput("give --dataset NAME|FILE.jsonl (may be repeated), or --lake-days A..B")
    if arguments.dataset:
        rows = read_datasets(arguments.dataset, settings)
        return _Input(rows, ", ".join(arguments.dataset))
    known = lake.days(settings.lake, "labels")
    if not known:
        raise NothingToDo(f"no labels in {settings.lake}; label some events first")
    days = days_between(arguments.lake_days, known, where="the lake's labels")
    return _Input(read_lake(days, settings), f"lake days {days[0]} to {days[-1]}", tuple(days))


def _apart_from_cases(given: _Input, settings: Settings) -> _Input:
    """What the gates ask about is no training data, wherever it was read from."""
    rows, left_out = apart_from_cases(given.rows, settings.lake)
    return replace(given, rows=rows, left_out=left_out)


def _require_new_labels(labels: int, settings: Settings) -> None:
    path = settings.home / "models" / LATEST
    before = int(orjson.loads(path.read_bytes())["labels"]) if path.is_file() else 0
    fewest = settings.training.minimum_new_labels
    if labels - before < fewest:
        raise NothingToDo(
            f"{labels - before} labels are new since the last training, fewer than "
            f"training.minimum_new_labels = {fewest}"
        )


def _remember(settings: Settings, labels: int, output: Path) -> None:
    record = orjson.dumps({"labels": labels, "model": str(output)})
    write_atomically(settings.home / "models" / LATEST, record)


@contextmanager
def _trial_log(
    tracking: bool, settings: Settings, given: _Input
) -> Iterator[tuple[TrialLog, str | None]]:
    """Nested MLflow runs where asked for, else nothing."""
    if not tracking:
        yield NoTrialLog(), None
        return
    from training.registry import connect, training_run

    with training_run(connect(settings), f"{given.where}: train"[:80]) as log:
        yield log, log.run_id


def _log_quality(log: TrialLog, ensemble: Ensemble) -> None:
    from_registry = getattr(log, "log", None)
    if from_registry is None:
        return
    figures: Sequence[dict[str, Any]] = ensemble.training["quality_out_of_fold"]
    metrics = {
        f"{figure['dataset']}.{name}": value
        for figure in figures
        for name, value in figure.items()
        if isinstance(value, float)
    }
    from_registry(parameters=ensemble.training["parameters"], metrics=metrics)
