"""How many labels each way of choosing needs, beside random and beside small-text.

    make bench-sampling        (or: python -m tests.performance.bench_sampling)

For each set and seed a grouped 30 % is the test (YouTube: the later part, in time order), the rest
is the pool to label in batches that grow by 10 %. Labels needed: the first size from which the
mean curve over the seeds stays at 99 % of the average precision with the whole pool labelled, up to
one and a half times that size. Intervals are 95 %, from drawing the seeds again. Every label
counts, the audit's and the first batch's too. The portfolio's prior shares were set after looking
at SMS and SpamAssassin: its figures there are optimistic.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from data_contracts.config import Settings, load_settings
from data_contracts.files import write_atomically
from pipelines.assets import asset, asset_file
from pipelines.catalogue import dataset, read_labelled
from pipelines.features.text.embedding_cache import CachedEncoder
from pipelines.features.text.encoder import OnnxEncoder
from tests.performance.provenance import commit
from tests.performance.sampling_lab import Bench, Corpus, learning_curve
from tests.performance.sampling_strategies import RIVALS, strategies

SETS = (
    "text_sms_spam_uci", "text_sms_turkish", "text_telegram_chinese", "text_youtube_spam",
    "text_spamassassin",
)  # fmt: skip
IN_TIME = ("text_youtube_spam",)
SEEDS, MOST, WORKERS, RESAMPLES = 5, 2800, 2, 1000
GOAL, STAYS = 0.99, 1.5
FURTHER, FOLLOWED = 20, 620  # labels past random's number, and at most, that others are followed
RANDOM, PORTFOLIO = "random", "portfolio"

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Curves:
    """Quality as a share of the full data's, of one strategy on one set: a row a seed.

    labels: float64[m] on a common grid, shares: float64[seeds, m].
    """

    labels: Floats
    shares: Floats

    @classmethod
    def of(cls, found: Sequence[Sequence[tuple[int, float]]]) -> Curves:
        last = min(curve[-1][0] for curve in found)
        grid = np.unique([size for curve in found for size, _ in curve if size <= last])
        rows = [np.interp(grid, *np.array(curve, np.float64).T) for curve in found]
        return cls(grid.astype(np.float64), np.stack(rows))

    def needed(self, seeds: Sequence[int] | None = None) -> float:
        """Labels at which the mean reaches GOAL and stays; infinity where it does not."""
        chosen = self.shares if seeds is None else self.shares[list(seeds)]
        there = chosen.mean(axis=0) >= GOAL
        for size in self.labels[there]:
            if there[(self.labels >= size) & (self.labels <= STAYS * size)].all():
                return float(size)
        return float("inf")

    def interval(self) -> tuple[float, float]:
        """95 % of `needed` over seeds drawn again."""
        rng, count = np.random.default_rng(0), len(self.shares)
        drawn = [self.needed(rng.integers(count, size=count).tolist()) for _ in range(RESAMPLES)]
        low, high = np.quantile(drawn, [0.025, 0.975], method="nearest")
        return float(low), float(high)

    def areas(self, last: float) -> Floats:
        """float64[seeds]: mean share over the logarithm of labels up to `last`."""
        grid = np.geomspace(self.labels[0], min(last, self.labels[-1]), 100)
        rows = [np.interp(grid, self.labels, row) for row in self.shares]
        return np.stack(rows).mean(axis=1)


Found = dict[tuple[str, str], Curves]  # by set and strategy


def main() -> int:
    arguments = _arguments()
    settings = load_settings()
    began = time.monotonic()
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = "1"  # of the workers, which are spawned: one core each
    names = [name for name in arguments.dataset or SETS if _present(name, settings)]
    if not names:
        print("no dataset of the catalogue is here; set data.root, see README", file=sys.stderr)
        return 2
    corpora = {name: _corpus(name, settings, began) for name in names}
    found, full = _measured(corpora, arguments.strategy, arguments.seeds, began)
    rows = list(_rows(names, found, full, corpora))
    report = {
        "name": "sampling",
        "commit": commit(),
        "seconds": round(time.monotonic() - began, 1),
        "seeds": arguments.seeds,
        "rows": rows,
        "goals": list(_goals(names, found)),
        "curves": [
            {"set": name, "strategy": strategy, "labels": curve.labels.tolist(),
             "mean": curve.shares.mean(axis=0).tolist(), "std": curve.shares.std(axis=0).tolist()}
            for (name, strategy), curve in found.items()
        ],
    }  # fmt: skip
    path = settings.reports / "bench-sampling.json"
    write_atomically(path, orjson.dumps(report, option=orjson.OPT_SERIALIZE_NUMPY))
    from tests.performance.sampling_picture import draw

    print(_table(report))
    print(f"\n{path}\n{draw(report, path.with_suffix('.svg'))}")
    return 0


def _measured(
    corpora: Mapping[str, Corpus], only: Sequence[str] | None, seeds: int, began: float
) -> tuple[Found, dict[str, float]]:
    """Random first, which says how far the others need to be followed."""
    others = [name for name in only or strategies() if name != RANDOM]
    found: Found = {}
    full: dict[str, float] = {}
    with ProcessPoolExecutor(WORKERS, mp_context=get_context("spawn")) as workers:
        for name, corpus in corpora.items():
            runs = [workers.submit(_run, corpus, [RANDOM], seed, MOST) for seed in range(seeds)]
            told = [run.result() for run in runs]
            full[name] = float(np.mean([said for said, _ in told]))
            found[name, RANDOM] = Curves.of([curves[RANDOM] for _, curves in told])
            needed = found[name, RANDOM].needed()
            most = int(min(FOLLOWED, needed + FURTHER))
            runs = [workers.submit(_run, corpus, others, seed, most) for seed in range(seeds)]
            told = [run.result() for run in runs]
            for strategy in others:
                found[name, strategy] = Curves.of([curves[strategy] for _, curves in told])
            _say(began, f"{name}: random needs {needed:g}, all curves to {most} labels")
    return found, full


def _run(
    corpus: Corpus, names: Sequence[str], seed: int, most: int
) -> tuple[float, dict[str, list[tuple[int, float]]]]:
    """Average precision with all labels, and each strategy's curve as shares of it."""
    warnings.simplefilter("ignore")
    bench = Bench.divided(corpus, seed, corpus.name in IN_TIME)
    curves = {}
    for name in names:
        curve = learning_curve(bench, strategies()[name], seed, most)
        curves[name] = [(size, quality / bench.full) for size, quality in curve]
    return bench.full, curves


