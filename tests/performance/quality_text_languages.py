"""Text in languages and from corpora that were not trained on, and the meaning specialist alone.

    python -m tests.performance.quality_text_languages

Zero-shot over languages: trained on English messages only. German, French and Hindi are machine
translations of the same messages: a translation is tested only where its original is in no group
of the training rows. Turkish and Chinese are other corpora as well. Zero-shot over corpora: each
of the five sets is left out in turn, trained on at most 2,000 rows of each other one. Of 16,000
Chinese rows 5,000 are looked at. Thresholds come from the training rows alone. The language that
the text stage recognises is judged against the sets' own, beside the script alone.
"""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from data_contracts.config import Settings, load_settings
from data_contracts.labels import LabelledEvent
from evaluation.gates.base import Contender, answers
from evaluation.metrics import (
    Booleans,
    Estimate,
    Floats,
    Integers,
    average_precision,
    clopper_pearson,
    paired_bootstrap,
    recall_below_false_positive_rate,
    roc_auc,
)
from pipelines.assets import asset, asset_file
from pipelines.catalogue import read_labelled
from pipelines.features.text.embedding_cache import CachedEncoder
from pipelines.features.text.encoder import OnnxEncoder
from pipelines.features.text.language import language_of, scripts_of
from pipelines.features.text.lexical import NAMES
from pipelines.features.text.meaning import MeaningExtractor
from pipelines.features.text.normalisation import readable
from pipelines.near_duplicates import group_related
from pipelines.splits import grouped_folds
from tests.performance.meaning_tables import SEED, SETS, Table, held_out_fold, sampled, table_of
from tests.performance.quality_baselines import Split, cached, tfidf_logistic_regression
from tests.performance.quality_parts import Part, Say
from training.specialists.tabular import TabularFamily
from training.train import Plan, train
from training.tuning import NoTrialLog

ENGLISH = "text_sms_spam_uci"
TRANSLATED = tuple(f"text_sms_multilingual_{tag}" for tag in ("de", "fr", "hi"))
FOREIGN = ("text_sms_turkish", "text_telegram_chinese")
IDENTIFIED = (ENGLISH, *TRANSLATED, *FOREIGN, "fairness_hatecheck_multilingual")
WEIR, TFIDF = "Weir", "TF-IDF + LR"
RECOGNISED, SCRIPT = "language recognised", "script alone"
LANGUAGE_OF_SCRIPT = {"latin": "en", "han": "zh", "devanagari": "hi", "arabic": "ar"}
MEANING, LEXICAL, BOTH = "meaning specialist", "lexical counts + LightGBM", "both"
RATE, FOLDS, RESAMPLES, SPECIALIST_SEED, TRAINED_ROWS = 0.001, 3, 500, 7, 2_000


@dataclass(frozen=True)
class Trial:
    """Rows to train on and, by name, rows to judge on; `groups` int64 of each, over both."""

    kind: str
    trained_on: str
    training: Sequence[LabelledEvent]
    groups: Integers
    tests: dict[str, tuple[Sequence[LabelledEvent], Integers]]


@dataclass(frozen=True)
class Scored:
    """One system on one set: scores, and which rows its own threshold stops."""

    system: str
    scores: Floats
    positive: Booleans


def measure(settings: Settings, say: Say) -> Part:
    """MissingPart where one of the sets is absent."""
    trials = [_languages(settings), *_corpora(settings)]
    rows = [row for trial in trials for row in _judged(trial, settings, say)]
    rows += [row for name in SETS for row in _specialist(table_of(name, settings, say))]
    rows += [row for name in IDENTIFIED for row in _identified(name, settings)]
    title = "Text: languages and corpora not trained on, and the meaning specialist alone"
    return Part("text_languages", title, rows, list(_goals(rows)))


def _languages(settings: Settings) -> Trial:
    """Trained on four fifths of the English messages."""
    read = {name: _rows(name, settings) for name in (ENGLISH, *TRANSLATED, *FOREIGN)}
    related = [row for name in (ENGLISH, *TRANSLATED) for row in read[name]]
    everything = [*related, *(row for name in FOREIGN for row in read[name])]
    groups = group_related(everything)
    held_out = held_out_fold(related, groups[: len(related)])
    is_english = np.array([row.dataset == ENGLISH for row in everything])
    trained = is_english & np.append(~held_out, np.zeros(len(everything) - len(related), bool))
    return _trial("zero-shot language", ENGLISH, everything, groups, trained, ~trained)


def _corpora(settings: Settings) -> Iterator[Trial]:
    """Each set is left out of the training in turn."""
    read = [_rows(name, settings) for name in SETS]
    everything = [row for rows in read for row in rows]
    groups = group_related(everything)
    few = {id(row) for rows in read for row in sampled(rows, TRAINED_ROWS)}
    for left_out in SETS:
        judged = np.array([row.dataset == left_out for row in everything])
        trained = np.array([id(row) in few for row in everything]) & ~judged
        yield _trial("zero-shot corpus", "the other four", everything, groups, trained, judged)


