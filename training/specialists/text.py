"""The text specialist: small networks on the sentence embedding, exported to ONNX.

It gives three log-odds of spam. `content` reads the embedding, `style` the embedding and the
lexical counts, and `general` is a strongly regularised linear reading of the embedding: less
sharp on known ground, steadier on text unlike the training texts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
HEADS = ("content", "style", "general")
EMBEDDING_SCALE = 5.0
LEXICAL_BOUND = 5.0
FEWEST_STEPS = 200  # of small tables, more epochs


@dataclass(frozen=True)
class SpecialistParameters:
    """Two hidden layers (`width`, `width` / 4), trained for `epochs`."""

    width: int = 192
    epochs: int = 10
    dropout: float = 0.3
    weight_decay: float = 1e-4
    learning_rate: float = 4e-3
    general_strength: float = 0.02


class Scaling(NamedTuple):
    """Mean and 1 / deviation of the lexical counts: float32[k] each."""

    mean: Floats
    inverse: Floats

    @classmethod
    def of(cls, lexical: Floats) -> Scaling:
        deviation = lexical.std(axis=0)
        inverse = np.where(deviation > 1e-6, 1.0 / np.maximum(deviation, 1e-6), 0.0)
        return cls(lexical.mean(axis=0).astype(np.float32), inverse.astype(np.float32))

    def apply(self, lexical: Floats) -> Floats:
        scaled = (lexical - self.mean) * self.inverse
        bounded: Floats = np.clip(scaled, -LEXICAL_BOUND, LEXICAL_BOUND).astype(np.float32)
        return bounded


class Network(NamedTuple):
    """Weights float32[in, out] and biases float32[out] of each layer, ReLU between layers."""

    weights: tuple[Floats, ...]
    biases: tuple[Floats, ...]

    def score(self, inputs: Floats) -> Floats:
        """float32[n]."""
        for last, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True), 1):
            inputs = inputs @ weight + bias
            if last < len(self.weights):
                inputs = np.maximum(inputs, 0.0)
        return inputs[:, 0]


class TextSpecialist(NamedTuple):
    """One trained member: a network for each head and the scaling of its lexical input."""

    content: Network
    style: Network
    general: Network
    scaling: Scaling

    def scores(self, embeddings: Floats, lexical: Floats) -> Floats:
        """float32[n, 3]: log-odds by head, in the order of HEADS."""
        scaled = np.hstack([embeddings * EMBEDDING_SCALE, self.scaling.apply(lexical)])
        heads = [
            self.content.score(embeddings * EMBEDDING_SCALE),
            self.style.score(scaled),
            self.general.score(embeddings),
        ]
        return np.stack(heads, axis=1)


def fit_text_specialist(
    embeddings: Floats,
    lexical: Floats,
    targets: NDArray[np.int64],
    parameters: SpecialistParameters,
    *,
    seed: int,
    weights: NDArray[np.float64] | None = None,
) -> TextSpecialist:
    """Train the three heads on float32[n, d] embeddings and float32[n, k] lexical counts.

    `weights` float64[n] are those of the `general` head: balanced over datasets and labels, it
    learns what spam is anywhere, not which dataset holds more of it.
    """
    scaling = Scaling.of(lexical)
    scaled = embeddings * EMBEDDING_SCALE
    both = np.hstack([scaled, scaling.apply(lexical)])
    return TextSpecialist(
        content=_trained(scaled, targets, parameters, seed),
        style=_trained(both, targets, parameters, seed + 1),
        general=_linear(embeddings, targets, parameters.general_strength, weights),
        scaling=scaling,
    )


def _linear(
    embeddings: Floats,
    targets: NDArray[np.int64],
    strength: float,
    weights: NDArray[np.float64] | None,
) -> Network:
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=strength, max_iter=500)
    model.fit(embeddings, targets, sample_weight=weights)
    kernel = model.coef_.T.astype(np.float32)
    return Network((kernel,), (model.intercept_.astype(np.float32),))


def _trained(
    inputs: Floats,
    targets: NDArray[np.int64],
    parameters: SpecialistParameters,
    seed: int,
    batch: int = 128,
) -> Network:
    """AdamW with a one-cycle rate (Smith, Topin 2018); the same seed gives the same network."""
    import torch
    from torch import nn

    torch.set_num_threads(1)  # networks this small only wait for each other on more
    generator = torch.Generator().manual_seed(seed)
    table, wanted = torch.from_numpy(inputs), torch.from_numpy(targets.astype(np.float32))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = _layers(inputs.shape[1], parameters)
        per_epoch = -(-len(inputs) // batch)
        epochs = max(parameters.epochs, -(-FEWEST_STEPS // per_epoch))
        optimiser = torch.optim.AdamW(
            network.parameters(), lr=parameters.learning_rate, weight_decay=parameters.weight_decay
        )
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimiser, parameters.learning_rate, total_steps=epochs * per_epoch
        )
        loss_of = nn.BCEWithLogitsLoss()
        for _ in range(epochs):
            order = torch.randperm(len(inputs), generator=generator)
            for rows in torch.split(order, batch):
                loss = loss_of(network(table[rows])[:, 0], wanted[rows])
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                schedule.step()
    return _frozen(network)


def _layers(inputs: int, parameters: SpecialistParameters) -> Any:
    from torch import nn

    narrow = max(parameters.width // 4, 4)
    return nn.Sequential(
        nn.Linear(inputs, parameters.width), nn.ReLU(), nn.Dropout(parameters.dropout),
        nn.Linear(parameters.width, narrow), nn.ReLU(), nn.Linear(narrow, 1),
    )  # fmt: skip


def _frozen(network: Any) -> Network:
    from torch import nn

    linear = [layer for layer in network if isinstance(layer, nn.Linear)]
    weights = tuple(layer.weight.detach().numpy().T.copy() for layer in linear)
    return Network(weights, tuple(layer.bias.detach().numpy().copy() for layer in linear))


def mean_scores(members: Sequence[TextSpecialist], embeddings: Floats, lexical: Floats) -> Floats:
    """float32[n, 3]: the mean of the members, which is what the exported model gives."""
    scores = np.mean([member.scores(embeddings, lexical) for member in members], axis=0)
    return np.asarray(scores, np.float32)
