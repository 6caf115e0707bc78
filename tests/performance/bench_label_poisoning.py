"""Is a poisoned batch caught, are honest ones left alone, and does removal restore the model?

    make bench-label-poisoning   (or: python -m tests.performance.bench_label_poisoning)

SMS, Turkish SMS and Chinese Telegram in one day's labels (`poisoned_days` says with what noise). A
fifth of the near-duplicate groups is the test: no day draws from it. Every attack is judged beside
its honest twin (the same campaign in one batch, labelled as the reviewers saw it), which is harder
than an honest day. Metrics: a model taught by the day's clean labels, by the poisoned ones, by
what is left without the quarantined batches, and by that with the lost events asked of somebody
else, as the label queue does when a batch is removed. They are taken on the whole test, and on the
test's spam that resembles the campaign as closely as its members do. Intervals are 95 %:
Clopper-Pearson for shares, a paired bootstrap of whole groups for differences.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson

from data_contracts.config import Settings, load_settings
from data_contracts.files import write_atomically
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
    recall_at,
)
from pipelines.assets import asset, asset_file
from pipelines.catalogue import dataset, read_labelled
from pipelines.features.text.embedding_cache import CachedEncoder
from pipelines.features.text.encoder import OnnxEncoder
from pipelines.labelling.held_back_model import TextModel
from pipelines.labelling.label_evidence import Judgement
from pipelines.labelling.poisoning import judge
from pipelines.near_duplicates import group_near_duplicates
from pipelines.splits import grouped_folds
from tests.performance.poisoned_days import (
    DAY_LABELS,
    REVIEWERS,
    Attack,
    Day,
    Material,
    hardest,
    honest_twin,
    make_day,
)
from tests.performance.provenance import commit
from training.train import Plan, train
from training.tuning import NoTrialLog

SETS = ("text_sms_spam_uci", "text_sms_turkish", "text_telegram_chinese")
SEED, TEST_FOLDS, RESAMPLES, FALSE_POSITIVES = 20_260_105, 5, 1000, 0.01
MAIN = Attack("5 % of the day", 0.05)
ATTACKS = (
    MAIN,
    Attack("2 % of the day", 0.02),
    Attack("1 % of the day", 0.01),
    Attack("5 % over two reviewers", 0.05, reviewers=2),
    Attack("2 % over two reviewers", 0.02, reviewers=2),
)
CLEAN, POISONED, REMOVED, ASKED_AGAIN = "clean", "poisoned", "removed", "asked again"
LINEAR, ENSEMBLE = "linear model", "Weir's ensemble"


@dataclass(frozen=True)
class Bench:
    """The rows, embedded; `trained: bool[n]` are those that days draw from."""

    settings: Settings
    rows: Sequence[LabelledEvent]
    embeddings: Any
    groups: Integers
    trained: Booleans
    began: float

    @property
    def spam(self) -> Booleans:
        return np.array([row.is_spam for row in self.rows], dtype=bool)

    def material(self) -> Material:
        kept = np.flatnonzero(self.trained)
        spam, vectors = self.spam[kept], self.embeddings[kept]
        return Material(
            [self.rows[row].event.text for row in kept], vectors, spam, self.groups[kept],
            hardest(vectors, spam, np.random.default_rng(SEED)),
        )  # fmt: skip

    def say(self, message: str) -> None:
        print(f"{time.monotonic() - self.began:7.1f} s  {message}", file=sys.stderr, flush=True)


@dataclass(frozen=True)
class Told:
    """What a model said of the test: scores float64[n], and what its own threshold catches."""

    scores: Floats
    positive: Booleans


Teach = Callable[[Integers, Booleans], Told]


def main() -> int:
    arguments = _arguments()
    settings = load_settings()
    warnings.simplefilter("ignore")
    missing = [name for name in SETS if not (settings.data.root / dataset(name).file).is_file()]
    if missing:
        print(f"{', '.join(missing)} not under {settings.data.root}", file=sys.stderr)
        return 2
    bench = _embedded(settings, time.monotonic())
    material = bench.material()
    detections = _detections(bench, material, arguments)
    compared = [
        _restored(bench, material, LINEAR, _linear(bench), arguments.metric_days),
        *_ensemble_too(bench, material, arguments.ensemble_days),
    ]
    _write(bench, detections, compared, arguments)
    return 0


def judged(day: Day, material: Material) -> list[Judgement]:
    """All batches of the day, by its own answers alone: no earlier day helps."""
    model = TextModel([material.texts[row] for row in day.rows], material.embeddings[day.rows])
    return judge(day.answered, model, day.batches, lambda: np.random.default_rng(SEED))


def _detections(
    bench: Bench, material: Material, arguments: argparse.Namespace
) -> list[dict[str, Any]]:
    plans = [(None, arguments.days), (MAIN, arguments.days), (honest_twin(MAIN), arguments.days)]
    plans += [(attack, arguments.weak_days) for attack in ATTACKS[1:]]
    return [_detected(bench, material, attack, days) for attack, days in plans]


def _detected(bench: Bench, material: Material, attack: Attack | None, days: int) -> dict[str, Any]:
    name = attack.name if attack else "honest day"
    caught, accused, by = 0, [], []
    for seed in range(days):
        day = make_day(material, attack, seed)
        quarantined = [one for one in judged(day, material) if one.quarantine]
        caught += sum(one.batch in day.guilty for one in quarantined)
        accused += [one.reason for one in quarantined if one.batch not in day.guilty]
        by += [one.findings[0].witness for one in quarantined if one.batch in day.guilty]
    flips = bool(attack and attack.flips)
    guilty = days * attack.reviewers if attack and flips else 0
    bench.say(f"{name}: caught {caught} of {guilty}, accused {len(accused)} honest ones")
    return {
        "attack": name,
        "flips": flips,
        "days": days,
        "poisoned": guilty,
        "caught": caught,
        "caught_share": _plain(clopper_pearson(caught, guilty)) if guilty else None,
        "honest": days * REVIEWERS - guilty,
        "accused": len(accused),
        "accused_share": _plain(clopper_pearson(len(accused), days * REVIEWERS - guilty)),
        "witness": {witness: by.count(witness) for witness in dict.fromkeys(by)},
        "accusations": accused,
    }


def _linear(bench: Bench) -> Teach:
    """The benchmark's own linear model: least squares on embeddings; the threshold is the score
    that FALSE_POSITIVES of the ham that it learned from reaches, by leaving each row out."""
    vectors = np.hstack([bench.embeddings, np.ones((len(bench.rows), 1))]).astype(np.float64)
    test = vectors[~bench.trained]
    pool = vectors[bench.trained]

    def teach(rows: Integers, spam: Booleans) -> Told:
        taught, target = pool[rows], np.where(spam, 1.0, -1.0)
        inverse = np.linalg.inv(taught.T @ taught + np.eye(taught.shape[1]))
        weights = inverse @ (taught.T @ target)
        leverage = np.einsum("nd,de,ne->n", taught, inverse, taught, optimize=True)
        left_out = (taught @ weights - leverage * target) / (1.0 - leverage)
        cut = np.quantile(left_out[~spam], 1.0 - FALSE_POSITIVES)
        scores = test @ weights
        return Told(scores, scores >= cut)

    return teach


def _ensemble_too(bench: Bench, material: Material, days: int) -> list[dict[str, Any]]:
    if not days:
        return []
    settings = bench.settings
    file = asset_file(settings.data.encoder, settings.data, settings.cache)
    plan = Plan(
        trials=0, folds=5, seed=settings.training.seed,
        target_false_positive_rate=FALSE_POSITIVES, studies=settings.cache / "bench-poisoning",
        hardening=settings.training.hardening,
    )  # fmt: skip
    pool = np.flatnonzero(bench.trained)
    test = [bench.rows[row].event for row in np.flatnonzero(~bench.trained)]
    with _encoder(settings) as encoder:

        def teach(rows: Integers, spam: Booleans) -> Told:
            labelled = [
                LabelledEvent(bench.rows[row].event, "spam" if is_spam else "ham", "day")
                for row, is_spam in zip(pool[rows], spam, strict=True)
            ]
            ensemble = train(labelled, encoder, file, plan, NoTrialLog(), lambda _message: None)
            said = answers(Contender(ENSEMBLE, ensemble), test)
            return Told(said.scores, said.positive)

        return [_restored(bench, material, ENSEMBLE, teach, days)]


def _restored(
    bench: Bench, material: Material, name: str, teach: Teach, days: int
) -> dict[str, Any]:
    """Figures of the models, and their paired differences, averaged over the days."""
    told: dict[str, list[Told]] = {CLEAN: [], POISONED: [], REMOVED: [], ASKED_AGAIN: []}
    alike = []
    for seed in range(days):
        day = make_day(material, MAIN, seed)
        twin = make_day(material, honest_twin(MAIN), seed)
        bad = frozenset(one.batch for one in judged(day, material) if one.quarantine)
        told[CLEAN].append(teach(*twin.labels()))
        told[POISONED].append(teach(*day.labels()))
        told[REMOVED].append(teach(*day.labels(bad)))
        again = day.asked_again(bad, material, np.random.default_rng([seed, 11]))
        told[ASKED_AGAIN].append(teach(*again))
        alike.append(_resembling(bench, material, day))
        bench.say(f"{name}: day {seed + 1} of {days}")
    spam = bench.spam[~bench.trained]
    figures: dict[str, Callable[[str, Floats], float]] = {
        "average_precision": lambda which, w: _mean(
            average_precision(spam, one.scores, w) for one in told[which]
        ),
        "recall": lambda which, w: _mean(recall_at(spam, one.positive, w) for one in told[which]),
        "campaign_recall": lambda which, w: _mean(
            recall_at(near, one.positive, w)
            for one, near in zip(told[which], alike, strict=True)
            if float(w @ near) > 0
        ),
    }
    groups = bench.groups[~bench.trained]
    return {
        "model": name,
        "days": days,
        "test_rows": len(spam),
        "figures": {
            figure: {which: of(which, np.ones(len(spam))) for which in told}
            for figure, of in figures.items()
        },
        "differences": {
            figure: {
                f"{which} - {CLEAN}": _plain(_paired(of, which, groups))
                for which in (POISONED, REMOVED, ASKED_AGAIN)
            }
            for figure, of in figures.items()
        },
    }


def _resembling(bench: Bench, material: Material, day: Day) -> Booleans:
    """bool[test]: spam as close to the campaign's seed as the campaign's members are."""
    members = material.embeddings[day.rows[day.campaign]]
    seed = material.embeddings[day.rows[day.seed_row]]
    test = ~bench.trained
    return (bench.embeddings[test] @ seed >= float((members @ seed).min())) & bench.spam[test]


def _paired(figure: Callable[[str, Floats], float], which: str, groups: Integers) -> Estimate:
    rng = np.random.default_rng(SEED)
    difference = lambda weights: figure(which, weights) - figure(CLEAN, weights)  # noqa: E731
    return paired_bootstrap(difference, groups, rng, resamples=RESAMPLES)


def _mean(values: Any) -> float:
    found = list(values)
    if not found:
        raise ValueError("no day has a row that resembles its campaign")
    return float(np.mean(found))


def _goals(
    detections: Sequence[Mapping[str, Any]], compared: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    main = next(row for row in detections if row["attack"] == MAIN.name)
    honest = [row for row in detections if row["attack"] in ("honest day", MAIN.name)]
    accused = clopper_pearson(
        sum(row["accused"] for row in honest), sum(row["honest"] for row in honest)
    )
    goals = [
        {
            "id": "caught", "statement": "a batch that flips one campaign, 5 % of the day, is "
            "quarantined", "target": "every one", "measured": main["caught_share"],
            "met": main["caught"] == main["poisoned"],
        },
        {
            "id": "honest", "statement": "honest batches quarantined, on honest days and beside a "
            "poisoned batch", "target": "<= 0.01", "measured": _plain(accused),
            "met": accused.value <= 0.01, "settled": accused.high <= 0.01,
        },
    ]  # fmt: skip
    for row in compared:
        goals += _restoring(row)
    return goals


def _restoring(row: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Removal alone also costs the batch's good labels; asked again they are back."""
    for which, after in ((REMOVED, "removal"), (ASKED_AGAIN, "removal and asking again")):
        for figure in ("average_precision", "recall"):
            measured = row["differences"][figure][f"{which} - {CLEAN}"]
            yield {
                "id": f"restored.{row['model']}.{which}.{figure}",
                "statement": f"{row['model']}: {after} restores {figure.replace('_', ' ')} to "
                "within noise of clean labels",
                "target": f"the interval of {which} - clean reaches 0",
                "measured": measured, "met": measured["high"] >= 0,
            }  # fmt: skip


