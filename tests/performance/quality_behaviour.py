"""How well accounts are told apart by their behaviour and profile, beside plain models.

    python -m tests.performance.quality_behaviour

Five folds of whole groups (accounts alike in every column, or of one name), labels balanced, out
of fold. No parameter of any system was tuned on these sets. F1 and accuracy are at a probability
of one half. Intervals: bootstrap of whole groups, 1000 draws, seed 20260105. Where a set has
fewer than 1,000 ham, recall at 0.1 % is that above its highest ham.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from data_contracts.config import Settings, load_settings
from evaluation.metrics import (
    Booleans,
    Estimate,
    Floats,
    Integers,
    average_precision,
    curve,
    paired_bootstrap,
    roc_auc,
)
from pipelines.account_sets import (
    INSTAGRAM,
    TWITTER,
    LabelledAccount,
    account_groups,
    read_accounts,
)
from pipelines.features.behaviour.extraction import BehaviourExtractor
from pipelines.splits import grouped_folds
from tests.performance.quality_parts import Part, Say
from training.specialists.base import StageRows
from training.specialists.tabular import TabularFamily

SEED, FOLDS, RESAMPLES = 20_260_105, 5, 1000
SPLIT = "5 grouped folds, out of fold"
REGRESSION, TREES, WEIR_ALONE, WEIR = (
    "logistic regression", "LightGBM", "Weir, its own columns", "Weir, with the set's columns",
)  # fmt: skip

PUBLISHED = (
    (INSTAGRAM, "Akyon & Kalfaoglu 2019, best of NB, LR, SVM, NN with SMOTE-NC", "accuracy .96",
     "arXiv 1910.03090, abstract"),
    (TWITTER, "Gilani, Kochmar & Crowcroft 2017, random forests by band of followers",
     "accuracy close to human agreement, no figure quoted here",
     "ASONAM 2017, doi 10.1145/3110025.3110091, abstract"),
)  # fmt: skip

Accounts = Sequence[LabelledAccount]
Fit = Callable[[Accounts, Accounts], Floats]
Figure = Callable[[Booleans, Floats, Floats], float]


@dataclass(frozen=True)
class Judged:
    """Out-of-fold log-odds of every system, by its name, for the accounts of one set."""

    name: str
    labels: Booleans
    groups: Integers
    scores: Mapping[str, Floats]


def measure(settings: Settings, say: Say) -> Part:
    """The part `behaviour` of `bench-quality`. MissingPart where a set is absent."""
    judged = []
    for name in (INSTAGRAM, TWITTER):
        accounts = read_accounts(name, settings.data)
        say(f"{name}: {len(accounts)} accounts")
        judged.append(_judged(name, accounts))
    rows = [*_figures(judged), *_published()]
    return Part("behaviour", "Behaviour: accounts told apart", rows, list(_goals(judged)))


def _judged(name: str, accounts: Accounts) -> Judged:
    labels = np.array([account.is_spam for account in accounts])
    groups = account_groups(accounts)
    folds = grouped_folds(groups, labels.tolist(), FOLDS, np.random.default_rng(SEED))
    scores = {system: _out_of_fold(fit, accounts, folds) for system, fit in SYSTEMS.items()}
    return Judged(name, labels, groups, scores)


def _out_of_fold(fit: Fit, accounts: Accounts, folds: Integers) -> Floats:
    scores = np.zeros(len(folds))
    for fold in range(FOLDS):
        seen = [one for one, of in zip(accounts, folds, strict=True) if of != fold]
        asked = [one for one, of in zip(accounts, folds, strict=True) if of == fold]
        scores[folds == fold] = fit(seen, asked)
    return scores


def _specialist(with_own: bool) -> Fit:
    """The product's tabular specialist, on the columns of its extractor, as it is served."""

    def fit(training: Accounts, asked: Accounts) -> Floats:
        own = tuple(training[0].own) if with_own else ()
        columns = _columns(training, own)
        rows = StageRows(
            columns,
            np.zeros((len(training), 0), np.float32),
            np.array([account.is_spam for account in training], np.int64),
            np.full(len(training), "accounts"),
        )
        specialist = TabularFamily().fit(rows, (*BehaviourExtractor.names, *own), {}, seed=SEED)
        nothing = np.zeros(0, np.float32)
        return np.array([specialist.score(row, nothing) for row in _columns(asked, own)])

    return fit


def _columns(accounts: Accounts, own: tuple[str, ...]) -> np.ndarray[Any, np.dtype[np.float32]]:
    """float32[n, columns of behaviour and own]; NaN where a set does not know."""
    known = BehaviourExtractor.names
    rows = [
        [account.behaviour.get(name, np.nan) for name in known] + [account.own[key] for key in own]
        for account in accounts
    ]
    return np.array(rows, np.float32)


