"""A new campaign in a stream of ordinary traffic: how many labels until the filter catches it?

    make bench-sampling-replay        (or: python -m tests.performance.bench_sampling_replay)

Days of 1,000 events: ham of five sets, 10 % known spam, and from the third day on 1 % of a family
of texts whose whole dataset's spam no model has seen. 2 % are reviewed: 20 a day, the same for
every arm. Each day the classifier scores, the arm selects, the truth is revealed; the classifier
is trained again daily for ten days, every second day to the fortieth, then more seldom. Recall is
measured on texts of the family that are never in the traffic, at the threshold that lets through
1 % of 1,500 held-out ham (0.1 % of them would be one odd text), and the false-positive rate on
1,000 others. An arm has reached the goal at the first of three evaluations in a row above 0.9; its
labels count from the day of the planting. Late evaluations lie further apart, which is strict with
slow arms, so the labels at the first single evaluation above 0.9 are told as well. A run that does
not get there within its days is censored: it counts as more than its last number of labels.

A family is a text and its nearest neighbours in the embedding, near-duplicates removed (one text a
group): tight enough to be one campaign, unknown to the first classifier (under a tenth caught), and
learnable (nine tenths and more caught once all planted texts are labelled), or random could never
be compared with. Looser families, where random did not pass 0.9 in 400 days, and families that the
classifier knew already (Turkish offers: it knows English ones), were tried and left out, and one of
Telegram contact numbers for its time. The emergence signal, the order within the adversarial arm
and following the arm that finds evasions were developed on these families with lower seeds: the
ratios are those of a system that was tuned to this kind of campaign. The seeds are fresh.

Campaigns are planted evenly over the day: no burst helps. `flip_share` is absent from the
adversarial arm (it would need an encoder call for each change); its other signals are there. The
portfolio has the shares, floors and worth of production (infra/config), and is shown without the
emergence signal, too.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from data_contracts.config import Labelling, Settings, load_settings
from data_contracts.files import write_atomically
from pipelines.assets import asset, asset_file
from pipelines.catalogue import read_labelled
from pipelines.features.text.embedding_cache import CachedEncoder
from pipelines.features.text.encoder import OnnxEncoder
from pipelines.tables import duckdb_backend
from tests.performance.provenance import commit
from tests.performance.replay_picture import draw
from tests.performance.replay_run import BLIND, PORTFOLIO, RANDOM, Curve, Traffic, replay
from tests.performance.replay_traffic import Corpus, Family, Rates, corpus_of, roles

SETS = (
    "text_sms_spam_uci", "text_sms_turkish", "text_telegram_chinese", "text_youtube_spam",
    "text_spamassassin",
)  # fmt: skip
FAMILIES = (
    Family("Telegram: pictures for sale", "text_telegram_chinese", 4496, 160),
    Family("SpamAssassin: money offers", "text_spamassassin", 746, 120),
    Family("YouTube: visit my channel", "text_youtube_spam", 38, 120),
)
ARMS = (
    RANDOM, "margin", "entropy", "disagreement", "cluster_margin", "representatives", "k_centre",
    "doubt", "novelty", "bursts", "emergence", "recency", "time_sensitive", "adversarial",
    PORTFOLIO, BLIND,
)  # fmt: skip
SEEDS, PROCESSES = 5, 2
FIRST_SEED = 100  # none below was kept from development
DAYS, RANDOM_DAYS = 32, 300
TENTH = 0.1


@dataclass(frozen=True)
class Job:
    """One family and seed: every arm on the same traffic."""

    family: Family
    seed: int
    arms: tuple[str, ...]
    corpus: Path
    labelling: Labelling


def main() -> int:
    arguments = _arguments()
    settings, rates = load_settings(), Rates()
    arms = (RANDOM, *[one for one in arguments.arm or ARMS if one != RANDOM])
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        _say(f"reading, grouping and embedding {', '.join(SETS)}")
        _keep(_corpus(settings), Path(scratch))
        jobs = [
            Job(family, seed, arms, Path(scratch), settings.labelling)
            for seed in range(FIRST_SEED, FIRST_SEED + arguments.seeds)
            for family in FAMILIES
        ]
        curves = [curve for some in _done(jobs, began) for curve in some]
    names = [family.name for family in FAMILIES]
    rows = [_row(curves, family, arm) for family in names for arm in arms]
    report = {
        "name": "sampling-replay",
        "commit": commit(),
        "seconds": round(time.monotonic() - began, 1),
        "seeds": arguments.seeds,
        "rates": asdict(rates) | {"labels_a_day": rates.budget, "planted_a_day": rates.planted},
        "families": [asdict(family) for family in FAMILIES],
        "rows": rows,
        "goals": list(_goals(rows, names)),
        "curves": [_plain(curve) for curve in curves],
    }
    path = settings.reports / "bench-sampling-replay.json"
    write_atomically(path, orjson.dumps(report, option=orjson.OPT_INDENT_2))
    most = DAYS * rates.budget
    picture = draw(report["curves"], names, path.with_suffix(".svg"), most)
    _print(report, names)
    print(f"\n{path}\n{picture}")
    return 0


def _done(jobs: Sequence[Job], began: float) -> Iterator[list[Curve]]:
    with ProcessPoolExecutor(PROCESSES, mp_context=get_context("spawn")) as processes:
        running = {processes.submit(_replayed, job): job for job in jobs}
        for place, one in enumerate(as_completed(running), 1):
            _say(
                f"{time.monotonic() - began:6.0f} s  {place} of {len(jobs)}: {running[one].family}"
            )
            yield one.result()


def _replayed(job: Job) -> list[Curve]:
    """All arms; the days' features are made once."""
    corpus = _kept(job.corpus)
    parts = roles(corpus, job.family, np.random.default_rng([job.seed, job.family.seed_text]))
    with (
        threadpool_limits(1),
        tempfile.TemporaryDirectory() as scratch,
        duckdb_backend(Path(scratch) / "engine", threads=1) as backend,
    ):
        traffic = Traffic(corpus, parts, Rates(), job.seed, Path(scratch), backend, job.labelling)
        return [
            replay(arm, job.family.name, traffic, RANDOM_DAYS if arm == RANDOM else DAYS)
            for arm in job.arms
        ]


