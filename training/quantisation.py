"""The verb `quantise`: int8 variants of the configured encoder, gated, and the best one named.

Calibration messages come from one grouped fifth of the training rows and never judge; the other
rows measure drift and, by a logistic head out of fold, quality.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from data_contracts.config import Settings
from data_contracts.errors import BadInput, NothingToDo
from data_contracts.files import write_atomically
from data_contracts.labels import LabelledEvent
from pipelines import lake
from pipelines.assets import asset, asset_file
from pipelines.days import days_between
from pipelines.features.text.token_engine import OnnxRuntimeEngine, TokenEngine, embed_all
from pipelines.features.text.tokens import Tokeniser
from pipelines.near_duplicates import group_related
from pipelines.splits import grouped_folds
from training.labelled_rows import check_rows, read_datasets, read_lake
from training.logistic import Floats, fit_logistic
from training.quantisation_gate import Measured, best, refusals
from training.quantised_variants import VARIANTS, quantise

RESULT = "quantisation.json"
FOLDS, MOST_ROWS, CALIBRATION = 5, 3000, 300
BATCH, TIMED, ROUNDS, RIDGE = 8, 256, 5, 1.0

Vectors = NDArray[np.float32]
Clock = Callable[[], float]


@dataclass(frozen=True)
class _Judging:
    """Rows that judge: their tokens, labels, folds of the head, and the original's vectors."""

    tokens: Sequence[Sequence[int]]
    spam: NDArray[np.bool_]
    folds: NDArray[np.int64]
    vectors: Vectors


def run(arguments: argparse.Namespace, settings: Settings) -> dict[str, Any]:
    """Quantise, judge, write `quantisation.json` beside the variants. NothingToDo without fp32."""
    name = settings.data.encoder
    entry = asset(name)
    if entry.precision != "fp32" or entry.tokenizer is None:
        raise NothingToDo(
            f"encoder {name} has no fp32 original that takes tokens, so nothing can be quantised; "
            "it is served as it is"
        )
    rows = _rows(arguments, settings)
    original = asset_file(name, settings.data, settings.cache)
    tokeniser = Tokeniser(asset_file(entry.tokenizer, settings.data, settings.cache))
    folder = settings.home / "encoders" / name
    result = quantise_all(original, tokeniser, rows, folder, seed=settings.training.seed)
    result = {"encoder": name, "original_sha256": entry.sha256, **result}
    write_atomically(folder / RESULT, orjson.dumps(result, option=orjson.OPT_INDENT_2))
    return result


def quantise_all(
    original: Path,
    tokeniser: Tokeniser,
    rows: Sequence[LabelledEvent],
    folder: Path,
    *,
    seed: int,
    clock: Clock = time.process_time,
) -> dict[str, Any]:
    """Every variant's figures and refusals, and `default`: the best usable one, or None."""
    rng = np.random.default_rng(seed)
    drawn = np.sort(rng.permutation(len(rows))[:MOST_ROWS])
    chosen = [rows[at] for at in drawn.tolist()]
    spam = np.array([row.is_spam for row in chosen], bool)
    folds = grouped_folds(group_related(chosen), spam.tolist(), FOLDS, rng)
    tokens = tokeniser.tokens([row.event.text for row in chosen])
    calibrating = np.flatnonzero(folds == 0)[:CALIBRATION]
    aside = np.flatnonzero(folds != 0)
    before = OnnxRuntimeEngine(original)
    judged = [tokens[at] for at in aside.tolist()]
    judging = _Judging(judged, spam[aside], folds[aside], embed_all(before, judged, BATCH))
    calibration = [tokens[at] for at in calibrating.tolist()]
    engines = {one.name: quantise(one, original, calibration, folder) for one in VARIANTS}
    speeds = rates({"fp32": before, **engines}, judged[:TIMED], clock)
    measured = [_measured(one, engine, judging, speeds[one]) for one, engine in engines.items()]
    winner = best(measured)
    return {
        "calibration_rows": len(calibration),
        "judging_rows": len(judged),
        "seed": seed,
        "fp32": {
            "average_precision": _head(judging.vectors, judging),
            "messages_a_cpu_second": speeds["fp32"],
        },
        "variants": [{**asdict(one), "refused": list(refusals(one))} for one in measured],
        "default": winner.variant if winner else None,
    }


def rates(
    engines: dict[str, TokenEngine], tokens: Sequence[Sequence[int]], clock: Clock
) -> dict[str, float]:
    """Messages a CPU-second of each engine: the median of interleaved rounds, after one to warm."""
    taken: dict[str, list[float]] = {name: [] for name in engines}
    for turn in range(ROUNDS + 1):
        for name, engine in engines.items():
            began = clock()
            embed_all(engine, tokens, BATCH)
            if turn:
                taken[name].append(clock() - began)
    return {name: len(tokens) / median(seconds) for name, seconds in taken.items()}


def changed_by_neighbours(engine: TokenEngine, tokens: Sequence[Sequence[int]]) -> int:
    """How many vectors differ in any bit between batches of eight and batches of one."""
    alone, together = embed_all(engine, tokens, 1), embed_all(engine, tokens, BATCH)
    return int((alone.view(np.uint32) != together.view(np.uint32)).any(axis=1).sum())


def _measured(name: str, engine: TokenEngine, judging: _Judging, rate: float) -> Measured:
    vectors = embed_all(engine, judging.tokens, BATCH)
    return Measured(
        variant=name,
        minimum_cosine=float((vectors * judging.vectors).sum(axis=1).min()),
        average_precision_lost=_head(judging.vectors, judging) - _head(vectors, judging),
        changed_by_neighbours=changed_by_neighbours(engine, judging.tokens[:TIMED]),
        messages_a_cpu_second=rate,
    )


def _head(vectors: Vectors, judging: _Judging) -> float:
    """The average precision of a logistic head on the vectors, out of fold."""
    scores = np.zeros(len(vectors))
    columns, targets = vectors.astype(np.float64), judging.spam.astype(np.float64)
    for fold in np.unique(judging.folds).tolist():
        out = judging.folds == fold
        weights, intercept = fit_logistic(columns[~out], targets[~out], RIDGE)
        scores[out] = columns[out] @ weights + intercept
    return _average_precision(judging.spam, scores)


def _average_precision(spam: NDArray[np.bool_], scores: Floats) -> float:
    from sklearn.metrics import average_precision_score

    return float(average_precision_score(spam, scores))


def _rows(arguments: argparse.Namespace, settings: Settings) -> list[LabelledEvent]:
    if bool(arguments.dataset) == bool(arguments.lake_days):
        raise BadInput("give --dataset NAME|FILE.jsonl (may be repeated), or --lake-days A..B")
    if arguments.dataset:
        rows = read_datasets(arguments.dataset, settings)
        check_rows(rows, ", ".join(arguments.dataset))
        return rows
    known = lake.days(settings.lake, "labels")
    if not known:
        raise NothingToDo(f"no labels in {settings.lake}; label some events first")
    days = days_between(arguments.lake_days, known, where="the lake's labels")
    rows = read_lake(days, settings)
    check_rows(rows, f"lake days {days[0]} to {days[-1]}")
    return rows
