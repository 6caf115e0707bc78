"""Fusion: cross-attention over modality tokens, with a mask for what is missing or was not run.

Every stage that ran gives one token: its log-odds, its columns and its embedding, projected.
Tokens attend to each other, learned queries attend to them all, and a small network reads the
result together with the masked log-odds. A stage that is absent is masked out of both, so the
same weights answer after any part of the stages. Training hides stages at random, so that no
stage can carry the rest (Neverova et al. 2016, "ModDrop"; Vaswani et al. 2017, "Attention Is All
You Need"; Jaegle et al. 2021, "Perceiver", for the queries).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.fusion_kernel import LOG_ODDS_BOUND, Array, Booleans, PackedFusion
from training.logistic import Floats

MASKED = -1e9
QUERIES = 2


@dataclass(frozen=True)
class FusionParameters:
    """`width` of a token; `modality_dropout` is the chance that a present stage is hidden."""

    width: int = 24
    epochs: int = 30
    modality_dropout: float = 0.3
    dropout: float = 0.2
    weight_decay: float = 1e-3
    learning_rate: float = 3e-3


@dataclass(frozen=True)
class FusionRows:
    """n events over S stages, one fixed order: `present` bool[n, S], `log_odds` float64[n, S] of
    the specialists (0 where absent), and `vectors`, a float32[n, d_s] a stage (0 where absent).
    """

    present: Booleans
    log_odds: Floats
    vectors: tuple[Array, ...]

    def __len__(self) -> int:
        return len(self.present)

    def part(self, rows: NDArray[Any]) -> FusionRows:
        return FusionRows(
            self.present[rows], self.log_odds[rows], tuple(part[rows] for part in self.vectors)
        )

    def keeping(self, kept: Booleans) -> FusionRows:
        """The same events as if only `kept` (bool[S] or bool[n, S]) had run."""
        present = self.present & kept
        return FusionRows(present, np.where(present, self.log_odds, 0.0), self.vectors)


class Fusion:
    """A fitted network: `weights` by name."""

    def __init__(self, weights: Mapping[str, Array]) -> None:
        self.weights = dict(weights)

    def score(self, rows: FusionRows) -> Floats:
        """Log-odds float64[n], each row by itself to the bit; each has some stage."""
        return self._packed.scores(rows.present, rows.log_odds, rows.vectors)

    @cached_property
    def _packed(self) -> PackedFusion:
        return PackedFusion.of([self.weights])


def mean_score(members: Sequence[Fusion], rows: FusionRows) -> Floats:
    """float64[n]: the mean log-odds of several networks."""
    return packed(members).scores(rows.present, rows.log_odds, rows.vectors)


def packed(members: Sequence[Fusion]) -> PackedFusion:
    """Several networks as one that gives their mean, for who scores row after row."""
    return PackedFusion.of([member.weights for member in members])


def forward(
    xp: Any,
    w: Mapping[str, Any],
    present: Any,
    log_odds: Any,
    vectors: Sequence[Any],
    drop: Callable[[Any], Any] = lambda read: read,
) -> Any:
    """Log-odds [n]. `xp` is torch in training; what was learned is scored by `fusion_kernel`."""
    bounded = xp.clip(log_odds / LOG_ODDS_BOUND, -1, 1)
    tokens = xp.stack([_token(xp, w, at, bounded, vector) for at, vector in enumerate(vectors)], 1)
    mask = present[:, None, :]
    tokens = tokens + _attended(xp, w, "among", tokens, tokens, mask)
    pooled = _attended(xp, w, "pool", w["query"][None], tokens, mask)
    read = xp.concatenate([pooled.reshape(len(present), -1), bounded, bounded * 0 + present], 1)
    hidden = xp.clip(drop(read) @ w["read.weight"] + w["read.bias"], 0.0, None)
    return (hidden @ w["answer.weight"] + w["answer.bias"])[:, 0]


def _token(xp: Any, w: Mapping[str, Any], at: int, bounded: Any, vector: Any) -> Any:
    """[n, width]: what a stage says, how sure it is, and what it saw."""
    says = bounded[:, at : at + 1]
    inputs = xp.concatenate([vector, says, abs(says)], 1)
    return xp.clip(inputs @ w[f"token.weight.{at}"] + w[f"token.bias.{at}"], 0.0, None)


def _attended(
    xp: Any, w: Mapping[str, Any], block: str, queries: Any, tokens: Any, mask: Any
) -> Any:
    """[n, q, width] from queries [n or 1, q, width], tokens [n, S, width] and mask [n, 1, S]."""
    q, k, v = queries @ w[f"{block}.q"], tokens @ w[f"{block}.k"], tokens @ w[f"{block}.v"]
    scores = xp.where(mask, q @ k.swapaxes(1, 2) / float(q.shape[-1]) ** 0.5, MASKED)
    raised = xp.exp(scores - xp.amax(scores, -1, keepdims=True))
    return raised / xp.sum(raised, -1, keepdims=True) @ v @ w[f"{block}.o"]
