"""How well Weir tells spam from ham, beside two baselines, on rows that no model saw.

    make bench-quality        (or: python -m tests.performance.bench_quality [--part NAME])

Text first, then the other PARTS: each is a module of its own that says how it measures.

Near-duplicates and rows of one author are grouped over all sets; a fifth of the groups is the
test. Thresholds for 0.1 % false positives come from out-of-fold scores of the training rows. Weir
is one model trained on all sets together (and, as a second column, a model a set) and is not
told the set of a row; both baselines are given a threshold of their own for each set. Intervals
are 95 %: Clopper-Pearson for rates, a bootstrap of whole groups for average precision and for
the paired differences.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import sys
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from data_contracts.config import Settings, load_settings
from data_contracts.errors import MissingPart
from data_contracts.files import write_atomically
from data_contracts.labels import LabelledEvent
from evaluation.gates.base import Answers, Contender, answers
from evaluation.metrics import (
    Booleans,
    Estimate,
    Floats,
    Integers,
    average_precision,
    clopper_pearson,
    f1,
    paired_bootstrap,
    recall_at,
    recall_below_false_positive_rate,
    roc_auc,
)
from pipelines.assets import asset, asset_file
from pipelines.catalogue import dataset, read_labelled
from pipelines.features.text.embedding_cache import CachedEncoder
from pipelines.features.text.encoder import OnnxEncoder, TextEncoder
from pipelines.near_duplicates import group_related
from pipelines.splits import grouped_folds
from tests.performance.provenance import commit
from tests.performance.quality_baselines import (
    Baseline,
    Scores,
    Split,
    bogofilter,
    cached,
    tfidf_logistic_regression,
)
from tests.performance.quality_parts import Part
from tests.performance.quality_tables import as_page, as_text, shown
from training.ensemble import Ensemble
from training.train import Plan, train
from training.tuning import NoTrialLog

SETS = (
    "text_sms_spam_uci", "text_sms_turkish", "text_telegram_chinese", "text_youtube_spam",
    "text_spamassassin",
)  # fmt: skip
CROSS_TRAINING, CROSS_TEST = ("text_sms_spam_uci", "text_youtube_spam"), "text_spamassassin"
SEED, FOLDS, TEST_FOLDS, RATE, RESAMPLES = 20_260_105, 5, 5, 0.001, 1000
ALL_SETS, THIS_SET, ACROSS = "all sets", "this set", "across corpora"
WEIR, TFIDF, BOGOFILTER = "Weir", "TF-IDF + LR", "bogofilter"
MARGIN, WEAK_RECALL, CROSS_AUC, FEWEST_CAUGHT = 0.001, 0.95, 0.85, 0.90
TEXT = "text"
PARTS = (  # modules `tests.performance.quality_{part}`
    "text_languages", "intent", "images", "near_duplicate_images", "near_duplicate_videos",
    "behaviour", "malformed_media", "malformed_verdicts", "composed",
)  # fmt: skip


@dataclass(frozen=True)
class Rows:
    """Rows with the group of each, `groups: int64[n]`, and whether it is for training."""

    rows: tuple[LabelledEvent, ...]
    groups: Integers
    trained: Booleans

    def where(self, chosen: Booleans) -> Rows:
        kept = tuple(row for row, keep in zip(self.rows, chosen, strict=True) if keep)
        return Rows(kept, self.groups[chosen], self.trained[chosen])

    def of(self, *names: str) -> Rows:
        return self.where(np.array([row.dataset in names for row in self.rows], dtype=bool))

    @property
    def training(self) -> Rows:
        return self.where(self.trained)

    @property
    def test(self) -> Rows:
        return self.where(~self.trained)

    @property
    def labels(self) -> Booleans:
        return np.array([row.is_spam for row in self.rows], dtype=bool)

    @property
    def texts(self) -> list[str]:
        return [row.event.text for row in self.rows]


@dataclass(frozen=True)
class Judged:
    """One system's answers on one set's test rows: scores, and what its thresholds catch."""

    system: str
    trained_on: str
    training_rows: int
    test: Rows
    scores: Floats
    positive: Booleans
    best_f1: Booleans


@dataclass(frozen=True)
class Laboratory:
    """What trainings share: settings, the encoder with its cache, and the search's size."""

    settings: Settings
    encoder: TextEncoder
    encoder_file: Path
    trials: int
    began: float
    baselines: Mapping[tuple[str, str], Future[Scores]]

    def say(self, message: str) -> None:
        print(f"{time.monotonic() - self.began:7.1f} s  {message}", file=sys.stderr, flush=True)

    def trained(self, rows: Rows) -> Ensemble:
        plan = Plan(
            trials=self.trials,
            folds=FOLDS,
            seed=self.settings.training.seed,
            target_false_positive_rate=RATE,
            studies=self.settings.cache / "bench-quality" / "studies",
            hardening=self.settings.training.hardening,
        )
        silent = lambda message: None  # noqa: E731
        return train(rows.rows, self.encoder, self.encoder_file, plan, NoTrialLog(), silent)

    def baseline(self, system: str, trained_on: str) -> Scores:
        """Waits for the second process. MissingPart where the program is not installed."""
        return self.baselines[system, trained_on].result()


