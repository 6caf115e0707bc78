"""Do today's embeddings look like those of the days before? A classifier tries to tell them apart.

The classifier two-sample test of Lopez-Paz & Oquab 2017, on a bounded sample that a hash draws.
Near-duplicates share a fold, or a campaign would be recognised from its copies. Any two days can
be told apart a little, so the AUC is held against what the reference days give among themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm, rankdata, t

from data_contracts.config import Drift
from evaluation.metrics import CONFIDENCE, Booleans, Estimate, Floats, Integers
from evaluation.monitoring.drift.effect import Effect, effect
from evaluation.monitoring.drift.histograms import Histogram
from pipelines.neighbours import near_duplicate_groups

FOLDS = 5
SIMILARITY = 0.95  # cosine from which two events are near-duplicates
FEWEST_ROWS, FEWEST_DAYS = 50, 3
PENALTY = 1.0  # C of the logistic regression, on unit vectors
SCORE_BINS = 10
Vectors = NDArray[np.float32]


@dataclass(frozen=True)
class DaySample:
    """Events of one day: unit vectors float32[n, d]; `positive` float64[n], NaN: no verdict."""

    day: str
    vectors: Vectors
    positive: Floats


@dataclass(frozen=True)
class EmbeddingDrift:
    """`usual_auc`: of each reference day against the others, on average; 0.5 is no difference."""

    day: str
    reference_days: int
    rows: int
    auc: Estimate
    usual_auc: float
    p_value: float
    effect: Effect | None
    drifted: bool
    matters: bool


def embedding_drift(
    current: DaySample, reference: Sequence[DaySample], settings: Drift, rng: np.random.Generator
) -> EmbeddingDrift | None:
    """None where days or rows are too few. Reference days are to be samples of the same size."""
    enough = [day for day in reference if len(day.vectors) >= FEWEST_ROWS]
    if len(enough) < FEWEST_DAYS or len(current.vectors) < FEWEST_ROWS:
        return None
    scores, groups = _told_apart(current, enough, rng)
    inside = np.arange(len(scores)) < len(current.vectors)
    value, error = clustered_auc(scores, inside, groups)
    usual = np.array([_auc_of(day, enough, rng) for day in enough])
    spread = float(np.std(usual, ddof=1)) * np.sqrt(1 + 1 / len(usual))
    surprise = (value - usual.mean()) / max(spread, error, 1e-9)
    p_value = float(t.sf(surprise, len(usual) - 1))
    width = float(norm.ppf((1 + CONFIDENCE) / 2)) * error
    moves = _effect(scores, current, enough)
    drifted = p_value <= settings.false_discovery_rate and value >= settings.minimum_auc
    return EmbeddingDrift(
        day=current.day, reference_days=len(enough), rows=len(scores),
        auc=Estimate(value, max(value - width, 0.0), min(value + width, 1.0)),
        usual_auc=float(usual.mean()), p_value=p_value, effect=moves, drifted=bool(drifted),
        matters=bool(drifted and moves is not None and moves.surely >= settings.minimum_effect),
    )  # fmt: skip


def clustered_auc(scores: Floats, positive: Booleans, groups: Integers) -> tuple[float, float]:
    """The AUC and its standard error where rows of one group are not independent.

    DeLong, DeLong & Clarke-Pearson 1988, with the structural components summed by group as in
    Obuchowski 1997, "Nonparametric analysis of clustered ROC curve data".

    >>> auc, error = clustered_auc(
    ...     np.array([3.0, 2.0, 1.0, 0.0]), np.array([True, True, False, False]), np.arange(4))
    >>> auc, error
    (1.0, 0.0)
    """
    ranks, m, n = rankdata(scores), int(positive.sum()), int((~positive).sum())
    components = np.empty(len(scores))
    components[positive] = (ranks[positive] - rankdata(scores[positive])) / n
    components[~positive] = 1 - (ranks[~positive] - rankdata(scores[~positive])) / m
    auc = float(components[positive].mean())
    share = (components - auc) / np.where(positive, m, n)
    sums = np.bincount(groups, weights=share)
    clusters = len(np.unique(groups))
    return auc, float(np.sqrt(clusters / max(clusters - 1, 1) * np.sum(sums**2)))


def _auc_of(day: DaySample, days: Sequence[DaySample], rng: np.random.Generator) -> float:
    scores, groups = _told_apart(day, [one for one in days if one is not day], rng)
    return clustered_auc(scores, np.arange(len(scores)) < len(day.vectors), groups)[0]


def _told_apart(
    one: DaySample, others: Sequence[DaySample], rng: np.random.Generator
) -> tuple[Floats, Integers]:
    """Cross-fitted log-odds of belonging to `one`, its rows first, and near-duplicate groups."""
    vectors = np.concatenate([one.vectors, *(other.vectors for other in others)])
    target = np.arange(len(vectors)) < len(one.vectors)
    groups = near_duplicate_groups(vectors, SIMILARITY)
    fold = rng.permutation(groups.max() + 1)[groups] % FOLDS
    scores = np.zeros(len(vectors))
    for number in range(FOLDS):
        held = fold == number
        if held.any() and 0 < target[~held].sum() < (~held).sum():
            scores[held] = _fitted(vectors[~held], target[~held], vectors[held])
    return scores, groups


def _fitted(vectors: Vectors, target: Booleans, held: Vectors) -> Floats:
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=PENALTY, class_weight="balanced", max_iter=500)
    return np.asarray(model.fit(vectors, target).decision_function(held), float)


def _effect(scores: Floats, current: DaySample, reference: Sequence[DaySample]) -> Effect | None:
    """What the difference moves: the classifier's score is a feature like any other."""
    first = len(current.vectors)
    edges = np.quantile(scores[first:], np.linspace(0, 1, SCORE_BINS + 1)[1:-1])
    places = np.searchsorted(edges, scores)
    ends = np.cumsum([first, *(len(day.vectors) for day in reference)])
    starts = [0, *ends[:-1]]
    today, *before = (
        _histogram(places[start:end], day.positive)
        for start, end, day in zip(starts, ends, [current, *reference], strict=True)
    )
    return effect(before, today)


def _histogram(places: Integers, positive: Floats) -> Histogram:
    judged = ~np.isnan(positive)
    return Histogram(*(
        np.bincount(places[chosen], minlength=SCORE_BINS)
        for chosen in (slice(None), judged, judged & (positive == 1.0))
    ))  # fmt: skip
