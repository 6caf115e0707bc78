"""Quantised sentence encoders beside their fp32 original: speed, drift and quality.

    make bench-encoders        (or: python -m tests.performance.bench_encoders)

MiniLM-L6 is the encoder that has an fp32 original. Every system is given the same texts, eight at
a time in the order in which they come, and turns them into vectors; tokenising is counted. torch
pads to the longest of the eight, as sentence-transformers does; a row of its own shows it with all
texts known beforehand and sorted by tokens, which a server cannot do. Speed is messages a
CPU-second (user and system, one thread each), the median of ROUNDS interleaved rounds after a few
messages to warm up, on each of TRAFFIC. Drift is the cosine to the original, and quality the
average precision of a logistic head out of fold, both on messages that did not calibrate;
near-duplicates are on one side of every split, and intervals are 95 % from a bootstrap of whole
groups, paired. The encoder that the default configuration serves stands in the same table, as it
is served: one text at a time. It has no fp32 original, so no drift of it can be told.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np
import orjson

from data_contracts.config import Settings, load_settings
from data_contracts.files import write_atomically
from data_contracts.labels import LabelledEvent
from evaluation.metrics import Floats, Integers, average_precision, paired_bootstrap
from pipelines.assets import asset_file
from pipelines.catalogue import read_labelled
from pipelines.configured_encoder import encoder_file
from pipelines.features.text.token_encoder import encoder_of
from pipelines.features.text.tokens import Tokeniser
from pipelines.near_duplicates import group_related
from pipelines.splits import grouped_folds
from tests.performance.encoder_systems import (
    BATCH,
    ORT_FP32,
    TORCH,
    TORCH_SORTED,
    System,
    Vectors,
    sorted_by_length,
    systems,
)
from tests.performance.provenance import commit
from training.logistic import fit_logistic
from training.quantisation_gate import LEAST_COSINE, MOST_PRECISION_LOST
from training.quantised_variants import Source

MINILM, ENGLISH, MAILS = "minilm-l6", "text_sms_spam_uci", "text_spamassassin"
SHORT = (ENGLISH, "text_sms_turkish", "text_telegram_chinese", "text_youtube_spam")
DRAWN = {**dict.fromkeys(SHORT, 650), MAILS: 100}  # a mail costs as much as ten messages
CALIBRATION, TIMED, ALONE = 60, 96, 10  # ALONE: every tenth message is encoded by itself, too
SEED, FOLDS, ROUNDS, RIDGE, RESAMPLES = 20_260_105, 5, 5, 1.0, 300
LEAST_TIMES = 5.0
TRAFFIC: Mapping[str, Sequence[str]] = {
    "short messages": SHORT,
    "short messages and mails": (*SHORT, MAILS),
    "English SMS": (ENGLISH,),
}


@dataclass(frozen=True)
class Sample:
    """Messages with the group of each; those of fold 0 calibrate, the others judge."""

    rows: Sequence[LabelledEvent]
    groups: Integers
    folds: Integers

    def texts(self, chosen: Integers) -> list[str]:
        return [self.rows[at].event.text for at in chosen.tolist()]

    @property
    def judging(self) -> Integers:
        return np.flatnonzero(self.folds != 0)

    def traffic(self, sets: Sequence[str], rng: np.random.Generator) -> list[str]:
        """TIMED messages that judge, drawn alike from each of `sets`, in a random order."""
        parts = [
            rng.permutation([at for at in self.judging if self.rows[at].dataset == name])
            for name in sets
        ]
        return self.texts(rng.permutation(np.concatenate([p[: TIMED // len(sets)] for p in parts])))


@dataclass(frozen=True)
class Drift:
    """Beside the original on the messages that judge; `differ`: alone, and among eight."""

    minimum: float
    first_percentile: float
    scores: Floats
    differ: int


def main() -> int:
    settings = load_settings()
    sample = _sample(settings)
    source = _source(settings, sample)
    _say(f"{len(sample.judging)} messages judge; quantising with {len(source.calibration)} others")
    found = list(systems(source))
    by_name = {one.name: one for one in found}
    texts = sample.texts(sample.judging)
    _say("drift and quality")
    reference = by_name[ORT_FP32].encode_all(texts)
    head = _head(reference, sample)
    drifts = {one.name: _drift(one, texts, reference, sample) for one in found if one.is_int8}
    kept = _kept(drifts, found)
    default = System(settings.data.encoder, _one_by_one(settings))
    timed = [*found, default]
    if kept:
        timed.insert(-1, sorted_by_length(kept, Tokeniser(source.tokeniser)))
    speeds = _speeds(timed, sample)
    report = {
        "name": "encoders",
        "commit": commit(),
        "judging_messages": len(texts),
        "calibration_messages": len(source.calibration),
        "average_precision_fp32": average_precision(_labels(sample), head),
        "torch_and_reference_cosine": _closeness(by_name[TORCH], texts, reference),
        "default": default.name,
        "rows": [_row(one, speeds[one.name], drifts.get(one.name), head, sample) for one in timed],
    }
    report["goals"] = list(_goals({row["system"]: row for row in report["rows"]}, kept))
    path = settings.reports / "bench-encoders.json"
    write_atomically(path, orjson.dumps(report, option=orjson.OPT_INDENT_2))
    print(_table(report))
    print(path)
    return 0


def _sample(settings: Settings) -> Sample:
    rng = np.random.default_rng(SEED)
    rows: list[LabelledEvent] = []
    for name, count in DRAWN.items():
        known = read_labelled(name, settings.data, settings.cache)
        rows += [known[at] for at in np.sort(rng.permutation(len(known))[:count]).tolist()]
    groups = group_related(rows)
    balance = [f"{row.dataset} {row.label}" for row in rows]
    return Sample(rows, groups, grouped_folds(groups, balance, FOLDS, rng))


def _source(settings: Settings, sample: Sample) -> Source:
    tokeniser = asset_file("minilm-l6-tokenizer", settings.data, settings.cache)
    calibrating = np.flatnonzero(sample.folds == 0)
    drawn = np.random.default_rng(SEED).permutation(calibrating)[:CALIBRATION]
    return Source(
        original=asset_file(MINILM, settings.data, settings.cache),
        weights=asset_file("minilm-l6-torch", settings.data, settings.cache),
        tokeniser=tokeniser,
        calibration=Tokeniser(tokeniser).tokens(sample.texts(drawn)),
    )


def _one_by_one(settings: Settings) -> Callable[[Sequence[str]], Vectors]:
    encoder = encoder_of(encoder_file(settings.data, settings.cache))
    return lambda texts: np.array([encoder.encode(text) for text in texts], np.float32)


def _drift(one: System, texts: Sequence[str], reference: Vectors, sample: Sample) -> Drift:
    _say(f"  {one.name}")
    vectors = one.encode_all(texts)
    cosines = (vectors * reference).sum(axis=1)
    alone = np.concatenate([one.encode([text]) for text in texts[::ALONE]])
    differ = int((alone != vectors[::ALONE]).any(axis=1).sum())
    low = float(np.percentile(cosines, 1))
    _say(f"    minimum cosine {cosines.min():.4f}, 1 % {low:.4f}; {differ} moved by neighbours")
    return Drift(float(cosines.min()), low, _head(vectors, sample), differ)


def _closeness(one: System, texts: Sequence[str], reference: Vectors) -> float:
    """The minimum cosine of torch and the reference engine, on a part of the messages."""
    vectors = one.encode_all(texts[::ALONE])
    return float((vectors * reference[::ALONE]).sum(axis=1).min())


def _head(vectors: Vectors, sample: Sample) -> Floats:
    """Log-odds by a logistic head on the vectors of the messages that judge, out of fold."""
    folds, spam = sample.folds[sample.judging], _labels(sample).astype(np.float64)
    columns, scores = vectors.astype(np.float64), np.zeros(len(vectors))
    for fold in range(1, FOLDS):
        out = folds == fold
        weights, intercept = fit_logistic(columns[~out], spam[~out], RIDGE)
        scores[out] = columns[out] @ weights + intercept
    return scores


def _labels(sample: Sample) -> Any:
    return np.array([sample.rows[at].is_spam for at in sample.judging.tolist()], bool)


def _kept(drifts: Mapping[str, Drift], found: Sequence[System]) -> System | None:
    """The first variant that drifts little enough and that no neighbour moves."""
    usable = (
        one
        for one in found
        if one.name in drifts
        and drifts[one.name].minimum >= LEAST_COSINE
        and not drifts[one.name].differ
    )
    return next(usable, None)


def _speeds(timed: Sequence[System], sample: Sample) -> dict[str, dict[str, float]]:
    """Messages a CPU-second by system and traffic; the systems take turns."""
    rng = np.random.default_rng(SEED)
    found: dict[str, dict[str, float]] = {one.name: {} for one in timed}
    for traffic, sets in TRAFFIC.items():
        texts = sample.traffic(sets, rng)
        _say(f"speed: {traffic}, {ROUNDS} rounds of {len(texts)} messages")
        _round(timed, texts[:BATCH])
        rounds = [_round(timed, texts) for _ in range(ROUNDS)]
        for one in timed:
            found[one.name][traffic] = len(texts) / median(turn[one.name] for turn in rounds)
    return found


def _round(timed: Sequence[System], texts: Sequence[str]) -> dict[str, float]:
    seconds = {}
    for one in timed:
        began = time.process_time()
        one.encode_all(texts)
        seconds[one.name] = time.process_time() - began
    return seconds


def _row(
    one: System, speeds: Mapping[str, float], drift: Drift | None, head: Floats, sample: Sample
) -> dict[str, Any]:
    row = {
        "system": one.name,
        "is_int8_of_fp32": one.is_int8,
        "messages_a_cpu_second": {name: round(rate, 1) for name, rate in speeds.items()},
    }
    if drift is None:
        return row
    labels = _labels(sample)
    lost = paired_bootstrap(
        lambda weights: (
            average_precision(labels, head, weights)
            - average_precision(labels, drift.scores, weights)
        ),
        sample.groups[sample.judging],
        np.random.default_rng(SEED),
        resamples=RESAMPLES,
    )
    return {
        **row,
        "minimum_cosine": drift.minimum,
        "first_percentile_cosine": drift.first_percentile,
        "average_precision_lost": {"value": lost.value, "low": lost.low, "high": lost.high},
        "changed_by_neighbours": drift.differ,
    }


def _goals(rows: Mapping[str, Any], kept: System | None) -> Iterator[dict[str, Any]]:
    if kept is None:
        yield _goal("variant", "a variant within the limits", "one or more", 0, False)
        return
    row = rows[kept.name]
    for slug, baseline in (("", TORCH), (".sorted", TORCH_SORTED)):
        for number, traffic in enumerate(TRAFFIC):
            ratio = (
                row["messages_a_cpu_second"][traffic]
                / rows[baseline]["messages_a_cpu_second"][traffic]
            )
            yield _goal(
                f"encoders.speed{slug}.{number}",
                f"{kept.name} on {traffic}, eight as they come, beside {baseline}: times as many "
                "a CPU-second",
                f">= {LEAST_TIMES:g}", round(ratio, 2), ratio >= LEAST_TIMES,
            )  # fmt: skip
    low = row["minimum_cosine"]
    yield _goal(
        "encoders.drift", f"{kept.name}: minimum cosine to fp32", f">= {LEAST_COSINE}",
        round(low, 5), low >= LEAST_COSINE,
    )  # fmt: skip
    lost = row["average_precision_lost"]
    yield {
        **_goal(
            "encoders.quality", f"{kept.name}: average precision lost",
            f"<= {MOST_PRECISION_LOST}", lost, lost["value"] <= MOST_PRECISION_LOST,
        ),
        "settled": lost["high"] <= MOST_PRECISION_LOST or lost["low"] > MOST_PRECISION_LOST,
    }  # fmt: skip


def _goal(name: str, statement: str, target: str, measured: Any, met: bool) -> dict[str, Any]:
    return {
        "id": name, "statement": statement, "target": target, "measured": measured, "met": met,
    }  # fmt: skip


def _table(report: Mapping[str, Any]) -> str:
    head = "".join(f"{name:>26}" for name in TRAFFIC)
    lines = [
        f"messages a CPU-second, {BATCH} at a time; {report['judging_messages']:,} messages judge",
        f"{'system':<48}{head}  cosine min / 1 %   average precision lost      by neighbours",
    ]
    torch = next(row for row in report["rows"] if row["system"] == TORCH)
    lines += [_line(row, torch["messages_a_cpu_second"]) for row in report["rows"]]
    lines += [
        f"{'met' if goal['met'] else 'NOT MET':<8}{goal['statement']} ({goal['target']}): "
        f"{_shown(goal['measured'])}"
        f"{'' if goal.get('settled', True) else ', the interval does not settle it'}"
        for goal in report["goals"]
    ]
    return "\n".join(lines)


def _line(row: Mapping[str, Any], torch: Mapping[str, float]) -> str:
    name = row["system"]
    speeds = "".join(
        f"{rate:>18,.0f} ({rate / torch[traffic]:>4.1f}x)"
        for traffic, rate in row["messages_a_cpu_second"].items()
    )
    if "minimum_cosine" not in row:
        return f"{name:<48}{speeds}"
    return (
        f"{name:<48}{speeds}  {row['minimum_cosine']:.4f} / {row['first_percentile_cosine']:.4f}"
        f"   {_shown(row['average_precision_lost']):<28}{row['changed_by_neighbours']}"
    )


def _shown(figure: Any) -> str:
    if not isinstance(figure, Mapping):
        return str(figure)
    value, low, high = (f"{figure[key]:+.4f}" for key in ("value", "low", "high"))
    return f"{value} [{low}, {high}]"


def _say(message: str) -> None:
    print(f"{time.strftime('%H:%M:%S')}  {message}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
