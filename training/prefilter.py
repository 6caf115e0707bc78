"""The prefilter: LightGBM on the n-gram log-odds, lexical counts and context of an event.

Ke et al. 2017, "LightGBM: A Highly Efficient Gradient Boosting Decision Tree" (NeurIPS).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.float32]


@dataclass(frozen=True)
class PrefilterParameters:
    """`rounds` trees of at most `leaves` leaves."""

    leaves: int = 31
    rounds: int = 200
    learning_rate: float = 0.06


def prefilter_columns(log_odds: NDArray[np.float64], lexical: Rows, context: Rows) -> Rows:
    """float32[n, 1 + lexical + context]: the table that the prefilter reads."""
    return np.column_stack([log_odds.astype(np.float32), lexical, context])


def fit_prefilter(
    rows: Rows,
    targets: NDArray[np.int64],
    names: Sequence[str],
    parameters: PrefilterParameters,
    *,
    seed: int,
) -> Any:
    """A LightGBM Booster; the same rows and seed give the same trees.

    One thread: on busy cores more of them wait for each other for longer than they work.
    """
    import lightgbm

    settings = {
        "objective": "binary", "learning_rate": parameters.learning_rate,
        "num_leaves": parameters.leaves, "min_data_in_leaf": min(20, max(1, len(rows) // 20)),
        "feature_fraction": 0.6, "bagging_fraction": 0.8, "bagging_freq": 1, "lambda_l2": 5.0,
        "seed": seed, "num_threads": 1, "deterministic": True, "force_row_wise": True,
        "verbosity": -1,
    }  # fmt: skip
    table = lightgbm.Dataset(rows, targets, feature_name=list(names), params={"verbosity": -1})
    return lightgbm.train(settings, table, num_boost_round=parameters.rounds)


def raw_scores(booster: Any, rows: Rows) -> NDArray[np.float64]:
    """float64[n]: log-odds, as `BoostedTrees.score` gives them."""
    return np.asarray(booster.predict(rows, raw_score=True), np.float64)
