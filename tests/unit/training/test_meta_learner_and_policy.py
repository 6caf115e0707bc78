"""How stages are weighed, and how a policy is stored and read."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.features.text.extraction import CHEAP_NAMES
from pipelines.features.text.lexical import lexical_features
from training.calibration import Calibration
from training.early_exit import NEVER, EarlyExit, fit_early_exit
from training.meta_learner import cross_fitted, fit_meta_learner
from training.objective import average_precision, mean_average_precision
from training.policy import Policy
from training.thresholds import ALL, Thresholds
from training.unfamiliarity import Ground, Unfamiliarity


def test_cross_fitting_shows_no_skill_where_there_is_none() -> None:
    rng = np.random.default_rng(0)
    targets = rng.integers(0, 2, 400)
    noise = rng.normal(size=(400, 4))
    folds = np.arange(400) % 5
    precision = average_precision(cross_fitted(noise, targets, folds), targets)
    assert precision == pytest.approx(0.5, abs=0.1)


def test_a_rows_own_label_does_not_touch_its_cross_fitted_score() -> None:
    rng = np.random.default_rng(0)
    log_odds, folds = rng.normal(size=(50, 4)), np.arange(50) % 5
    targets = rng.integers(0, 2, 50)
    flipped = targets.copy()
    flipped[folds == 0] = 1 - flipped[folds == 0]
    before = cross_fitted(log_odds, targets, folds)
    after = cross_fitted(log_odds, flipped, folds)
    np.testing.assert_array_equal(before[folds == 0], after[folds == 0])


def test_the_meta_learner_trusts_the_stage_that_knows() -> None:
    rng = np.random.default_rng(0)
    targets = rng.integers(0, 2, 500)
    log_odds = rng.normal(size=(500, 4))
    log_odds[:, 2] += 4 * targets - 2
    weights = fit_meta_learner(log_odds, targets).weights
    assert weights[2] > 5 * max(abs(weights[0]), abs(weights[1]), abs(weights[3]))


def test_average_precision_of_tied_scores_is_the_share_of_spam() -> None:
    assert average_precision(np.zeros(4), np.array([1, 0, 0, 0])) == 0.25


def test_the_objective_is_the_mean_over_datasets_with_both_labels() -> None:
    scores = np.array([0.9, 0.1, 0.1, 0.9, 0.5])
    targets = np.array([1, 0, 1, 0, 1])
    datasets = np.array(["a", "a", "b", "b", "only spam"])
    assert mean_average_precision(scores, targets, datasets) == 0.75


def test_the_early_exit_lets_through_no_spam_that_the_ensemble_would_catch() -> None:
    prefilter = np.linspace(-10, 10, 100)
    targets = (prefilter > 5).astype(np.int64)
    targets[20] = 1  # the prefilter misses it, the ensemble does not
    full = np.where(targets == 1, 0.9, 0.1)
    early = 1 / (1 + np.exp(-prefilter))
    fitted = fit_early_exit(prefilter, early, full, full > 0.5, targets, np.array(["a"] * 100))
    assert NEVER < fitted.clear_ham < prefilter[20]


def test_nothing_unlike_the_training_texts_is_settled_early() -> None:
    assert EarlyExit(0.0).settles(-1.0, unlike_training=False)
    assert not EarlyExit(0.0).settles(-1.0, unlike_training=True)
    assert not EarlyExit().settles(-100.0, unlike_training=False)


def test_on_strange_ground_the_general_reading_takes_over() -> None:
    ground = Unfamiliarity(0.5, 0.2, Calibration(2.0, 1.0))
    known, general = np.array([8.0, 8.0, 8.0]), np.array([-1.0, -1.0, -1.0])
    blended = ground.blend(known, general, np.array([0.5, 0.6, 0.9]))
    np.testing.assert_allclose(blended, [8.0, 3.5, -1.0])


def test_a_text_of_another_kind_lies_far_off_and_a_row_has_its_own_distance() -> None:
    messages = np.stack([lexical(f"see you at {hour} then") for hour in range(60)])
    ground = Ground.of(messages)
    mail = lexical("<p>Dear Sir</p>\n> quoted\n" * 40)
    assert ground.distances(mail[None, :])[0] > 3 * ground.distances(messages).max()
    together, alone = ground.distances(messages)[7], ground.distances(messages[7:8])[0]
    assert together == pytest.approx(alone, rel=1e-12)


def test_a_disguise_is_not_foreign_ground() -> None:
    messages = np.stack([lexical(f"see you at {hour} then") for hour in range(60)])
    disguised = messages[:1].copy()
    disguised[0, CHEAP_NAMES.index("repaired_words")] = 5
    ground = Ground.of(messages)
    assert ground.distances(disguised)[0] == ground.distances(messages[:1])[0]


def lexical(text: str) -> np.ndarray:
    return np.append(lexical_features(text), np.float32(0))


def test_a_policy_survives_the_way_through_json() -> None:
    learner = fit_meta_learner(np.eye(4), np.array([0, 1, 0, 1]))
    policy = Policy(
        learner, Calibration(1.1, 0.2), Calibration(), EarlyExit(-3.0),
        Unfamiliarity(0.4, 0.1, Calibration(2.0, 0.1)),
        Thresholds(0.001, {ALL: (0.5, 0.6, 0.7, 0.8)}),
    )  # fmt: skip
    assert Policy.from_record(policy.as_record()) == policy
