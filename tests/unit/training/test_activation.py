"""Which stages run, and what that costs and keeps."""

from __future__ import annotations

import numpy as np

from training.activation import (
    Activation,
    fit_activation,
    never_settles,
    settled_scores,
    spent,
)
from training.logistic import sigmoid
from training.objective import average_precision


def test_bounds_settle_and_say_why() -> None:
    policy = Activation(("image", "ocr"), (40.0, 250.0), ((0.01, 0.99), (0.05, 0.9)))
    assert policy.settled(0, 0.01) == "clear ham"
    assert policy.settled(0, 0.5) is None
    assert policy.settled(1, 0.95) == "clear spam"


def test_only_what_an_open_event_carries_is_paid() -> None:
    policy = Activation(("image", "ocr"), (40.0, 250.0), ((0.01, 0.99), (0.05, 0.9)))
    scores = np.array([[0.001, 0.5, 0.5], [0.5, 0.02, 0.3], [0.5, 0.5, 0.7]])
    costs = np.array([[40.0, 250.0], [40.0, 250.0], [0.0, 250.0]])
    assert spent(policy, scores, costs).tolist() == [0.0, 40.0, 250.0]
    assert settled_scores(policy, scores, costs).tolist() == [0.001, 0.02, 0.7]


def scores_of(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Each step knows a little more than the one before."""
    rng = np.random.default_rng(seed)
    targets = (rng.random(n) < 0.2).astype(np.int64)
    noise = rng.normal(0, 1.0, n)
    steps = [sigmoid(3 * (2 * targets - 1) + noise * k) for k in (1.6, 1.3, 1.2)]
    return np.column_stack(steps), targets


def test_the_policy_is_cheap_and_nearly_as_good_as_everything() -> None:
    scores, targets = scores_of(6000, 1)
    costs = np.tile([40.0, 250.0], (len(targets), 1))
    threshold = float(np.quantile(scores[targets == 0, -1], 0.999))
    policy = fit_activation(
        never_settles(("image", "ocr"), (40.0, 250.0)), scores, costs, targets, threshold
    )
    unseen, truth = scores_of(6000, 2)
    lost = average_precision(unseen[:, -1], truth)
    lost -= average_precision(settled_scores(policy, unseen, costs), truth)
    assert lost < 0.005
    assert spent(policy, unseen, costs).mean() < 0.5 * costs.sum(axis=1).mean()


def test_a_stage_that_adds_nothing_is_skipped_by_those_who_carry_it() -> None:
    scores, targets = scores_of(6000, 5)
    scores[:, 2] = scores[:, 1]  # the last step learns nothing
    costs = np.tile([40.0, 250.0], (6000, 1))
    threshold = float(np.quantile(scores[targets == 0, -1], 0.999))
    policy = fit_activation(
        never_settles(("image", "ocr"), (40.0, 250.0)), scores, costs, targets, threshold
    )
    assert policy.settled(1, 0.5) == "adds nothing"
    assert policy.settled(0, 0.5) is None
    assert spent(policy, scores, costs).max() == 40.0
    lacking = np.tile([0.0, 250.0], (6000, 1))
    assert spent(never_settles(("image", "ocr"), (40.0, 250.0)), scores, lacking).max() == 250.0


def test_nothing_is_settled_where_the_first_steps_know_nothing() -> None:
    scores, targets = scores_of(3000, 3)
    scores[:, :2] = np.random.default_rng(0).random((3000, 2))
    costs = np.tile([40.0, 250.0], (3000, 1))
    policy = fit_activation(
        never_settles(("image", "ocr"), (40.0, 250.0)), scores, costs, targets, 0.9
    )
    assert spent(policy, scores, costs).sum() == costs.sum()