def main() -> int:
    arguments = _arguments()
    settings = load_settings()
    warnings.simplefilter("ignore")
    names = [name for name in arguments.dataset or SETS if _present(name, settings)]
    if not names:
        print("no dataset of the catalogue is here; set data.root, see README", file=sys.stderr)
        return 2
    began = time.monotonic()
    wanted = arguments.part or ([TEXT] if arguments.dataset else [TEXT, *PARTS])
    text = _text(names, settings, arguments.trials, began) if TEXT in wanted else TextFigures()
    parts = list(_parts([name for name in wanted if name != TEXT], settings, began))
    _write(settings, text, parts, arguments.trials, began)
    return 0


@dataclass(frozen=True)
class TextFigures:
    """The rows of the text sets, those across corpora, and the goals that they meet."""

    rows: Sequence[Mapping[str, Any]] = ()
    across_corpora: Sequence[Mapping[str, Any]] = ()
    goals: Sequence[Mapping[str, Any]] = ()


def _text(names: Sequence[str], settings: Settings, trials: int, began: float) -> TextFigures:
    print(f"reading and grouping {', '.join(names)}", file=sys.stderr, flush=True)
    rows = _divided(names, settings)
    with _laboratory(settings, trials, rows, names, began) as laboratory:
        judged = [*_together(rows, names, laboratory), *_apart(rows, names, laboratory)]
        figures = [_figures(one) for one in judged]
        cross = _across(rows, laboratory) if _crosses(names) else []
        laboratory.say("comparing")
        goals = [*_goals(judged), *_recall_goals(judged), *_cross_goals(cross)]
    return TextFigures(figures, cross, goals)


def _parts(names: Sequence[str], settings: Settings, began: float) -> Iterator[Part]:
    """Each part in turn; one whose data are absent is left out, and named."""
    for name in names:
        say = partial(_say, began, name)
        try:
            yield import_module(f"tests.performance.quality_{name}").measure(settings, say)
        except MissingPart as missing:
            say(f"left out: {missing}")


def _say(began: float, name: str, message: str) -> None:
    seconds = time.monotonic() - began
    print(f"{seconds:7.1f} s  {name}: {message}", file=sys.stderr, flush=True)


def _together(rows: Rows, names: Sequence[str], laboratory: Laboratory) -> Iterator[Judged]:
    """One model trained on all sets' training rows, judged on each set."""
    training = rows.training
    laboratory.say(f"{WEIR}: {len(training.rows)} rows of all sets")
    ensemble = laboratory.trained(training)
    laboratory.say(f"{TFIDF}: {len(training.rows)} rows of all sets")
    scores = laboratory.baseline(TFIDF, ALL_SETS)
    for name in names:
        test = rows.of(name).test
        yield _weir(ensemble, ALL_SETS, training, test, name)
        own = np.array([row.dataset == name for row in training.rows], dtype=bool)
        tested = np.array([row.dataset == name for row in rows.test.rows], dtype=bool)
        part = Scores(scores.out_of_fold[own], scores.test[tested])
        yield _baseline(TFIDF, ALL_SETS, training.where(own), test, part, len(training.rows))


