"""The specialist of columns and an embedding."""

from __future__ import annotations

import numpy as np
import pytest

from data_contracts.errors import BadInput
from training.specialists.base import StageRows
from training.specialists.tabular import TabularFamily


def rows(n: int = 400, width: int = 3) -> StageRows:
    """Column 0 and the embedding's first number tell spam from ham, each in part."""
    rng = np.random.default_rng(5)
    targets = rng.integers(0, 2, n)
    columns = rng.normal(size=(n, 2)).astype(np.float32)
    columns[:, 0] += targets
    columns[rng.random(n) < 0.1, 1] = np.nan
    embeddings = rng.normal(size=(n, width)).astype(np.float32)
    if width:
        embeddings[:, 0] += targets
    return StageRows(columns, embeddings, targets, np.full(n, "one"))


def scores(found, given: StageRows) -> np.ndarray:
    pairs = zip(given.columns, given.embeddings, strict=True)
    return np.array([found.score(*pair) for pair in pairs])


def test_spam_scores_above_ham_and_both_parts_count() -> None:
    given = rows()
    found = TabularFamily().fit(given, ["a", "b"], {}, seed=1)
    spam, ham = scores(found, given)[given.targets == 1], scores(found, given)[given.targets == 0]
    assert np.median(spam) > 0 > np.median(ham)
    moved = given.embeddings[0] + np.array([5, 0, 0], np.float32)
    assert found.score(given.columns[0], moved) > found.score(given.columns[0], given.embeddings[0])


def test_a_stage_without_an_embedding_is_trees_alone() -> None:
    given = rows(width=0)
    found = TabularFamily().fit(given, ["a", "b"], {}, seed=1)
    assert np.isfinite(scores(found, given)).all()


def test_files_give_the_same_specialist_and_the_same_seed_gives_the_same_files() -> None:
    given = rows()
    found = TabularFamily().fit(given, ["a", "b"], {"rounds": 20}, seed=1)
    again = TabularFamily().load(found.files())
    assert scores(again, given).tolist() == scores(found, given).tolist()
    assert TabularFamily().fit(given, ["a", "b"], {"rounds": 20}, seed=1).files() == found.files()


def test_what_is_wrong_is_named() -> None:
    with pytest.raises(ValueError, match="depth"):
        TabularFamily().fit(rows(), ["a", "b"], {"depth": 3}, seed=1)
    with pytest.raises(BadInput, match="train again"):
        TabularFamily().load({"trees.txt": b""})
