"""The verb `quantise`: variants of the configured encoder, gated, and the best one kept.

Calibration messages come from one grouped fifth of the training rows and never judge; the other
rows measure drift and, by a logistic head out of fold, quality. What is kept,
`data.encoder_variant` can name.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
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
from pipelines.configured_encoder import RESULT, variants_folder
from pipelines.days import days_between
from pipelines.downloads import file_sha256
from pipelines.features.text.token_encoder import Running
from pipelines.features.text.token_engine import TokenEngine, embed_all
from pipelines.features.text.tokens import Tokeniser
from pipelines.near_duplicates import group_related
from pipelines.splits import grouped_folds
from training.labelled_rows import apart_from_cases, check_rows, read_datasets, read_lake
from training.logistic import Floats, fit_logistic
from training.quantisation_gate import Measured, Use, batch_for, best, refusals
from training.quantised_variants import Made, Source, Variant, original, runnable

USES: tuple[Use, ...] = ("quantised", "cuda")
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


@dataclass(frozen=True)
class _Judged:
    variant: Variant
    made: Made
    measured: Measured


def run(arguments: argparse.Namespace, settings: Settings) -> dict[str, Any]:
    """Quantise, judge, keep the best with `quantisation.json`. NothingToDo without fp32."""
    name = settings.data.encoder
    entry = asset(name)
    if entry.precision != "fp32" or not entry.tokenizer or entry.source.kind != "converted":
        raise NothingToDo(
            f"encoder {name} has no fp32 original that takes tokens, so nothing can be quantised; "
            "it is served as it is"
        )
    rows = _rows(arguments, settings)
    original_file, weights, tokeniser = (
        asset_file(part, settings.data, settings.cache)
        for part in (name, entry.source.of, entry.tokenizer)
    )
    folder = variants_folder(name, settings.cache)
    source = Source(original_file, weights, tokeniser, ())
    result = quantise_all(source, rows, folder, seed=settings.training.seed)
    result = {"encoder": name, "original_sha256": entry.sha256, **result}
    write_atomically(folder / RESULT, orjson.dumps(result, option=orjson.OPT_INDENT_2))
    return result


def quantise_all(
    source: Source,
    rows: Sequence[LabelledEvent],
    folder: Path,
    *,
    seed: int,
    clock: Clock = time.process_time,
    variants: Sequence[Variant] | None = None,
) -> dict[str, Any]:
    """Every variant's figures and refusals, and `kept`: the best usable one a use, written.

    `source` brings no calibration messages: they are drawn from `rows`.
    """
    rng = np.random.default_rng(seed)
    drawn = np.sort(rng.permutation(len(rows))[:MOST_ROWS])
    chosen = [rows[at] for at in drawn.tolist()]
    spam = np.array([row.is_spam for row in chosen], bool)
    folds = grouped_folds(group_related(chosen), spam.tolist(), FOLDS, rng)
    tokens = Tokeniser(source.tokeniser).tokens([row.event.text for row in chosen])
    aside = np.flatnonzero(folds != 0)
    calibrating = np.flatnonzero(folds == 0)[:CALIBRATION].tolist()
    source = replace(source, calibration=[tokens[at] for at in calibrating])
    judged = [tokens[at] for at in aside.tolist()]
    before = embed_all(original(source).open(Running("onnxruntime")), judged, 1)
    judging = _Judging(judged, spam[aside], folds[aside], before)
    pace, found = _judged(source, judging, clock, runnable() if variants is None else variants)
    return {
        "calibration_rows": len(calibrating),
        "judging_rows": len(judged),
        "seed": seed,
        "fp32": {
            "average_precision": _head(judging.vectors, judging),
            "messages_a_cpu_second": pace,
        },
        "variants": [
            {**asdict(one.measured), "refused": list(refusals(one.measured))} for one in found
        ],
        "kept": dict(_keep(found, source, folder)),
    }


def _judged(
    source: Source, judging: _Judging, clock: Clock, variants: Sequence[Variant]
) -> tuple[float, list[_Judged]]:
    """The original's rate, and every variant with its figures; all were timed in turns."""
    timed = judging.tokens[:TIMED]
    made = [variant.make(source) for variant in variants]
    engines = [one.open(variant.running) for one, variant in zip(made, variants, strict=True)]
    changed = [changed_by_neighbours(engine, timed) for engine in engines]
    sizes = [batch_for(count, BATCH) for count in changed]
    before = original(source).open(Running("onnxruntime"))
    pace, *paces = rates([(before, 1), *zip(engines, sizes, strict=True)], timed, clock)
    found = []
    for at, (variant, engine) in enumerate(zip(variants, engines, strict=True)):
        vectors = embed_all(engine, judging.tokens, sizes[at])
        measured = Measured(
            variant=variant.name,
            use=variant.use,
            minimum_cosine=float((vectors * judging.vectors).sum(axis=1).min()),
            average_precision_lost=_head(judging.vectors, judging) - _head(vectors, judging),
            changed_by_neighbours=changed[at],
            batch=sizes[at],
            messages_a_cpu_second=paces[at],
        )
        found.append(_Judged(variant, made[at], measured))
    return pace, found


def _keep(
    found: Sequence[_Judged], source: Source, folder: Path
) -> Iterator[tuple[str, dict[str, str] | None]]:
    """Write the best of each use, under a name of its own bytes' making; None where none may."""
    by_name = {one.variant.name: one for one in found}
    for use in USES:
        winner = best([one.measured for one in found], use)
        if winner is None:
            yield use, None
            continue
        kept = by_name[winner.variant]
        path = folder / f"{winner.variant}.zip"
        kept.variant.write(kept.made, source, winner.batch, path)
        yield use, {"variant": winner.variant, "file": path.name, "sha256": file_sha256(path)}


def rates(
    engines: Sequence[tuple[TokenEngine, int]], tokens: Sequence[Sequence[int]], clock: Clock
) -> list[float]:
    """Messages a CPU-second of each engine with its batch, in turns; the median after a warm-up."""
    taken: list[list[float]] = [[] for _ in engines]
    for turn in range(ROUNDS + 1):
        for seconds, (engine, batch) in zip(taken, engines, strict=True):
            began = clock()
            embed_all(engine, tokens, batch)
            if turn:
                seconds.append(clock() - began)
    return [len(tokens) / median(seconds) for seconds in taken]


def changed_by_neighbours(engine: TokenEngine, tokens: Sequence[Sequence[int]]) -> int:
    """How many vectors differ in any bit between batches of eight and batches of one."""
    alone, together = embed_all(engine, tokens, 1), embed_all(engine, tokens, BATCH)
    return int((alone.view(np.uint32) != together.view(np.uint32)).any(axis=1).sum())


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
        rows = apart_from_cases(read_datasets(arguments.dataset, settings), settings.lake).rows
        check_rows(rows, ", ".join(arguments.dataset))
        return rows
    known = lake.days(settings.lake, "labels")
    if not known:
        raise NothingToDo(f"no labels in {settings.lake}; label some events first")
    days = days_between(arguments.lake_days, known, where="the lake's labels")
    rows = apart_from_cases(read_lake(days, settings), settings.lake).rows
    check_rows(rows, f"lake days {days[0]} to {days[-1]}")
    return rows