def _apart(rows: Rows, names: Sequence[str], laboratory: Laboratory) -> Iterator[Judged]:
    """A model a set."""
    for name in names:
        training, test = rows.of(name).training, rows.of(name).test
        laboratory.say(f"{name}: a model of its own from {len(training.rows)} rows")
        yield _weir(laboratory.trained(training), THIS_SET, training, test, name)
        scores = laboratory.baseline(TFIDF, name)
        yield _baseline(TFIDF, THIS_SET, training, test, scores, len(training.rows))
        try:
            scores = laboratory.baseline(BOGOFILTER, name)
        except MissingPart as missing:
            laboratory.say(str(missing))
            continue
        yield _baseline(BOGOFILTER, THIS_SET, training, test, scores, len(training.rows))


def _across(rows: Rows, laboratory: Laboratory) -> list[dict[str, Any]]:
    """Trained on short messages, judged on mail: does the model know spam, or a set?"""
    training, test = rows.of(*CROSS_TRAINING), rows.of(CROSS_TEST)
    laboratory.say(f"across corpora: {len(training.rows)} rows, judged on {len(test.rows)} mails")
    weir = _said(laboratory.trained(training), test)
    tfidf = laboratory.baseline(TFIDF, ACROSS)
    given = {WEIR: weir.scores, TFIDF: tfidf.test}
    return [
        {
            "system": system,
            "trained_on": " + ".join(CROSS_TRAINING),
            "test": CROSS_TEST,
            "training_rows": len(training.rows),
            "test_rows": len(test.rows),
            "auc": _plain(_bootstrapped(roc_auc, test, scores)),
            "average_precision": _plain(_bootstrapped(average_precision, test, scores)),
        }
        for system, scores in given.items()
    ]


def _weir(ensemble: Ensemble, trained_on: str, training: Rows, test: Rows, name: str) -> Judged:
    said = _said(ensemble, test)
    stored = np.load(io.BytesIO(ensemble.parts.out_of_fold), allow_pickle=False)
    own = stored["datasets"] == name
    cut = _best_f1_threshold(stored["targets"][own] == 1, stored["scores"][own])
    size = len(training.rows)
    return Judged(WEIR, trained_on, size, test, said.scores, said.positive, said.scores >= cut)


def _said(ensemble: Ensemble, test: Rows) -> Answers:
    return answers(Contender(WEIR, ensemble), [row.event for row in test.rows])


def _baseline(
    system: str, trained_on: str, training: Rows, test: Rows, scores: Scores, size: int
) -> Judged:
    cut = _quantile_threshold(scores.out_of_fold[~training.labels], RATE)
    best = _best_f1_threshold(training.labels, scores.out_of_fold)
    positive, best_f1 = scores.test >= cut, scores.test >= best
    return Judged(system, trained_on, size, test, scores.test, positive, best_f1)


def _quantile_threshold(ham: Floats, rate: float) -> float:
    """The lowest threshold that at most a `rate` share of the ham reaches."""
    allowed = int(rate * len(ham))
    return float(np.nextafter(np.sort(ham)[::-1][allowed], np.inf))


def _best_f1_threshold(labels: Booleans, scores: Floats) -> float:
    """The score at which F1 is highest, ties moving together."""
    order = np.argsort(-scores, kind="stable")
    right, flagged = np.cumsum(labels[order]), np.arange(1, len(scores) + 1)
    values = np.where(
        np.append(np.diff(scores[order]) != 0, True), 2 * right / (flagged + labels.sum()), 0.0
    )
    return float(scores[order][int(np.argmax(values))])