def _row(curves: Sequence[Curve], family: str, arm: str) -> dict[str, Any]:
    """Median and restricted mean of the labels needed over seeds; None where it is censored."""
    own = [curve for curve in curves if curve.family == family and curve.arm == arm]
    reached = [curve.reached for curve in own]
    limit = (RANDOM_DAYS if arm == RANDOM else DAYS) * Rates().budget
    bounded = [limit if one is None else one for one in reached]
    return {
        "family": family,
        "arm": arm,
        "median_labels": _median(reached),
        "median_labels_first_pass": _median([curve.passed for curve in own]),
        "restricted_mean_labels": round(float(np.mean(bounded)), 1),
        "limit": limit,
        "runs": len(own),
        "censored": reached.count(None),
        "labels": reached,
        "recall_at_first": round(float(np.mean([one.points[0].recall for one in own])), 3),
        "recall_at_last": round(float(np.mean([one.points[-1].recall for one in own])), 3),
        "family_labels_at_last": round(float(np.mean([one.points[-1].own for one in own])), 1),
        "first_found_at": _first_found(own),
        "false_positive_rate": round(
            float(np.mean([p.false_positive_rate for one in own for p in one.points])), 4
        ),
    }


def _first_found(curves: Sequence[Curve]) -> float | None:
    """Median labels until the first of the family was labelled; None where most found none."""
    return _median(
        [next((point.labels for point in one.points if point.own), None) for one in curves]
    )


def _median(labels: Sequence[int | None]) -> float | None:
    """None where at least half never came so far: the median lies beyond what was tried."""
    median = float(np.median([np.inf if one is None else one for one in labels]))
    return None if np.isinf(median) or np.isnan(median) else median


def _goals(rows: Sequence[Mapping[str, Any]], families: Sequence[str]) -> Iterator[dict[str, Any]]:
    for arm in dict.fromkeys(row["arm"] for row in rows if row["arm"] != RANDOM):
        ratios = [_ratio(rows, family, arm) for family in families]
        if arm == PORTFOLIO:
            for family, ratio in zip(families, ratios, strict=True):
                yield _goal(f"portfolio.{family}", f"portfolio on {family}", ratio)
        yield _goal(f"{arm}.median", f"{arm}, median over families", float(np.median(ratios)))


