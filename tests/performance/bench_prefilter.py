"""Weir's prefilter beside Rspamd and bogofilter on the same mail: speed and quality.

    make bench-prefilter        (or: python -m tests.performance.bench_prefilter)

SpamAssassin's public mail, near-duplicates in one group, a fifth of the groups set aside. All
systems are taught the other mails and are given the same parsed input, subject and body. Cut-offs
come from scores of the training mails out of fold. Speed is mails a CPU-second, user and system,
the median of REPEATS rounds over the set-aside mails after one to warm up; each system on one
thread. Of Rspamd only its worker is counted; its Redis is shown beside it. Intervals are 95 %
from a bootstrap of whole groups; differences are paired.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import orjson

from data_contracts.config import Settings, load_settings
from data_contracts.errors import MissingPart
from data_contracts.files import write_atomically
from data_contracts.labels import LabelledEvent
from evaluation.metrics import (
    Booleans,
    Estimate,
    Floats,
    Integers,
    average_precision,
    clopper_pearson,
    paired_bootstrap,
)
from pipelines.catalogue import read_labelled
from pipelines.near_duplicates import group_related
from pipelines.splits import grouped_folds
from tests.performance.mail_filters import Bogofilter, Filter, RspamdFilter, WeirPrefilter
from tests.performance.provenance import commit
from tests.performance.rspamd import BAYES, private_rspamd

MAILS, SHORT = "text_spamassassin", "text_sms_spam_uci"
SEED, FOLDS, RATE, RESAMPLES, REPEATS, TIMES_FASTER = 20_260_105, 5, 0.001, 1000, 5, 10.0
AT_ONCE = 1024  # the whole mailbox, as bogofilter's bulk mode is given it
WEIR, ONE_BY_ONE = "Weir's prefilter", "Weir's prefilter, one by one"
RSPAMD, RSPAMD_BAYES, BOGOFILTER = "Rspamd", "Rspamd, Bayes alone", "bogofilter"


@dataclass(frozen=True)
class Mails:
    """Rows with the group of each, and whether it is set aside."""

    rows: Sequence[LabelledEvent]
    groups: Integers
    aside: Booleans

    def part(self, chosen: Booleans) -> tuple[list[LabelledEvent], Integers]:
        rows = [row for row, keep in zip(self.rows, chosen, strict=True) if keep]
        return rows, self.groups[chosen]


@dataclass(frozen=True)
class Judged:
    """One system's answers on the mails set aside, and mails a CPU-second of each round."""

    name: str
    scores: Floats
    best_f1: float
    strict: float
    rates: Sequence[float]
    rates_with_store: Sequence[float]


def main() -> int:
    settings = load_settings()
    mails = _divided(read_labelled(MAILS, settings.data, settings.cache))
    rows, groups = mails.part(mails.aside)
    judged = [_judged(system, mails) for system in _systems_of(mails)]
    labels = np.array([row.is_spam for row in rows], bool)
    report = {
        "name": "prefilter",
        "commit": commit(),
        "rows": [_figures(one, mails, labels, groups) for one in judged],
        "short_messages": _short_messages(settings),
        "goals": list(_goals({one.name: one for one in judged}, labels, groups)),
    }
    path = settings.reports / "bench-prefilter.json"
    write_atomically(path, orjson.dumps(report, option=orjson.OPT_INDENT_2))
    print(_table(report))
    print(path)
    return 0


def _divided(rows: Sequence[LabelledEvent]) -> Mails:
    groups = group_related(rows)
    folds = _folds(rows, groups)
    fullest = int(np.argmax([len(np.unique(groups[folds == fold])) for fold in range(FOLDS)]))
    return Mails(rows, groups, folds == fullest)


def _folds(rows: Sequence[LabelledEvent], groups: Integers) -> Integers:
    labels = [row.label for row in rows]
    return grouped_folds(groups, labels, FOLDS, np.random.default_rng(SEED))