def _rows(name: str, settings: Settings) -> list[LabelledEvent]:
    return sampled(read_labelled(name, settings.data, settings.cache))


def _trial(
    kind: str,
    trained_on: str,
    rows: Sequence[LabelledEvent],
    groups: Integers,
    trained: Booleans,
    judged: Booleans,
) -> Trial:
    """Of the rows to be judged, those related to a training row are left out."""
    names = np.array([row.dataset for row in rows])
    tested = judged & ~np.isin(groups, groups[trained])
    tests = {
        str(name): _chosen(rows, groups, tested & (names == name))
        for name in np.unique(names[tested])
    }
    training, training_groups = _chosen(rows, groups, trained)
    return Trial(kind, trained_on, training, training_groups, tests)


def _chosen(
    rows: Sequence[LabelledEvent], groups: Integers, chosen: Booleans
) -> tuple[list[LabelledEvent], Integers]:
    return [row for row, keep in zip(rows, chosen, strict=True) if keep], groups[chosen]


def _judged(trial: Trial, settings: Settings, say: Say) -> Iterator[dict[str, Any]]:
    say(f"{trial.kind}: {len(trial.training)} rows, judged on {', '.join(trial.tests)}")
    scored = {WEIR: _weir(trial, settings), TFIDF: _tfidf(trial, settings)}
    for name, (rows, groups) in trial.tests.items():
        labels = _labels(rows)
        gain = _gain(scored[WEIR][name].scores, scored[TFIDF][name].scores, labels, groups)
        for system, by_set in scored.items():
            row = {
                "kind": trial.kind, "set": name, "language": rows[0].event.language,
                "trained_on": trial.trained_on, "training_rows": len(trial.training),
                **_figures(by_set[name], labels, groups),
                **({"auc_gain": gain} if system == WEIR else {}),
            }  # fmt: skip
            say(_shown(row))
            yield row


def _weir(trial: Trial, settings: Settings) -> dict[str, Scored]:
    file = asset_file(settings.data.encoder, settings.data, settings.cache)
    version = asset(settings.data.encoder).sha256
    studies = settings.cache / "bench-quality" / "studies"
    plan = Plan(
        0, FOLDS, settings.training.seed, RATE, studies, hardening=settings.training.hardening
    )  # fmt: skip
    silent = lambda message: None  # noqa: E731
    with CachedEncoder(OnnxEncoder(file), settings.cache / "embeddings", version) as encoder:
        ensemble = train(trial.training, encoder, file, plan, NoTrialLog(), silent)
        said = {
            name: answers(Contender(WEIR, ensemble), [row.event for row in rows])
            for name, (rows, _) in trial.tests.items()
        }
    return {name: Scored(WEIR, one.scores, one.positive) for name, one in said.items()}


def _tfidf(trial: Trial, settings: Settings) -> dict[str, Scored]:
    labels = _labels(trial.training)
    folds = grouped_folds(trial.groups, labels, FOLDS, np.random.default_rng(SEED))
    tested = [row for rows, _ in trial.tests.values() for row in rows]
    split = Split(
        [row.event.text for row in trial.training],
        labels,
        folds,
        [row.event.text for row in tested],
    )
    found = cached(tfidf_logistic_regression, split, settings.cache / "bench-quality")
    cut = _threshold(found.out_of_fold[~labels])
    names = np.array([row.dataset for row in tested])
    return {
        name: Scored(TFIDF, found.test[names == name], found.test[names == name] >= cut)
        for name in trial.tests
    }


def _specialist(table: Table) -> Iterator[dict[str, Any]]:
    """The meaning columns alone, beside the obvious ones and beside both together."""
    names = MeaningExtractor.names
    given = {
        LEXICAL: (table.lexical, NAMES),
        MEANING: (table.meaning, names),
        BOTH: (np.column_stack([table.lexical, table.meaning]), (*NAMES, *names)),
    }
    test = ~table.trained
    for system, (columns, used) in given.items():
        scored = _boosted(system, table, columns, used)
        yield {
            "kind": "specialist", "set": table.name, "language": None,
            "trained_on": "four fifths of this set", "training_rows": int(table.trained.sum()),
            **_figures(scored, table.labels[test], table.groups[test]),
        }  # fmt: skip


def _boosted(system: str, table: Table, columns: Any, names: Sequence[str]) -> Scored:
    fit = partial(TabularFamily().fit, names=names, parameters={}, seed=SPECIALIST_SEED)
    nothing = np.zeros(0, np.float32)
    places = np.flatnonzero(table.trained)
    strata = table.labels[places]
    folds = grouped_folds(table.groups[places], strata, FOLDS, np.random.default_rng(SEED))
    out_of_fold = np.zeros(len(places))
    for fold in range(FOLDS):
        seen = np.isin(np.arange(len(table.labels)), places[folds != fold])
        model = fit(table.rows(columns, seen))
        for place in np.flatnonzero(folds == fold):
            out_of_fold[place] = model.score(columns[places[place]], nothing)
    model = fit(table.rows(columns, table.trained))
    scores = np.array([model.score(row, nothing) for row in columns[~table.trained]])
    return Scored(system, scores, scores >= _threshold(out_of_fold[~strata]))


