"""Ways to know a window's precision and recall, ours and others', on one replay."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.linear_model import LogisticRegression

from evaluation.audit import Draws, estimate_quality
from evaluation.metrics import Booleans, Floats
from evaluation.monitoring.performance_estimation import Confusion, counted, expected_confusion
from evaluation.monitoring.performance_estimation_calibration import Scored, joined
from evaluation.monitoring.performance_estimation_windows import (
    Observed,
    WindowEstimate,
    estimate_window,
)
from tests.performance.estimation_replay import Replay
from training.calibration import fit_calibration
from training.logistic import sigmoid

LAST_AUDITED, AUDIT_SO_FAR, PLAIN, WEIGHTED, WITHOUT_LABELS, WEIR = (
    "last audited value", "audit so far", "plain CBPE", "importance-weighted CBPE",
    "Weir without labels", "Weir",
)  # fmt: skip
POOLED, POOLED_SO_FAR = 2, 3  # windows of audit labels that a value rests on
LARGEST_RATIO = 10.0
Said = tuple[float | None, float | None]  # precision, recall


@dataclass(frozen=True)
class Own:
    """Our estimate of each window, and the windows that later labels contradicted."""

    estimates: Sequence[WindowEstimate]

    def flagged_at_once(self) -> Booleans:
        """bool[windows]: unreliable when it was made."""
        return np.array([one.unreliable for one in self.estimates])

    def flagged(self) -> Booleans:
        """bool[windows]: also where the labels of the next window's close tell of a change."""
        found = self.flagged_at_once()
        for one in self.estimates:
            if one.changed is not None:
                found[one.changed] = True
        return found


def own(replay: Replay, *, with_labels: bool = True) -> Own:
    """Each window as it is closed, with the labels that are known by then."""
    estimates: list[WindowEstimate] = []
    for number in range(len(replay.windows)):
        moment = number + 1.0 if with_labels else -np.inf
        seen = replay.windows[: number + 1]
        observed = [Observed(one.scored, one.audit.by(moment)) for one in seen]
        changes = {one.changed for one in estimates if one.changed is not None}
        estimates.append(estimate_window(replay.reference, observed, changes))
    return Own(estimates)


def last_audited(replay: Replay, number: int) -> Said:
    """What the audit said when the window began, of the two windows before."""
    return _audited(replay, number - 1, float(number), POOLED)


def audit_so_far(replay: Replay, number: int) -> Said:
    """What the audit says when the window is closed, of it and the two before."""
    return _audited(replay, number, number + 1.0, POOLED_SO_FAR)


def plain(replay: Replay, number: int) -> Said:
    """Expected values of scores that the reference calibrated."""
    scored = replay.windows[number].scored
    return _figures(expected_confusion(sigmoid(scored.log_odds), scored.positive))


def importance_weighted(replay: Replay, number: int) -> Said:
    """Calibrated again on the reference, weighed to be like the window (after PAPE,
    arXiv:2401.08348, with a logistic regression as density ratio and Platt's scaling).
    """
    scored, reference = replay.windows[number].scored, replay.reference
    weights = _density_ratio(reference.scored, scored)
    fitted = fit_calibration(reference.scored.log_odds, reference.is_spam.astype(np.int64), weights)
    return _figures(expected_confusion(fitted.probability(scored.log_odds), scored.positive))


RIVALS: Mapping[str, Callable[[Replay, int], Said]] = {
    LAST_AUDITED: last_audited,
    AUDIT_SO_FAR: audit_so_far,
    PLAIN: plain,
    WEIGHTED: importance_weighted,
}


def _audited(replay: Replay, last: int, moment: float, count: int) -> Said:
    """As `evaluation.audit` says it, draws without a label counted as non-response."""
    first = max(0, last + 1 - count)
    windows = replay.windows[first : last + 1]
    if not windows:
        reference = replay.reference
        return _figures(counted(reference.is_spam, reference.scored.positive))
    labelled = joined([one.audit.labelled for one in windows])
    sizes = [len(one.audit.known_at) for one in windows]
    found = estimate_quality(
        Draws(
            days=np.repeat([str(number) for number in range(len(sizes))], sizes),
            positive=labelled.scored.positive,
            chances=np.full(len(labelled.is_spam), 0.1),  # the same for all: it cancels
            labelled=np.concatenate([one.audit.known_at for one in windows]) <= moment,
            is_spam=labelled.is_spam,
            bands=np.zeros(len(labelled.is_spam), np.int64),
        )
    )
    figures = (found.precision.estimate, found.recall.estimate)
    precision, recall = (None if one is None else one.value for one in figures)
    return precision, recall


def _figures(confusion: Confusion) -> Said:
    return confusion.precision, confusion.recall


def _density_ratio(reference: Scored, window: Scored) -> Floats:
    columns = np.vstack([one.features for one in (reference, window)])
    columns = columns / np.maximum(columns.std(axis=0), 1e-9)
    sides = np.repeat([False, True], [len(reference), len(window)])
    model = LogisticRegression(C=0.1, max_iter=200).fit(columns, sides)
    odds = model.decision_function(columns[~sides]) + np.log(len(reference) / len(window))
    return np.asarray(np.exp(np.minimum(odds, np.log(LARGEST_RATIO))), np.float64)