def _systems_of(mails: Mails) -> Iterator[Filter]:
    """Each in turn, its servers and files gone before the next; what is missing is left out."""
    yield WeirPrefilter(AT_ONCE, SEED, WEIR)
    yield WeirPrefilter(1, SEED, ONE_BY_ONE)
    with tempfile.TemporaryDirectory(prefix="weir-bogofilter-") as folder:
        yield Bogofilter(Path(folder), BOGOFILTER)
    with ExitStack() as stack:
        try:
            server = stack.enter_context(private_rspamd())
        except MissingPart as missing:
            _say(f"{RSPAMD} is left out: {missing}")
            return
        yield RspamdFilter(server, RSPAMD)
        yield RspamdFilter(server, RSPAMD_BAYES, BAYES)


def _judged(system: Filter, mails: Mails) -> Judged:
    training, groups = mails.part(~mails.aside)
    test, _ = mails.part(mails.aside)
    _say(f"{system.name}: cut-offs from {len(training)} mails out of fold")
    labels = np.array([row.is_spam for row in training], bool)
    scores = _out_of_fold(system, training, groups)
    system.teach(training, groups)
    _say(f"{system.name}: {REPEATS} rounds over {len(test)} mails")
    first, *rounds = [system.judge(test) for _ in range(1 + REPEATS)]
    return Judged(
        system.name, first.scores, _best_f1_cut(labels, scores), _cut_at_rate(scores[~labels]),
        [len(test) / one.seconds for one in rounds],
        [len(test) / (one.seconds + one.seconds_of_store) for one in rounds],
    )  # fmt: skip


def _out_of_fold(system: Filter, rows: Sequence[LabelledEvent], groups: Integers) -> Floats:
    folds, scores = _folds(rows, groups), np.zeros(len(rows))
    for fold in range(FOLDS):
        inside = Mails(rows, groups, folds == fold)
        system.teach(*inside.part(folds != fold))
        scores[folds == fold] = system.judge(inside.part(folds == fold)[0]).scores
    return scores


def _cut_at_rate(ham: Floats) -> float:
    """The lowest cut-off that at most a share RATE of the ham reaches."""
    return float(np.nextafter(np.sort(ham)[::-1][int(RATE * len(ham))], np.inf))


def _best_f1_cut(labels: Booleans, scores: Floats) -> float:
    cuts = np.unique(scores)
    return float(cuts[int(np.argmax([_f1(labels, scores >= cut) for cut in cuts]))])


def _f1(labels: Booleans, positive: Booleans, weights: Floats | None = None) -> float:
    weights = np.ones(len(labels)) if weights is None else weights
    right = float(weights @ (labels & positive))
    return 2 * right / float(weights @ labels + weights @ positive) if right else 0.0


def _figures(one: Judged, mails: Mails, labels: Booleans, groups: Integers) -> dict[str, Any]:
    caught, strict = one.scores >= one.best_f1, one.scores >= one.strict
    spam, ham = int(labels.sum()), int((~labels).sum())
    return {
        "set": MAILS,
        "system": one.name,
        "training_mails": int((~mails.aside).sum()),
        "test_mails": len(labels),
        "test_spam": spam,
        "mails_a_cpu_second": round(median(one.rates), 1),
        "rounds": [round(rate, 1) for rate in one.rates],
        "with_its_store": round(median(one.rates_with_store), 1),
        "f1": _plain(_bootstrapped(lambda w: _f1(labels, caught, w), groups)),
        "average_precision": _plain(
            _bootstrapped(lambda w: average_precision(labels, one.scores, w), groups)
        ),
        "recall_at_0.1%": _plain(clopper_pearson(int((strict & labels).sum()), spam)),
        "false_positive_rate_reached": _plain(clopper_pearson(int((strict & ~labels).sum()), ham)),
    }


