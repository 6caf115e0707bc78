"""What fusion learns of stages that no single one tells."""

from __future__ import annotations

import numpy as np
import torch

from training.fusion import (
    Fusion,
    FusionParameters,
    FusionRows,
    forward,
    mean_score,
)
from training.fusion_fitting import fit_fusion
from training.fusion_kernel import ROWS
from training.objective import average_precision

QUICK = FusionParameters(width=8, epochs=12)


def rows(n: int = 1200, seed: int = 3) -> tuple[FusionRows, np.ndarray]:
    """Spam is where two stages disagree: neither tells it alone, nor does their sum."""
    rng = np.random.default_rng(seed)
    signs = rng.integers(0, 2, size=(n, 2)) * 2 - 1
    targets = (signs[:, 0] != signs[:, 1]).astype(np.int64)
    vectors = tuple(
        (signs[:, [at]] + rng.normal(0, 0.3, (n, 1))).astype(np.float32) for at in (0, 1)
    )
    third = rng.normal(size=(n, 2)).astype(np.float32)
    return FusionRows(np.ones((n, 3), bool), rng.normal(size=(n, 3)), (*vectors, third)), targets


def fitted() -> tuple[Fusion, FusionRows, np.ndarray]:
    given, targets = rows()
    return fit_fusion(given, targets, np.ones(len(given)), QUICK, seed=1), given, targets


def test_fusion_learns_what_no_single_stage_and_no_sum_can_tell() -> None:
    network, _, _ = fitted()
    unseen, targets = rows(seed=4)
    assert average_precision(network.score(unseen), targets) > 0.9
    linear = np.column_stack([*unseen.vectors, unseen.log_odds])
    alone = max(
        average_precision(sign * column, targets) for column in linear.T for sign in (1, -1)
    )
    assert alone < 0.65


def test_what_is_masked_cannot_matter() -> None:
    network, given, _ = fitted()
    kept = np.array([True, False, True])
    hidden = given.keeping(kept)
    other = FusionRows(
        hidden.present, hidden.log_odds, (given.vectors[0], given.vectors[1] + 9, given.vectors[2])
    )
    assert network.score(hidden).tolist() == network.score(other).tolist()


def test_serving_computes_what_training_computed() -> None:
    network, given, _ = fitted()
    weights = {name: torch.from_numpy(weight) for name, weight in network.weights.items()}
    in_torch = forward(
        torch, weights, torch.from_numpy(given.present),
        torch.from_numpy(given.log_odds.astype(np.float32)),
        [torch.from_numpy(vector) for vector in given.vectors],
    )  # fmt: skip
    assert np.abs(in_torch.numpy() - network.score(given)).max() < 1e-4


def test_an_answer_does_not_depend_on_its_neighbours() -> None:
    network, given, _ = fitted()
    together = network.score(given.part(np.arange(20)))
    alone = [network.score(given.part(np.array([at])))[0] for at in range(20)]
    assert together.tolist() == alone


def test_the_same_seed_gives_the_same_network() -> None:
    given, targets = rows(200)
    first, second = (fit_fusion(given, targets, np.ones(200), QUICK, seed=1) for _ in range(2))
    assert all((first.weights[name] == second.weights[name]).all() for name in first.weights)


def test_the_compiled_networks_say_what_numpy_says_whichever_stages_ran() -> None:
    network, given, _ = fitted()
    other = Fusion({name: weight[::-1].copy() for name, weight in network.weights.items()})
    shown = given.keeping(np.random.default_rng(5).random((len(given), 3)) < 0.6)
    some = shown.part(np.flatnonzero(shown.present.any(axis=1)))
    in_numpy = [
        forward(np, member.weights, some.present, some.log_odds.astype(np.float32), some.vectors)
        for member in (network, other)
    ]
    assert len(np.unique(some.present, axis=0)) == 7, "every part of three stages but none"
    np.testing.assert_allclose(network.score(some), in_numpy[0], atol=1e-5)
    np.testing.assert_allclose(
        mean_score([network, other], some), np.mean(in_numpy, axis=0), atol=1e-5
    )


def test_many_rows_are_scored_as_few() -> None:
    network, given, _ = fitted()
    many = given.part(np.arange(ROWS + 5) % len(given))
    repeated = network.score(given)[np.arange(ROWS + 5) % len(given)]
    assert network.score(many).tolist() == repeated.tolist()
    assert len(network.score(given.part(np.arange(0)))) == 0