def _ratio(
    rows: Sequence[Mapping[str, Any]], family: str, arm: str, figure: str = "median_labels"
) -> float:
    """Labels of the arm over random's, medians; infinite where the arm's is censored, and where
    random's is, an upper bound, by the labels that were not enough."""
    own, random = (_find(rows, family, name) for name in (arm, RANDOM))
    if own[figure] is None:
        return float("inf")
    return float(own[figure] / (random[figure] or random["limit"]))


def _find(rows: Sequence[Mapping[str, Any]], family: str, arm: str) -> Mapping[str, Any]:
    return next(row for row in rows if row["family"] == family and row["arm"] == arm)


def _goal(name: str, statement: str, ratio: float) -> dict[str, Any]:
    return {
        "id": f"sampling-replay.{name}",
        "statement": f"{statement}: labels until recall passes 0.9, as a share of random's",
        "target": f"<= {TENTH}",
        "measured": None if np.isinf(ratio) else round(ratio, 3),
        "met": ratio <= TENTH,
    }


def _print(report: Mapping[str, Any], families: Sequence[str]) -> None:
    print(
        f"labels until recall > 0.9 stays: median of {report['seeds']} seeds (runs that did not "
        "get there)"
    )
    for family in families:
        print(f"\n{family}")
        for row in report["rows"]:
            if row["family"] == family:
                _print_row(row, _ratio(report["rows"], family, row["arm"]))
    print("\ngoals")
    for goal in report["goals"]:
        said = "not reached" if goal["measured"] is None else goal["measured"]
        print(f"  {'met' if goal['met'] else 'NOT MET':8}{goal['statement']}: {said}")


def _print_row(row: Mapping[str, Any], ratio: float) -> None:
    median = row["median_labels"]
    reached = f"> {row['limit']}" if median is None else f"{median:g}"
    found = "-" if row["first_found_at"] is None else f"{row['first_found_at']:g}"
    share = "-" if np.isinf(ratio) else f"{ratio:.3f}"
    print(
        f"  {row['arm']:28}{reached:>8} ({row['censored']} of {row['runs']})  ratio {share:>6}"
        f"  first found {found:>5}  recall {row['recall_at_first']:.2f} -> "
        f"{row['recall_at_last']:.2f}  false positives {row['false_positive_rate']:.3f}"
    )


def _plain(curve: Curve) -> dict[str, Any]:
    return {
        "arm": curve.arm,
        "family": curve.family,
        "seed": curve.seed,
        "labels": [point.labels for point in curve.points],
        "own": [point.own for point in curve.points],
        "recall": [round(point.recall, 4) for point in curve.points],
    }


def _corpus(settings: Settings) -> Corpus:
    rows = [row for name in SETS for row in read_labelled(name, settings.data, settings.cache)]
    file = asset_file(settings.data.encoder, settings.data, settings.cache)
    version = asset(settings.data.encoder).sha256
    with CachedEncoder(OnnxEncoder(file), settings.cache / "embeddings", version) as encoder:
        return corpus_of(rows, encoder)


def _keep(corpus: Corpus, folder: Path) -> None:
    """On disk, so that processes share one copy in memory."""
    np.save(folder / "features.npy", corpus.features)
    np.savez(
        folder / "columns.npz",
        width=corpus.width, is_spam=corpus.is_spam, datasets=corpus.datasets,
        languages=corpus.languages,
    )  # fmt: skip


def _kept(folder: Path) -> Corpus:
    with np.load(folder / "columns.npz") as stored:
        return Corpus(
            features=np.load(folder / "features.npy", mmap_mode="r"),
            width=int(stored["width"]),
            is_spam=stored["is_spam"],
            datasets=stored["datasets"],
            languages=stored["languages"],
        )


def _say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--seeds", type=int, default=SEEDS, help="runs of each arm and family")
    parser.add_argument("--arm", action="append", choices=ARMS, help="may be repeated")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