def _figures(one: Judged) -> dict[str, Any]:
    labels, test = one.test.labels, one.test
    ham = ~labels
    false_positives = int((one.positive & ham).sum())
    return {
        "set": test.rows[0].dataset,
        "system": one.system,
        "trained_on": one.trained_on,
        "training_rows": one.training_rows,
        "test_rows": len(test.rows),
        "test_spam": int(labels.sum()),
        "average_precision": _plain(_bootstrapped(average_precision, test, one.scores)),
        "f1": f1(labels, one.best_f1),
        "recall_at_0.1%": _plain(
            clopper_pearson(int((one.positive & labels).sum()), int(labels.sum()))
        ),
        "false_positive_rate_reached": _plain(clopper_pearson(false_positives, int(ham.sum()))),
        "auc": roc_auc(labels, one.scores),
    }


def _goals(judged: Sequence[Judged]) -> Iterator[dict[str, Any]]:
    """The issue's goals for the main table: one model for all sets against the baseline."""
    main = [one for one in judged if one.trained_on == ALL_SETS]
    for weir, baseline in zip(main[::2], main[1::2], strict=True):
        name, labels = weir.test.rows[0].dataset, weir.test.labels
        gained = _paired(
            weir.test,
            lambda w, a=weir, b=baseline, y=labels: (
                average_precision(y, a.scores, w) - average_precision(y, b.scores, w)
            ),
        )
        yield _goal(
            f"{name}.average_precision", f"average precision on {name} not worse than {TFIDF}'s "
            f"by more than {MARGIN}", f"difference >= -{MARGIN}", gained, -MARGIN,
        )  # fmt: skip
        if recall_at(labels, baseline.positive) >= WEAK_RECALL:
            continue
        yield _goal(
            f"{name}.better_average_precision", f"average precision on {name} better than "
            f"{TFIDF}'s", "difference > 0", gained, 0.0,
        )  # fmt: skip
        ahead = _paired(
            weir.test,
            lambda w, a=weir, b=baseline, y=labels: (
                recall_at(y, a.positive, w) - recall_at(y, b.positive, w)
            ),
        )
        goal = _goal(
            f"{name}.recall", f"recall on {name} at the 0.1 % threshold ahead of {TFIDF}'s",
            "difference > 0", ahead, 0.0,
        )  # fmt: skip
        yield goal if goal["met"] else {**goal, "cause": _cause(weir, baseline)}


def _recall_goals(judged: Sequence[Judged]) -> Iterator[dict[str, Any]]:
    """The whole ensemble on each set: at least FEWEST_CAUGHT of the spam at the 0.1 % threshold."""
    for one in judged:
        if (one.system, one.trained_on) != (WEIR, ALL_SETS):
            continue
        labels = one.test.labels
        caught = clopper_pearson(int((one.positive & labels).sum()), int(labels.sum()))
        name = one.test.rows[0].dataset
        yield {
            "id": f"{name}.recall_at_0.1%",
            "statement": f"recall on {name} at the 0.1 % threshold",
            "target": f">= {FEWEST_CAUGHT}",
            "measured": _plain(caught),
            "met": caught.value >= FEWEST_CAUGHT,
            "settled": not caught.low < FEWEST_CAUGHT <= caught.high,
        }


def _cause(weir: Judged, baseline: Judged) -> str:
    """Whether the order of the rows or the place of the threshold is to blame."""
    labels = weir.test.labels
    said = (
        f"{one.system} catches {recall_at(labels, one.positive):.3f} with "
        f"{int((one.positive & ~labels).sum())} false positives, and could catch "
        f"{recall_below_false_positive_rate(labels, one.scores, RATE):.3f} within {RATE:.1%} "
        "of this ham"
        for one in (weir, baseline)
    )
    return "; ".join(said)