def _write(
    bench: Bench,
    detections: Sequence[Mapping[str, Any]],
    compared: Sequence[Mapping[str, Any]],
    arguments: argparse.Namespace,
) -> None:
    from tests.performance.poisoning_picture import draw

    report = {
        "name": "label-poisoning",
        "commit": commit(),
        "seconds": round(time.monotonic() - bench.began, 1),
        "day": {"labels": DAY_LABELS, "reviewers": REVIEWERS, "days": arguments.days},
        "rows": list(detections),
        "restored": list(compared),
        "goals": _goals(detections, compared),
    }
    path = bench.settings.reports / "bench-label-poisoning.json"
    write_atomically(path, orjson.dumps(report, option=orjson.OPT_INDENT_2))
    picture = draw(report, path.with_suffix(".svg"))
    print(_table(report))
    print(f"\n{path}\n{picture}")


def _table(report: Mapping[str, Any]) -> str:
    lines = [f"{'attack':<38}{'days':>5}  {'caught':<28}honest batches accused"]
    for row in report["rows"]:
        caught = f"{row['caught']}/{row['poisoned']} {_shown(row['caught_share'])}"
        lines.append(
            f"{row['attack']:<38}{row['days']:>5}  {caught if row['poisoned'] else '-':<28}"
            f"{row['accused']}/{row['honest']} {_shown(row['accused_share'], 4)}"
        )
    for row in report["restored"]:
        lines += ["", f"{row['model']}, mean of {row['days']} days, {row['test_rows']} test rows"]
        for figure, values in row["figures"].items():
            means = ", ".join(f"{which} {value:.4f}" for which, value in values.items())
            gaps = "; ".join(
                f"{name} {_shown(gap, 4)}" for name, gap in row["differences"][figure].items()
            )
            lines.append(f"  {figure:<18} {means};  {gaps}")
    lines += ["", "goals"]
    lines += [
        f"  {'met' if goal['met'] else 'NOT MET':<8}{goal['statement']} ({goal['target']}): "
        f"{_shown(goal['measured'], 4)}"
        for goal in report["goals"]
    ]
    return "\n".join(lines)