def _short_messages(settings: Settings) -> list[dict[str, Any]]:
    """Microseconds a short message of the whole cheap path, many at once and one by one."""
    try:
        rows = read_labelled(SHORT, settings.data, settings.cache)
    except MissingPart as missing:
        _say(f"short messages are left out: {missing}")
        return []
    groups, found = group_related(rows), []
    for name, at_once in ((WEIR, AT_ONCE), (ONE_BY_ONE, 1)):
        system = WeirPrefilter(at_once, SEED, name)
        system.teach(rows, groups)
        rounds = [system.judge(rows).seconds / len(rows) for _ in range(1 + REPEATS)][1:]
        micros = round(1e6 * median(rounds), 1)
        found.append({"set": SHORT, "system": name, "microseconds": micros})
    return found


def _goals(
    judged: Mapping[str, Judged], labels: Booleans, groups: Integers
) -> Iterator[dict[str, Any]]:
    weir = judged[WEIR]
    speed = median(weir.rates)
    rivals = {RSPAMD: TIMES_FASTER, RSPAMD_BAYES: 1.0, BOGOFILTER: 1.0}
    for name, times in rivals.items():
        if name not in judged:
            continue
        ratio = speed / median(judged[name].rates)
        slug = name.split(",")[0].lower() + ("-bayes" if "," in name else "")
        yield {
            "id": f"prefilter.speed.{slug}",
            "statement": f"mails a CPU-second: more than {times:g} times those of {name}",
            "target": f"> {times:g}", "measured": round(ratio, 2), "met": ratio > times,
        }  # fmt: skip
        ahead = _bootstrapped(
            lambda w, other=judged[name]: (
                _f1(labels, weir.scores >= weir.best_f1, w)
                - _f1(labels, other.scores >= other.best_f1, w)
            ),
            groups,
        )
        yield {
            "id": f"prefilter.f1.{slug}",
            "statement": f"F1 no worse than that of {name}",
            "target": "difference >= 0", "measured": _plain(ahead), "met": ahead.value >= 0,
            "settled": ahead.low >= 0 or ahead.high < 0,
        }  # fmt: skip


def _bootstrapped(figure: Any, groups: Integers) -> Estimate:
    return paired_bootstrap(figure, groups, np.random.default_rng(SEED), resamples=RESAMPLES)


def _plain(estimate: Estimate) -> dict[str, float]:
    return {"value": estimate.value, "low": estimate.low, "high": estimate.high}


def _table(report: Mapping[str, Any]) -> str:
    lines = [
        f"{'system':<30}{'mails/CPU-s':>12}{'with store':>12}  {'F1':<22}"
        f"{'average precision':<22}{'recall at 0.1 %':<22}false positives reached"
    ]
    lines += [
        f"{row['system']:<30}{row['mails_a_cpu_second']:>12,.0f}{row['with_its_store']:>12,.0f}  "
        f"{_shown(row['f1']):<22}{_shown(row['average_precision']):<22}"
        f"{_shown(row['recall_at_0.1%']):<22}{_shown(row['false_positive_rate_reached'], 4)}"
        for row in report["rows"]
    ]
    lines += [
        f"{row['set']}: {row['system']}: {row['microseconds']:g} microseconds a message"
        for row in report["short_messages"]
    ]
    lines += [
        f"{'met' if goal['met'] else 'NOT MET':<8}{goal['statement']} ({goal['target']}): "
        f"{goal['measured'] if isinstance(goal['measured'], float) else _shown(goal['measured'])}"
        f"{'' if goal.get('settled', True) else ', the interval does not settle it'}"
        for goal in report["goals"]
    ]
    return "\n".join(lines)


def _shown(estimate: Mapping[str, float], digits: int = 3) -> str:
    value, low, high = (f"{estimate[key]:.{digits}f}" for key in ("value", "low", "high"))
    return f"{value} [{low}, {high}]"


def _say(message: str) -> None:
    print(f"{time.strftime('%H:%M:%S')}  {message}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
