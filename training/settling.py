"""From out-of-fold log-odds to a policy: meta-learner, calibration, thresholds, early exit.

Learners take every label. Thresholds promise a rate on the traffic, so they rest on rows drawn by
chance alone. Calibration does so too once these are many: samplers choose by the event, which
leaves the chance of spam at a given event as it is, so a good model needs no weights (Shimodaira
2000), and a slope from a handful of spam would be noise where the bias is small.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from training.calibration import calibration_error, fit_calibration
from training.early_exit import EarlyExit, fit_early_exit
from training.footing import AUDIT, Footing, footing
from training.logistic import Floats
from training.meta_learner import INPUTS, cross_fitted, fit_meta_learner
from training.objective import average_precision
from training.policy import Policy
from training.stacking import STAGES, Folds
from training.table import Table
from training.thresholds import ALL, FEWEST_IN_TAIL, fit_thresholds
from training.unfamiliarity import Ground, fit_unfamiliarity

_KNOWN = [STAGES.index(name) for name in INPUTS]
_PREFILTER, _GENERAL = STAGES.index("prefilter"), STAGES.index("general")
FEWEST_FOR_CALIBRATION = 100  # of each label, among rows drawn by chance


def settle(
    table: Table,
    ground: Ground,
    folds: Folds,
    log_odds: Floats,
    target_rate: float,
    learnt: NDArray[np.bool_],
) -> tuple[Policy, Floats]:
    """The policy fitted on the rows `learnt`, and the out-of-fold probability of every row,
    float64[n].
    """
    known, general = log_odds[:, _KNOWN], log_odds[:, _GENERAL]
    distances, own = ground.distances(table.lexical), table.part(np.flatnonzero(learnt))
    unfamiliarity = fit_unfamiliarity(
        distances[learnt], fit_calibration(general[learnt], own.targets)
    )
    meta = cross_fitted(known, table.targets, folds, learnt)
    blended = unfamiliarity.blend(meta, general, distances)
    by_chance = _calibration_footing(own).weights
    calibration = fit_calibration(blended[learnt], own.targets, by_chance)
    scores = calibration.probability(blended)
    policy = Policy(
        meta_learner=fit_meta_learner(known[learnt], own.targets),
        calibration=calibration,
        early=fit_calibration(log_odds[learnt, _PREFILTER], own.targets, by_chance),
        early_exit=EarlyExit(),
        unfamiliarity=unfamiliarity,
        thresholds=fit_thresholds(
            scores[learnt], own.targets, own.segments, target_rate, _threshold_footing(own).weights
        ),
    )
    early_exit = _early_exit(policy, own, log_odds[learnt], scores[learnt])
    return replace(policy, early_exit=early_exit), scores


def early_scores(policy: Policy, log_odds: Floats) -> Floats:
    """float64[n]: the probability of spam by the prefilter alone, out of fold."""
    return policy.early.probability(log_odds[:, _PREFILTER])


def fitted_on(table: Table, target_rate: float) -> dict[str, Any]:
    """For the training record: which labels thresholds and calibration rest on.

    With less effective ham than shows one false positive, thresholds are read off a tail alone.
    """
    thresholds = _threshold_footing(table).record(table.targets)
    return {
        "thresholds_fitted_on": thresholds | {"ham_for_one_false_positive": round(1 / target_rate)},
        "calibration_fitted_on": _calibration_footing(table).record(table.targets),
    }


def _threshold_footing(table: Table) -> Footing:
    return footing(table.chances, table.targets, fewest_ham=FEWEST_IN_TAIL)


def _calibration_footing(table: Table) -> Footing:
    fewest = FEWEST_FOR_CALIBRATION
    return footing(table.chances, table.targets, fewest_ham=fewest, fewest_spam=fewest)


def _early_exit(policy: Policy, table: Table, log_odds: Floats, scores: Floats) -> EarlyExit:
    return fit_early_exit(
        log_odds[:, _PREFILTER],
        policy.early.probability(log_odds[:, _PREFILTER]),
        scores,
        text_positive(policy, table, scores),
        table.targets,
        table.datasets,
    )


class Judgeable(Protocol):
    """Rows as quality is measured on them: datasets, int64 targets, chances of their draw."""

    @property
    def datasets(self) -> NDArray[np.str_]: ...
    @property
    def targets(self) -> NDArray[np.int64]: ...
    @property
    def chances(self) -> Floats: ...
    def __len__(self) -> int: ...


def quality(table: Judgeable, scores: Floats, positive: NDArray[np.bool_]) -> list[dict[str, Any]]:
    """Out-of-fold quality by dataset: what training reports and logs.

    `positive` bool[n] says which rows would be acted on. Where samplers chose some rows, the
    first part, `all`, also has what those drawn by chance say of the traffic, weighted by their
    chance.
    """
    parts = {ALL: np.ones(len(table), bool)}
    parts |= {str(name): table.datasets == name for name in np.unique(table.datasets)}
    return [
        {
            "dataset": name,
            "rows": int(rows.sum()),
            "spam": int(table.targets[rows].sum()),
            "average_precision": average_precision(scores[rows], table.targets[rows]),
            "recall": _share(positive[rows & (table.targets == 1)]),
            "false_positive_rate": _share(positive[rows & (table.targets == 0)]),
            "calibration_error": calibration_error(scores[rows], table.targets[rows]),
            **(_weighted_quality(table, positive) if name == ALL else {}),
        }
        for name, rows in parts.items()
    ]


def _weighted_quality(table: Judgeable, positive: NDArray[np.bool_]) -> dict[str, Any]:
    """Nothing where every row was taken, or none was drawn by chance."""
    found = footing(table.chances, table.targets, fewest_ham=0)
    if found.source != AUDIT:
        return {}
    spam = table.targets == 1
    return {
        "weighted_rows": int((found.weights > 0).sum()),
        "weighted_precision": _weighted_share(found.weights, spam, positive),
        "weighted_recall": _weighted_share(found.weights, positive, spam),
        "weighted_false_positive_rate": _weighted_share(found.weights, positive, ~spam),
        "weighted_prevalence": _weighted_share(found.weights, spam, np.ones_like(spam)),
    }


def _weighted_share(
    weights: Floats, hits: NDArray[np.bool_], among: NDArray[np.bool_]
) -> float | None:
    total = float(weights @ among)
    return float(weights @ (hits & among)) / total if total else None


def _share(flags: NDArray[np.bool_]) -> float | None:
    return float(flags.mean()) if len(flags) else None


def text_positive(policy: Policy, table: Table, scores: Floats) -> NDArray[np.bool_]:
    """bool[n]: which rows the text alone would act on."""
    lowest = np.array([policy.thresholds.of(segment)[0] for segment in table.segments])
    return np.asarray(scores >= lowest)