def _cross_goals(cross: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    for row in cross:
        if row["system"] == WEIR:
            yield {
                "id": "across_corpora.auc",
                "statement": f"trained on SMS and YouTube, AUC on {CROSS_TEST} above {CROSS_AUC}",
                "target": f"> {CROSS_AUC}",
                "measured": row["auc"],
                "met": row["auc"]["value"] > CROSS_AUC,
                "settled": not row["auc"]["low"] <= CROSS_AUC < row["auc"]["high"],
            }


def _goal(
    identity: str, statement: str, target: str, measured: Estimate, bound: float
) -> dict[str, Any]:
    """Met by the estimate; `settled` says whether the whole interval is on its side."""
    strict = bound == 0.0
    met, low, high = (
        value > bound if strict else value >= bound
        for value in (measured.value, measured.low, measured.high)
    )
    return {
        "id": identity, "statement": statement, "target": target, "measured": _plain(measured),
        "met": met, "settled": low if met else not high,
    }  # fmt: skip


def _paired(test: Rows, difference: Any) -> Estimate:
    rng = np.random.default_rng(SEED)
    return paired_bootstrap(difference, test.groups, rng, resamples=RESAMPLES)


def _bootstrapped(figure: Any, test: Rows, scores: Floats) -> Estimate:
    return _paired(test, lambda weights: figure(test.labels, scores, weights))


def _divided(names: Sequence[str], settings: Settings) -> Rows:
    rows = [row for name in names for row in read_labelled(name, settings.data, settings.cache)]
    groups = group_related(rows)
    strata = [(row.dataset, row.label) for row in rows]
    folds = grouped_folds(groups, strata, TEST_FOLDS, np.random.default_rng(SEED))
    return Rows(tuple(rows), groups, folds != _most_varied(folds, groups))


def _most_varied(folds: Integers, groups: Integers) -> int:
    """The fold with the most groups, so that no campaign of a hundred copies decides the test."""
    return int(np.argmax([len(np.unique(groups[folds == fold])) for fold in range(TEST_FOLDS)]))


def _inner_folds(training: Rows) -> Integers:
    strata = [(row.dataset, row.label) for row in training.rows]
    return grouped_folds(training.groups, strata, FOLDS, np.random.default_rng(SEED))


def _write(
    settings: Settings, text: TextFigures, parts: Sequence[Part], trials: int, began: float
) -> None:
    report = {
        "name": "quality",
        "commit": commit(),
        "seconds": round(time.monotonic() - began, 1),
        "trials": trials,
        "rows": list(text.rows),
        "across_corpora": list(text.across_corpora),
        "parts": [{"name": part.name, "title": part.title, "rows": part.rows} for part in parts],
        "goals": [*text.goals, *(goal for part in parts for goal in part.goals)],
    }
    path = settings.reports / "bench-quality.json"
    write_atomically(path, orjson.dumps(report, option=orjson.OPT_INDENT_2))
    page = settings.reports / "bench-quality.html"
    write_atomically(page, as_page(_with_text_first(report)).encode())
    print(_table(report))
    if text.rows:
        from tests.performance.quality_picture import draw

        print(draw(report, settings.reports / "bench-quality.svg"))
    print(f"{path}\n{page}")


def _with_text_first(report: Mapping[str, Any]) -> dict[str, Any]:
    """The report with the text sets as a part like the others."""
    rows = [*report["rows"], *report["across_corpora"]]
    text = [{"name": TEXT, "title": "Text: five sets, and across corpora", "rows": rows}]
    return {**report, "parts": [*(text if rows else []), *report["parts"]]}


def _table(report: Mapping[str, Any]) -> str:
    lines = _text_table(report) if report["rows"] else []
    lines += [as_text(part["title"], part["rows"]) for part in report["parts"]]
    lines += ["", "goals"]
    lines += [
        f"  {'met' if goal['met'] else 'NOT MET':<8}{goal['statement']} ({goal['target']}): "
        f"{shown(goal['measured'])}"
        f"{'' if goal.get('settled', True) else ', the interval does not settle it'}"
        f"{'. Cause: ' + goal['cause'] if 'cause' in goal else ''}"
        for goal in report["goals"]
    ]
    return "\n".join(lines)


def _text_table(report: Mapping[str, Any]) -> list[str]:
    header = (
        f"{'set':<23}{'system':<13}{'trained on':<10}{'test (spam)':>13}  "
        f"{'average precision':<22}{'F1':<7}{'recall at 0.1 %':<22}"
        f"{'false positives reached':<26}AUC"
    )
    lines = [
        f"{row['set']:<23}{row['system']:<13}{row['trained_on']:<10}"
        f"{row['test_rows']:>6} ({row['test_spam']:>4})  {_shown(row['average_precision']):<22}"
        f"{row['f1']:<7.3f}{_shown(row['recall_at_0.1%'], 2):<22}"
        f"{_shown(row['false_positive_rate_reached'], 4):<26}{row['auc']:.4f}"
        for row in sorted(report["rows"], key=lambda row: (row["set"], row["trained_on"]))
    ]
    across = [
        f"{row['trained_on']} -> {row['test']}: {row['system']} AUC {_shown(row['auc'])}"
        for row in report["across_corpora"]
    ]
    return [header, *lines, *across]


def _shown(estimate: Mapping[str, float], digits: int = 3) -> str:
    value, low, high = (f"{estimate[key]:.{digits}f}" for key in ("value", "low", "high"))
    return f"{value} [{low}, {high}]"


def _plain(estimate: Estimate) -> dict[str, float]:
    return {"value": estimate.value, "low": estimate.low, "high": estimate.high}


def _present(name: str, settings: Settings) -> bool:
    if (settings.data.root / dataset(name).file).is_file():
        return True
    print(f"{name} is not under {settings.data.root}: left out", file=sys.stderr)
    return False


def _crosses(names: Sequence[str]) -> bool:
    return {*CROSS_TRAINING, CROSS_TEST} <= {*names}


@contextlib.contextmanager
def _laboratory(
    settings: Settings, trials: int, rows: Rows, names: Sequence[str], began: float
) -> Iterator[Laboratory]:
    """The encoder with its cache, and the baselines under way in a process of their own."""
    file = asset_file(settings.data.encoder, settings.data, settings.cache)
    version = asset(settings.data.encoder).sha256
    encoder = CachedEncoder(OnnxEncoder(file), settings.cache / "embeddings", version)
    beside = ProcessPoolExecutor(1, mp_context=get_context("spawn"))
    with beside, encoder:
        baselines = _started(beside, rows, names, settings.cache / "bench-quality")
        try:
            yield Laboratory(settings, encoder, file, trials, began, baselines)
        finally:
            beside.shutdown(wait=False, cancel_futures=True)


def _started(
    beside: ProcessPoolExecutor, rows: Rows, names: Sequence[str], folder: Path
) -> dict[tuple[str, str], Future[Scores]]:
    jobs: dict[tuple[str, str], tuple[Baseline, Rows, Rows]] = {
        (TFIDF, ALL_SETS): (tfidf_logistic_regression, rows.training, rows.test)
    }
    for name in names:
        own = rows.of(name)
        jobs[TFIDF, name] = (tfidf_logistic_regression, own.training, own.test)
        jobs[BOGOFILTER, name] = (bogofilter, own.training, own.test)
    if _crosses(names):
        training, test = rows.of(*CROSS_TRAINING), rows.of(CROSS_TEST)
        jobs[TFIDF, ACROSS] = (tfidf_logistic_regression, training, test)
    return {
        key: beside.submit(cached, how, _split(training, test), folder)
        for key, (how, training, test) in jobs.items()
    }


def _split(training: Rows, test: Rows) -> Split:
    return Split(training.texts, training.labels, _inner_folds(training), test.texts)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument(
        "--dataset", action="append", choices=SETS, help="may be repeated (default: all)"
    )
    parser.add_argument(
        "--part", action="append", choices=(TEXT, *PARTS), help="may be repeated (default: all)"
    )
    parser.add_argument(
        "--trials", type=int, default=0, help="of each search (default: 0, the default parameters)"
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
