"""The light tree scorer gives what LightGBM gives."""

from __future__ import annotations

import numpy as np
import pytest

from training.boosted_trees import BoostedTrees
from training.prefilter import PrefilterParameters, fit_prefilter, raw_scores


def test_the_c_interface_scores_as_the_python_package_missing_values_included() -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(200, 3)).astype(np.float32)
    rows[::7, 1] = np.nan
    targets = (rows[:, 0] > 0).astype(np.int64)
    booster = fit_prefilter(rows, targets, ["a", "b", "c"], PrefilterParameters(7, 10), seed=1)
    light = BoostedTrees(booster.model_to_string())
    np.testing.assert_array_equal([light.score(row) for row in rows], raw_scores(booster, rows))
    np.testing.assert_array_equal(light.scores(rows), raw_scores(booster, rows))


def test_the_same_seed_grows_the_same_trees() -> None:
    rows = np.random.default_rng(0).normal(size=(100, 2)).astype(np.float32)
    targets = (rows.sum(axis=1) > 0).astype(np.int64)
    grown = [
        fit_prefilter(rows, targets, ["a", "b"], PrefilterParameters(7, 5), seed=3)
        for _ in range(2)
    ]
    assert grown[0].model_to_string() == grown[1].model_to_string()


def test_a_text_that_is_no_model_is_refused() -> None:
    with pytest.raises(ValueError, match="not a LightGBM text model"):
        BoostedTrees("hello")