def _rows(
    names: Sequence[str], found: Found, full: Mapping[str, float], corpora: Mapping[str, Corpus]
) -> Iterator[dict[str, Any]]:
    for name in names:
        random = found[name, RANDOM].needed()
        for (where, strategy), curves in found.items():
            if where == name:
                low, high = curves.interval()
                yield {
                    "set": name, "strategy": strategy, "events": len(corpora[name].is_spam),
                    "full_average_precision": full[name], "labels": _plain(curves.needed()),
                    "low": _plain(low), "high": _plain(high),
                    "of_random": _plain(curves.needed() / random),
                }  # fmt: skip


def _goals(names: Sequence[str], found: Found) -> Iterator[dict[str, Any]]:
    if (names[0], PORTFOLIO) not in found:
        return
    ratio = {name: _ratio(found, name, PORTFOLIO) for name in names}
    yield {
        "id": "third", "statement": "the portfolio needs at most a third of random's labels",
        "target": "on 4 of 5 sets", "measured": {name: _plain(ratio[name]) for name in names},
        "met": sum(value <= 1 / 3 for value in ratio.values()) >= 4,
    }  # fmt: skip
    behind = {name: _behind(found, name) for name in names}
    yield {
        "id": "never_worse", "statement": "the portfolio's curve is on no set below random's "
        "beyond noise (paired 95 % interval of the mean difference over log labels)",
        "target": "no interval wholly below 0", "measured": behind,
        "met": all(interval["high"] >= 0 for interval in behind.values()),
    }  # fmt: skip
    rivals = [
        f"small-text {rival}" for rival in RIVALS if (names[0], f"small-text {rival}") in found
    ]
    if rivals:
        medians = {rival: float(np.median([_ratio(found, name, rival) for name in names]))
                   for rival in rivals}  # fmt: skip
        best = min(medians, key=lambda rival: medians[rival])
        ours = float(np.median(list(ratio.values())))
        yield {
            "id": "small_text", "statement": "the portfolio needs fewer labels than small-text's "
            f"best ({best}), on the median over the sets of labels as a share of random's",
            "target": f"< {medians[best]:.3f}", "measured": ours, "met": ours < medians[best],
            "rivals": {rival: _plain(value) for rival, value in medians.items()},
        }  # fmt: skip


