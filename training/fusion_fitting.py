"""How a fusion network is trained: AdamW, a one-cycle rate, dropout; by one process or several.

Several processes (`training.distributed`) split every batch and add up their gradients, as
synchronous data parallelism does (Goyal et al. 2017, "Accurate, Large Minibatch SGD"). A kept
state after each epoch lets a training that was ended go on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from training.distributed import Processes
from training.fusion import QUERIES, Fusion, FusionParameters, FusionRows, forward
from training.logistic import Floats

ALONE = Processes(0, 1, "cpu")
BATCH = 128


class Keeper(Protocol):
    """Keeps the state of a training after an epoch, and gives the last one back."""

    def last(self) -> Mapping[str, Any] | None: ...

    def keep(self, state: Mapping[str, Any]) -> None: ...


class Fitted(NamedTuple):
    """A network, and the mean loss of each epoch that led to it."""

    fusion: Fusion
    losses: tuple[float, ...]


def fit_fusion(
    rows: FusionRows,
    targets: NDArray[np.int64],
    weights: Floats,
    parameters: FusionParameters,
    *,
    seed: int,
) -> Fusion:
    """Train with AdamW and a one-cycle rate; the same rows and seed give the same network.

    `weights` float64[n] say how much each row counts.
    """
    return fit_together(rows, targets, weights, parameters, seed=seed).fusion


def fit_together(
    rows: FusionRows,
    targets: NDArray[np.int64],
    weights: Floats,
    parameters: FusionParameters,
    *,
    seed: int,
    peers: Processes = ALONE,
    keeper: Keeper | None = None,
) -> Fitted:
    """`fit_fusion` by any number of processes, from the last epoch that `keeper` has.

    Every process draws the order of rows and all dropout of a batch from the same seed and
    computes its own rows of it. The gradients of all are added up before each step, so the
    network is that of one process but for the order of float32 sums.
    """
    import torch

    torch.set_num_threads(1)
    tensors = tuple(part.to(peers.device) for part in _tensors(rows, targets, weights))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        training = _Training.begin(rows, parameters, peers.device)
        training.go_on_from(keeper.last() if keeper else None)
        while len(training.losses) < parameters.epochs:
            training.losses.append(_epoch(training, tensors, parameters, peers))
            if keeper:
                keeper.keep(training.state())
    weights_by_name = training.network.items()
    fusion = Fusion(
        {name: weight.detach().cpu().numpy().copy() for name, weight in weights_by_name}
    )
    return Fitted(fusion, tuple(training.losses))


@dataclass(frozen=True)
class _Training:
    """Everything that changes while a network is trained."""

    network: dict[str, Any]
    optimiser: Any
    schedule: Any
    losses: list[float]

    @classmethod
    def begin(cls, rows: FusionRows, parameters: FusionParameters, device: str) -> _Training:
        import torch

        drawn = _initial([vector.shape[1] for vector in rows.vectors], parameters.width)
        network = {
            name: weight.detach().to(device).requires_grad_() for name, weight in drawn.items()
        }
        optimiser = torch.optim.AdamW(
            network.values(), lr=parameters.learning_rate, weight_decay=parameters.weight_decay
        )
        steps = parameters.epochs * -(-len(rows) // BATCH)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimiser, parameters.learning_rate, total_steps=steps
        )
        return cls(network, optimiser, schedule, [])

    def state(self) -> dict[str, Any]:
        import torch

        return {
            "network": {name: weight.detach() for name, weight in self.network.items()},
            "optimiser": self.optimiser.state_dict(),
            "schedule": self.schedule.state_dict(),
            "losses": list(self.losses),
            "random": torch.get_rng_state(),
        }

    def go_on_from(self, state: Mapping[str, Any] | None) -> None:
        import torch

        if state is None:
            return
        with torch.no_grad():
            for name, weight in self.network.items():
                weight.copy_(state["network"][name])
        self.optimiser.load_state_dict(state["optimiser"])
        self.schedule.load_state_dict(state["schedule"])
        self.losses.extend(state["losses"])
        torch.set_rng_state(state["random"].cpu())


def _epoch(
    training: _Training, tensors: tuple[Any, ...], parameters: FusionParameters, peers: Processes
) -> float:
    """One pass over the rows in a new order; the mean loss of its batches."""
    import torch

    losses = []
    for chosen in torch.split(torch.randperm(len(tensors[0])), BATCH):
        batch = tuple(part[chosen] for part in tensors)
        loss = _loss(training.network, batch, parameters, peers.share(len(chosen)))
        training.optimiser.zero_grad()
        loss.backward()
        whole = loss.detach()
        peers.add_up([*(weight.grad for weight in training.network.values()), whole])
        training.optimiser.step()
        training.schedule.step()
        losses.append(whole)
    return float(torch.stack(losses).mean())


def _loss(
    network: Mapping[str, Any], batch: tuple[Any, ...], parameters: FusionParameters, own: slice
) -> Any:
    """What the `own` rows add to the loss of the whole batch. All of its dropout is drawn."""
    import torch

    total = batch[3].sum()
    shown = _shown(batch[0], parameters.modality_dropout)[own]
    kept = _kept(batch[0], len(network["read.weight"]), parameters.dropout)[own]
    _, log_odds, targets, weights, *vectors = (part[own] for part in batch)
    logits = forward(
        torch, network, shown, torch.where(shown, log_odds, 0.0), vectors, lambda read: read * kept
    )
    each = torch.nn.functional.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    return (each * weights).sum() / total


def _shown(present: Any, dropout: float) -> Any:
    """Modality dropout; an event that would lose every stage keeps them all."""
    import torch

    shown = present & (torch.rand(present.shape) >= dropout).to(present.device)
    return shown | (present & ~shown.any(1, keepdim=True))


def _kept(present: Any, width: int, dropout: float) -> Any:
    """float32[n, width]: 0 for what is dropped, else what makes up for it.

    Drawn on the CPU, so that a GPU or another number of processes drops the same.
    """
    import torch

    return torch.nn.functional.dropout(torch.ones(len(present), width), dropout).to(present.device)


def _initial(widths: Sequence[int], width: int) -> dict[str, Any]:
    """Weights by name, scaled by the number of what feeds them (Glorot, Bengio 2010)."""
    read = QUERIES * width + 2 * len(widths)
    shapes = {"query": (QUERIES, width), "read.weight": (read, width), "answer.weight": (width, 1)}
    shapes |= {f"token.weight.{at}": (inputs + 2, width) for at, inputs in enumerate(widths)}
    shapes |= {f"{block}.{part}": (width, width) for block in ("among", "pool") for part in "qkvo"}
    biases = {"read.bias": width, "answer.bias": 1}
    biases |= {f"token.bias.{at}": width for at in range(len(widths))}
    return {name: _normal(shape) for name, shape in shapes.items()} | {
        name: _zeros(size) for name, size in biases.items()
    }


def _normal(shape: tuple[int, int]) -> Any:
    import torch

    return (torch.randn(shape) / shape[0] ** 0.5).requires_grad_()


def _zeros(size: int) -> Any:
    import torch

    return torch.zeros(size, requires_grad=True)


def _tensors(rows: FusionRows, targets: NDArray[np.int64], weights: Floats) -> tuple[Any, ...]:
    import torch

    numbers = (rows.log_odds, targets, weights, *rows.vectors)
    return torch.from_numpy(rows.present), *(
        torch.from_numpy(np.asarray(number, np.float32)) for number in numbers
    )
