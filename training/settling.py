"""From out-of-fold log-odds to a policy: meta-learner, calibration, thresholds, early exit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.calibration import calibration_error, fit_calibration
from training.early_exit import EarlyExit, fit_early_exit
from training.logistic import Floats
from training.meta_learner import INPUTS, cross_fitted, fit_meta_learner
from training.objective import average_precision
from training.policy import Policy
from training.stacking import STAGES, Folds
from training.table import Table
from training.thresholds import fit_thresholds
from training.unfamiliarity import Ground, fit_unfamiliarity

_KNOWN = [STAGES.index(name) for name in INPUTS]
_PREFILTER, _GENERAL = STAGES.index("prefilter"), STAGES.index("general")


def settle(
    table: Table, ground: Ground, folds: Folds, log_odds: Floats, target_rate: float
) -> tuple[Policy, Floats]:
    """The policy, and the out-of-fold probability of each row, float64[n]."""
    general = log_odds[:, _GENERAL]
    distances = ground.distances(table.lexical)
    unfamiliarity = fit_unfamiliarity(distances, fit_calibration(general, table.targets))
    meta = cross_fitted(log_odds[:, _KNOWN], table.targets, folds)
    blended = unfamiliarity.blend(meta, general, distances)
    calibration = fit_calibration(blended, table.targets)
    scores = calibration.probability(blended)
    policy = Policy(
        meta_learner=fit_meta_learner(log_odds[:, _KNOWN], table.targets),
        calibration=calibration,
        early=fit_calibration(log_odds[:, _PREFILTER], table.targets),
        early_exit=EarlyExit(),
        unfamiliarity=unfamiliarity,
        thresholds=fit_thresholds(scores, table.targets, table.segments, target_rate),
    )
    return replace(policy, early_exit=_early_exit(policy, table, log_odds, scores)), scores


def _early_exit(policy: Policy, table: Table, log_odds: Floats, scores: Floats) -> EarlyExit:
    return fit_early_exit(
        log_odds[:, _PREFILTER],
        policy.early.probability(log_odds[:, _PREFILTER]),
        scores,
        _is_positive(policy, table, scores),
        table.targets,
        table.datasets,
    )


def quality(policy: Policy, table: Table, scores: Floats) -> list[dict[str, Any]]:
    """Out-of-fold quality by dataset: what training reports and logs."""
    positive = _is_positive(policy, table, scores)
    parts = {"all": np.ones(len(table), bool)}
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
        }
        for name, rows in parts.items()
    ]


def _share(flags: NDArray[np.bool_]) -> float | None:
    return float(flags.mean()) if len(flags) else None


def _is_positive(policy: Policy, table: Table, scores: Floats) -> NDArray[np.bool_]:
    lowest = np.array([policy.thresholds.of(segment)[0] for segment in table.segments])
    return np.asarray(scores >= lowest)