def _ratio(found: Found, name: str, strategy: str) -> float:
    return found[name, strategy].needed() / found[name, RANDOM].needed()


def _behind(found: Found, name: str) -> dict[str, float]:
    """Mean of portfolio less random over log labels up to random's number, with its interval."""
    from scipy.stats import t

    last = found[name, RANDOM].needed()
    last = last if np.isfinite(last) else float(found[name, RANDOM].labels[-1])
    last = max(last, 2.0 * float(found[name, RANDOM].labels[0]))
    gained = found[name, PORTFOLIO].areas(last) - found[name, RANDOM].areas(last)
    half = t.ppf(0.975, max(len(gained) - 1, 1)) * gained.std(ddof=1) / np.sqrt(len(gained))
    mean = float(gained.mean())
    return {"value": mean, "low": mean - float(half), "high": mean + float(half)}


def _table(report: Mapping[str, Any]) -> str:
    lines = [f"{'set':<23}{'strategy':<36}{'labels for 99 %':<26}{'of random':<11}full AP"]
    lines += [
        f"{row['set']:<23}{row['strategy']:<36}"
        f"{_interval(row):<26}"
        f"{'—' if row['of_random'] is None else format(row['of_random'], '.2f'):<11}"
        f"{row['full_average_precision']:.4f}"
        for row in report["rows"]
    ]
    lines += ["", "goals"]
    lines += [
        f"  {'met' if goal['met'] else 'NOT MET':<8}{goal['statement']} ({goal['target']}): "
        f"{goal['measured']}"
        for goal in report["goals"]
    ]
    return "\n".join(lines)


def _interval(row: Mapping[str, Any]) -> str:
    return f"{_shown(row['labels'])} [{_shown(row['low'])}, {_shown(row['high'])}]"


def _shown(labels: float | None) -> str:
    return "not reached" if labels is None else f"{labels:g}"


def _plain(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _corpus(name: str, settings: Settings, began: float) -> Corpus:
    _say(began, f"{name}: reading, embedding, grouping")
    rows = read_labelled(name, settings.data, settings.cache)
    file = asset_file(settings.data.encoder, settings.data, settings.cache)
    version = asset(settings.data.encoder).sha256
    with CachedEncoder(OnnxEncoder(file), settings.cache / "embeddings", version) as encoder:
        return Corpus.of(name, rows, np.stack([encoder.encode(row.event.text) for row in rows]))


def _present(name: str, settings: Settings) -> bool:
    if (settings.data.root / dataset(name).file).is_file():
        return True
    print(f"{name} is not under {settings.data.root}: left out", file=sys.stderr)
    return False


def _say(began: float, message: str) -> None:
    print(f"{time.monotonic() - began:7.1f} s  {message}", file=sys.stderr, flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--dataset", action="append", choices=SETS, help="may be repeated")
    parser.add_argument(
        "--strategy", action="append", choices=list(strategies()), help="may be repeated"
    )
    parser.add_argument("--seeds", type=int, default=SEEDS)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