def _identified(name: str, settings: Settings) -> Iterator[dict[str, Any]]:
    """The share of rows, by language, whose language is told; related rows count as one."""
    rows = _rows(name, settings)
    languages = np.array([row.event.language for row in rows])
    told = {
        RECOGNISED: np.array([language_of(readable(row.event.text)).tag for row in rows]),
        SCRIPT: np.array([_by_script(row.event.text) for row in rows]),
    }
    for language in np.unique(languages):
        own = languages == language
        groups = group_related([row for row, keep in zip(rows, own, strict=True) if keep])
        for system, tags in told.items():
            right = tags[own] == language
            yield {
                "kind": "language identification", "set": name, "language": str(language),
                "system": system, "test_rows": len(right),
                "accuracy": _plain(_share(right, groups)),
            }  # fmt: skip


def _by_script(text: str) -> str:
    return LANGUAGE_OF_SCRIPT.get(next(iter(scripts_of(text)), ""), "und")


def _share(right: Booleans, groups: Integers) -> Estimate:
    statistic = lambda weights: float(weights @ right / weights.sum())  # noqa: E731
    return paired_bootstrap(statistic, groups, np.random.default_rng(SEED), resamples=RESAMPLES)


def _labels(rows: Sequence[LabelledEvent]) -> Booleans:
    return np.array([row.is_spam for row in rows], dtype=bool)


def _threshold(ham: Floats) -> float:
    """The lowest threshold that at most a RATE share of the ham reaches."""
    return float(np.nextafter(np.sort(ham)[::-1][int(RATE * len(ham))], np.inf))


def _figures(one: Scored, labels: Booleans, groups: Integers) -> dict[str, Any]:
    spam, ham = int(labels.sum()), int((~labels).sum())
    caught, wrong = int((one.positive & labels).sum()), int((one.positive & ~labels).sum())
    return {
        "system": one.system, "test_rows": len(labels), "test_spam": spam,
        "average_precision": _plain(_bootstrapped(average_precision, labels, one.scores, groups)),
        "auc": _plain(_bootstrapped(roc_auc, labels, one.scores, groups)),
        "recall_at_0.1%": _plain(clopper_pearson(caught, spam)),
        "false_positive_rate_reached": _plain(clopper_pearson(wrong, ham)),
        "recall_within_0.1%": recall_below_false_positive_rate(labels, one.scores, RATE),
    }  # fmt: skip


def _bootstrapped(figure: Any, labels: Booleans, scores: Floats, groups: Integers) -> Estimate:
    rng = np.random.default_rng(SEED)
    statistic = lambda weights: figure(labels, scores, weights)  # noqa: E731
    return paired_bootstrap(statistic, groups, rng, resamples=RESAMPLES)


def _plain(estimate: Estimate) -> dict[str, float]:
    return {"value": estimate.value, "low": estimate.low, "high": estimate.high}


def _gain(scores: Floats, theirs: Floats, labels: Booleans, groups: Integers) -> dict[str, float]:
    """The paired difference of AUC."""
    statistic = lambda w: roc_auc(labels, scores, w) - roc_auc(labels, theirs, w)  # noqa: E731
    rng = np.random.default_rng(SEED)
    return _plain(paired_bootstrap(statistic, groups, rng, resamples=RESAMPLES))


def _goals(rows: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Zero-shot Weir against the baseline that was trained on the same rows."""
    for row in rows:
        if gain := row.get("auc_gain"):
            yield {
                "id": f"{row['kind'].replace(' ', '_')}.{row['set']}.auc",
                "statement": f"{row['kind']}: AUC on {row['set']} ahead of {TFIDF}'s",
                "target": "difference > 0", "measured": gain, "met": gain["value"] > 0,
                "settled": gain["low"] > 0 or gain["high"] < 0,
            }  # fmt: skip


def _shown(row: dict[str, Any]) -> str:
    figures = (
        f"{key} {value['value']:.3f} [{value['low']:.3f}, {value['high']:.3f}]"
        for key, value in row.items()
        if isinstance(value, dict)
    )
    return (
        f"{row['kind']:<24}{row['set']:<32}{row['language'] or '':<4}{row['system']:<26}"
        f"{row['test_rows']:>6} ({row.get('test_spam', 0):>4})  {'  '.join(figures)}"
    )


def main() -> int:
    began = time.monotonic()
    say = lambda message: print(  # noqa: E731
        f"{time.monotonic() - began:7.1f} s  {message}", file=sys.stderr, flush=True
    )
    part = measure(load_settings(), say)
    output = io.StringIO()
    for row in part.rows:
        print(_shown(row), file=output)
    for goal in part.goals:
        print(f"{'met' if goal['met'] else 'NOT MET':<8}{goal['statement']}", file=output)
    print(output.getvalue(), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
