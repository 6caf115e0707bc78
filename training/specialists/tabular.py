"""The specialist of any stage with columns and, where it has one, an embedding.

LightGBM reads the columns and the log-odds of a strongly regularised logistic regression on the
embedding. These log-odds are out of fold when the trees learn, or the trees would trust them as
far as the regression remembers (Wolpert 1992). Ke et al. 2017, "LightGBM" (NeurIPS).
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data_contracts.errors import BadInput
from training.boosted_trees import BoostedTrees
from training.specialists.base import StageRows

TREES, LINEAR = "trees.txt", "linear.npz"
INNER_FOLDS = 3
DEFAULTS: Mapping[str, float | int] = {
    "leaves": 15,
    "rounds": 120,
    "learning_rate": 0.06,
    "embedding_strength": 0.05,
}
Floats = NDArray[np.float32]


class TabularSpecialist:
    """A fitted specialist: LightGBM's text, and a linear reading `weights` float32[d + 1]."""

    def __init__(self, trees: str, weights: Floats) -> None:
        self._text = trees
        self._weights = weights

    def score(self, columns: Floats, embedding: Floats) -> float:
        row = np.empty(len(columns) + 1, np.float32)
        row[:-1] = columns
        row[-1] = embedding @ self._weights[:-1] + self._weights[-1]
        return self._trees.score(row)

    def files(self) -> Mapping[str, bytes]:
        buffer = io.BytesIO()
        np.savez_compressed(buffer, weights=self._weights)
        return {TREES: self._text.encode(), LINEAR: buffer.getvalue()}

    @cached_property
    def _trees(self) -> BoostedTrees:
        return BoostedTrees(self._text)


class TabularFamily:
    """Trains and loads tabular specialists; parameters are those of DEFAULTS."""

    def fit(
        self,
        rows: StageRows,
        names: Sequence[str],
        parameters: Mapping[str, float | int],
        *,
        seed: int,
    ) -> TabularSpecialist:
        """ValueError for an unknown parameter. Needs both labels."""
        chosen = {**DEFAULTS, **parameters}
        if unknown := set(chosen) - set(DEFAULTS):
            raise ValueError(f"parameters {sorted(unknown)} are none of {', '.join(DEFAULTS)}")
        strength = float(chosen["embedding_strength"])
        linear = _linear_out_of_fold(rows, strength, np.random.default_rng(seed))
        table = np.column_stack([rows.columns, linear])
        trees = _boosted(table, rows, [*names, "embedding_log_odds"], chosen, seed)
        weights = _linear(rows.embeddings, rows.targets, strength)
        return TabularSpecialist(trees.model_to_string(), weights)

    def load(self, files: Mapping[str, bytes]) -> TabularSpecialist:
        try:
            with np.load(io.BytesIO(files[LINEAR]), allow_pickle=False) as arrays:
                return TabularSpecialist(files[TREES].decode(), arrays["weights"])
        except (KeyError, ValueError, OSError) as error:
            raise BadInput(f"not a tabular specialist ({error}); train again") from None


def _linear_out_of_fold(rows: StageRows, strength: float, rng: np.random.Generator) -> Floats:
    scores = np.zeros(len(rows.targets), np.float32)
    if rows.embeddings.shape[1] == 0:
        return scores
    folds = rng.permutation(len(scores)) % INNER_FOLDS
    for fold in range(INNER_FOLDS):
        seen, held_out = folds != fold, folds == fold
        weights = _linear(rows.embeddings[seen], rows.targets[seen], strength)
        scores[held_out] = rows.embeddings[held_out] @ weights[:-1] + weights[-1]
    return scores


def _linear(embeddings: Floats, targets: NDArray[np.int64], strength: float) -> Floats:
    """Weights float32[d] and intercept; zeros where there is nothing to read."""
    if embeddings.shape[1] == 0 or len(np.unique(targets)) < 2:
        return np.zeros(embeddings.shape[1] + 1, np.float32)
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=strength, max_iter=300, class_weight="balanced")
    model.fit(embeddings, targets)
    return np.append(model.coef_[0], model.intercept_).astype(np.float32)


def _boosted(
    table: Floats,
    rows: StageRows,
    names: Sequence[str],
    chosen: Mapping[str, float | int],
    seed: int,
) -> Any:
    import lightgbm

    settings = {
        "objective": "binary", "learning_rate": chosen["learning_rate"],
        "num_leaves": int(chosen["leaves"]), "min_data_in_leaf": min(20, max(1, len(table) // 20)),
        "feature_fraction": 0.7, "bagging_fraction": 0.8, "bagging_freq": 1, "lambda_l2": 5.0,
        "seed": seed, "num_threads": 1, "deterministic": True, "force_row_wise": True,
        "verbosity": -1,
    }  # fmt: skip
    plain = [name.replace(" ", "_").replace(":", "_") for name in names]
    data = lightgbm.Dataset(table, rows.targets, feature_name=plain, params={"verbosity": -1})
    return lightgbm.train(settings, data, num_boost_round=int(chosen["rounds"]))
