"""A fusion network by several processes, and one that goes on where it was ended."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data_contracts.errors import BadInput, MissingPart
from tests.unit.training.test_fusion import QUICK, rows
from training.distributed import Processes, joined
from training.fusion_command import Checkpoints
from training.fusion_fitting import ALONE, fit_together
from training.fusion_tokens import read_task


class Ending:
    """Keeps every state, and ends the process, as it were, after `epochs` of them."""

    def __init__(self, epochs: int) -> None:
        self.epochs = epochs
        self.states: list[Mapping[str, Any]] = []

    def last(self) -> Mapping[str, Any] | None:
        return self.states[-1] if self.states else None

    def keep(self, state: Mapping[str, Any]) -> None:
        self.states.append(
            {**state, "network": {k: v.clone() for k, v in state["network"].items()}}
        )
        if len(self.states) == self.epochs:
            raise InterruptedError


def test_a_training_that_was_ended_goes_on_to_the_same_network(tmp_path: Path) -> None:
    given, targets = rows(400)
    whole = fit_together(given, targets, np.ones(400), QUICK, seed=1)
    keeper = Checkpoints(tmp_path / "fold-0.pt", "this", ALONE)
    ending = Ending(5)
    with pytest.raises(InterruptedError):
        fit_together(given, targets, np.ones(400), QUICK, seed=1, keeper=ending)
    keeper.keep(ending.states[-1])
    resumed = fit_together(given, targets, np.ones(400), QUICK, seed=1, keeper=keeper)
    assert resumed.losses == whole.losses
    assert len(whole.losses) == QUICK.epochs
    for name, weight in whole.fusion.weights.items():
        assert (resumed.fusion.weights[name] == weight).all(), name


def test_a_checkpoint_of_another_task_is_refused(tmp_path: Path) -> None:
    given, targets = rows(200)
    path = tmp_path / "fold-0.pt"
    fit_together(
        given, targets, np.ones(200), QUICK, seed=1, keeper=Checkpoints(path, "this", ALONE)
    )
    with pytest.raises(BadInput, match="of other tokens or parameters"):
        Checkpoints(path, "another", ALONE).last()


def test_only_the_first_process_writes(tmp_path: Path) -> None:
    Checkpoints(tmp_path / "fold-0.pt", "this", Processes(1, 2, "cpu")).keep({"losses": []})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("batch", "world"), [(128, 2), (128, 3), (5, 4), (1, 3), (7, 1)])
def test_the_shares_are_the_whole_batch_once(batch: int, world: int) -> None:
    found = [
        at for rank in range(world) for at in range(batch)[Processes(rank, world, "").share(batch)]
    ]
    assert found == list(range(batch))


def test_without_torchrun_there_is_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with joined(1.0) as processes:
        assert (processes.rank, processes.world, processes.leads) == (0, 1, True)
        assert processes.told({"a": 1}) == {"a": 1}


def test_tokens_that_are_absent_or_something_else_are_named(tmp_path: Path) -> None:
    with pytest.raises(MissingPart, match="train --fusion-tokens FILE"):
        read_task(tmp_path / "tokens.npz")
    other = tmp_path / "other.npz"
    np.savez(other, targets=np.zeros(3))
    with pytest.raises(BadInput, match="holds no tokens of this version"):
        read_task(other)