def _shown(estimate: Mapping[str, float] | None, digits: int = 3) -> str:
    if estimate is None:
        return "-"
    value, low, high = (f"{estimate[key]:.{digits}f}" for key in ("value", "low", "high"))
    return f"{value} [{low}, {high}]"


def _plain(estimate: Estimate) -> dict[str, float]:
    return {"value": estimate.value, "low": estimate.low, "high": estimate.high}


def _embedded(settings: Settings, began: float) -> Bench:
    rows = [row for name in SETS for row in read_labelled(name, settings.data, settings.cache)]
    with _encoder(settings) as encoder:
        embeddings = np.array([encoder.encode(row.event.text) for row in rows], np.float32)
    groups = group_near_duplicates([row.event.text for row in rows])
    strata = [(row.dataset, row.label) for row in rows]
    folds = grouped_folds(groups, strata, TEST_FOLDS, np.random.default_rng(SEED))
    return Bench(settings, rows, embeddings, groups, folds != 0, began)


def _encoder(settings: Settings) -> CachedEncoder:
    file = asset_file(settings.data.encoder, settings.data, settings.cache)
    version = asset(settings.data.encoder).sha256
    return CachedEncoder(OnnxEncoder(file), settings.cache / "embeddings", version)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--days", type=int, default=20, help="honest, poisoned (default: 20)")
    parser.add_argument("--weak-days", type=int, default=8, help="a weaker attack (default: 8)")
    parser.add_argument("--metric-days", type=int, default=8, help="(default: 8)")
    parser.add_argument("--ensemble-days", type=int, default=1, help="(default: 1)")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
