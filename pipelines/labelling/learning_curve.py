"""How well a simple model would do with the first n labels: what the labels taught so far.

The model is a probe, logistic regression on the frozen embeddings, not the ensemble. It is
judged on the audit labels, each weighted by one over its chance, and never on a row (nor on a
near-duplicate of one) that it was taught: audit rows are judged fold by fold, and a campaign
lies in one fold. The curve is of its average precision. Beside all labels stand those of the
audit alone: what as many labels drawn at random would have taught.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipelines.labelling.allocation import AUDIT, FEWEST_AUDIT, FEWEST_OF_A_KIND
from pipelines.labelling.label_history import LabelHistory
from pipelines.labelling.samplers.wrappers import NEAR_DUPLICATE
from pipelines.neighbours import near_duplicate_groups
from pipelines.single_thread import single_thread
from pipelines.splits import grouped_folds

FOLDS = 5
POINTS = 7
FEWEST_LABELS = 40

Booleans = NDArray[np.bool_]


@dataclass(frozen=True)
class Point:
    """Average precision on the audit with the first `labels` labels."""

    labels: int
    average_precision: float


@dataclass(frozen=True)
class LearningCurve:
    """`everything`: labels in the order in which they came; `audit`: the audit's alone."""

    judged_on: int
    spam: int
    everything: tuple[Point, ...]
    audit: tuple[Point, ...]


def learning_curve(history: LabelHistory, rng: np.random.Generator) -> LearningCurve | None:
    """None while the audit is too small to judge by."""
    audit = history.arms == AUDIT
    spam = int((audit & history.is_spam).sum())
    if audit.sum() < FEWEST_AUDIT or min(spam, audit.sum() - spam) < FEWEST_OF_A_KIND:
        return None
    groups = near_duplicate_groups(history.embeddings, NEAR_DUPLICATE)
    if len(np.unique(groups)) < FOLDS:
        return None
    folds = grouped_folds(groups, history.is_spam, FOLDS, rng)
    rows = {"everything": np.arange(len(history)), "audit": np.flatnonzero(audit)}
    with single_thread():
        found = {
            name: tuple(
                Point(int(n), score)
                for n in _sizes(len(order))
                if (score := _quality(history, audit, folds, order[:n])) is not None
            )
            for name, order in rows.items()
        }
    return LearningCurve(int(audit.sum()), spam, found["everything"], found["audit"])


def _sizes(most: int) -> NDArray[np.int64]:
    """Even steps on a logarithmic axis, the last being all of them."""
    if most < FEWEST_LABELS:
        return np.array([most])
    return np.unique(np.geomspace(FEWEST_LABELS, most, POINTS).round().astype(np.int64))


def _quality(
    history: LabelHistory, audit: Booleans, folds: NDArray[np.int64], taught: NDArray[np.int64]
) -> float | None:
    """Weighted average precision over all audit rows; None where a fold lacks a kind."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import average_precision_score

    scores = np.full(len(history), np.nan)
    for fold in range(FOLDS):
        judged = audit & (folds == fold)
        lesson = taught[folds[taught] != fold]
        if len(np.unique(history.is_spam[lesson])) < 2:
            return None
        probe = LogisticRegression(C=10.0, max_iter=200)
        probe.fit(history.embeddings[lesson], history.is_spam[lesson])
        if judged.any():
            scores[judged] = probe.predict_proba(history.embeddings[judged])[:, 1]
    return float(
        average_precision_score(
            history.is_spam[audit], scores[audit], sample_weight=1.0 / history.chances[audit]
        )
    )