def _regression(training: Accounts, asked: Accounts) -> Floats:
    """Logarithms of the set's columns, standardised; L2 logistic regression (C = 1)."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    model.fit(np.log1p(_raw(training)), [account.is_spam for account in training])
    scores: Floats = model.decision_function(np.log1p(_raw(asked)))
    return scores


def _trees(training: Accounts, asked: Accounts) -> Floats:
    """The set's columns as they stand; LightGBM as it comes, 100 rounds of 31 leaves."""
    import lightgbm

    settings = {
        "objective": "binary", "seed": SEED, "num_threads": 1, "deterministic": True,
        "verbosity": -1,
    }  # fmt: skip
    labels = [account.is_spam for account in training]
    model = lightgbm.train(settings, lightgbm.Dataset(_raw(training), labels), num_boost_round=100)
    scores: Floats = model.predict(_raw(asked), raw_score=True)
    return scores


def _raw(accounts: Accounts) -> Floats:
    return np.array([list(account.raw.values()) for account in accounts])


SYSTEMS: Mapping[str, Fit] = {
    REGRESSION: _regression,
    TREES: _trees,
    WEIR_ALONE: _specialist(with_own=False),
    WEIR: _specialist(with_own=True),
}


def _figures(judged: Sequence[Judged]) -> Iterator[dict[str, Any]]:
    for one in judged:
        for system, scores in one.scores.items():
            yield {
                "set": one.name, "system": system, "split": SPLIT,
                "accounts": len(one.labels), "spam": int(one.labels.sum()),
                "ham": int((~one.labels).sum()), "groups": len(np.unique(one.groups)),
                **{name: _interval(figure, one, scores) for name, figure in FIGURES.items()},
            }  # fmt: skip


def _recall_at(rate: float) -> Figure:
    def recall(labels: Booleans, scores: Floats, weights: Floats) -> float:
        points = curve(labels, scores, weights)
        allowed = points.recall[points.false_positive_rate <= rate]
        return float(allowed[-1]) if len(allowed) else 0.0

    return recall


def _f1(labels: Booleans, scores: Floats, weights: Floats) -> float:
    positive = scores >= 0
    right = float(weights @ (labels & positive))
    return 2 * right / float(weights @ labels + weights @ positive) if right else 0.0


def _accuracy(labels: Booleans, scores: Floats, weights: Floats) -> float:
    return float(weights @ (labels == (scores >= 0)) / weights.sum())


FIGURES: Mapping[str, Figure] = {
    "average_precision": average_precision,
    "auc": roc_auc,
    "f1": _f1,
    "accuracy": _accuracy,
    "recall_at_1%": _recall_at(0.01),
    "recall_at_0.1%": _recall_at(0.001),
}


def _goals(judged: Sequence[Judged]) -> Iterator[dict[str, Any]]:
    """The specialist must not lose to plain models that see the same columns."""
    for one in judged:
        for baseline in (REGRESSION, TREES):
            weir, plain, labels = one.scores[WEIR], one.scores[baseline], one.labels
            gained = _bootstrapped(
                lambda w, a=weir, b=plain, y=labels: (
                    average_precision(y, a, w) - average_precision(y, b, w)
                ),
                one.groups,
            )
            yield {
                "id": f"{one.name}.ahead_of_{baseline.lower().replace(' ', '_')}",
                "statement": f"average precision of the specialist on {one.name} above that of "
                f"{baseline} on the same columns",
                "target": "difference > 0", "measured": _plain(gained), "met": gained.value > 0,
                "settled": gained.low > 0 or gained.high <= 0,
            }  # fmt: skip


def _interval(figure: Figure, one: Judged, scores: Floats) -> dict[str, float]:
    return _plain(_bootstrapped(lambda weights: figure(one.labels, scores, weights), one.groups))


def _bootstrapped(statistic: Callable[[Floats], float], groups: Integers) -> Estimate:
    rng = np.random.default_rng(SEED)
    return paired_bootstrap(statistic, groups, rng, resamples=RESAMPLES)


def _plain(estimate: Estimate) -> dict[str, float]:
    return {"value": estimate.value, "low": estimate.low, "high": estimate.high}


def _published() -> Iterator[dict[str, Any]]:
    for name, system, figure, source in PUBLISHED:
        yield {
            "set": name, "system": system, "published": figure, "source": source,
            "split": "as published: the whole set, another split, duplicates not kept together",
        }  # fmt: skip


def _lines(part: Part) -> Iterator[str]:
    for row in part.rows:
        figures = "  ".join(
            f"{name} {row[name]['value']:.3f} [{row[name]['low']:.3f}, {row[name]['high']:.3f}]"
            for name in FIGURES
            if name in row
        )
        yield f"{row['set']:<34}{row['system']:<30}{figures}{row.get('published', '')}"
    for goal in part.goals:
        yield f"{'met' if goal['met'] else 'NOT MET'}: {goal['statement']}: {goal['measured']}"


if __name__ == "__main__":
    found = measure(load_settings(), lambda line: print(line, file=sys.stderr))
    print("\n".join(_lines(found)))
