"""The fusion's networks over a row, compiled: what `training.fusion.forward` says, faster.

NumPy spends half a millisecond on one row of one network, nearly all of it on the way into its
functions. Here all members read a row in some ten microseconds, each row by itself and in one
order of sums: a row has the same bits among any others. Products of weights alone are multiplied
beforehand, and a stage that is absent is not read at all.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipelines.kernels import kernel

Array = NDArray[np.float32]
Floats = NDArray[np.float64]
Booleans = NDArray[np.bool_]
Places = NDArray[np.int64]
LOG_ODDS_BOUND = 8.0
ROWS = 4096  # of which the stages' vectors are laid side by side at a time


@dataclass(frozen=True)
class PackedFusion:
    """`weights` float32[members, p], each member's in the order of `_packed`; stage s reads the
    columns `starts[s]` to `starts[s + 1]` of an input row.
    """

    weights: Array
    starts: Places
    width: int
    queries: int

    @classmethod
    def of(cls, members: Sequence[Mapping[str, Array]]) -> PackedFusion:
        """From the members' weights by name; they are of one shape."""
        first = members[0]
        stages = sum(name.startswith("token.weight.") for name in first)
        inputs = [len(first[f"token.weight.{at}"]) - 2 for at in range(stages)]
        queries, width = first["query"].shape
        weights = np.stack([_packed(member, stages) for member in members])
        return cls(weights, np.cumsum([0, *inputs]), width, queries)

    def scores(self, present: Booleans, log_odds: Floats, vectors: Sequence[Array]) -> Floats:
        """float64[n]: the mean log-odds of the members, from bool[n, S], float64[n, S] and a
        float32[n, d_s] a stage.
        """
        ran, says = np.ascontiguousarray(present), np.ascontiguousarray(log_odds, np.float64)
        parts = [
            self.scores_of(ran[part], says[part], _side_by_side(vectors, part))
            for part in _parts(len(ran))
        ]
        return np.concatenate(parts) if parts else np.zeros(0)

    def scores_of(self, present: Booleans, log_odds: Floats, inputs: Array) -> Floats:
        """The same from C-contiguous arrays; `inputs` float32[n, sum of d_s]."""
        found: Floats = _scored(
            present, log_odds, inputs, self.starts, self.weights, self.width, self.queries
        )
        return found


def _packed(weights: Mapping[str, Array], stages: int) -> Array:
    """float32[p]: the tokens' layers, the two attentions, the reading and the answer."""
    wide = {name: weight.astype(np.float64) for name, weight in weights.items()}
    scale = float(wide["query"].shape[1]) ** -0.5
    parts = [
        *(wide[f"token.weight.{at}"] for at in range(stages)),
        *(wide[f"token.bias.{at}"] for at in range(stages)),
        wide["among.q"] @ wide["among.k"].T * scale,
        wide["among.v"] @ wide["among.o"],
        wide["query"] @ wide["pool.q"] @ wide["pool.k"].T * scale,
        wide["pool.v"] @ wide["pool.o"],
        wide["read.weight"], wide["read.bias"], wide["answer.weight"], wide["answer.bias"],
    ]  # fmt: skip
    return np.concatenate([part.ravel() for part in parts]).astype(np.float32)


def _parts(rows: int) -> Iterator[slice]:
    return (slice(at, at + ROWS) for at in range(0, rows, ROWS))


def _side_by_side(vectors: Sequence[Array], part: slice) -> Array:
    return np.concatenate([vector[part] for vector in vectors], axis=1, dtype=np.float32)


@kernel()
def _added(values: Array, weights: Array, first: int, total: Array) -> None:
    """Adds values @ weights[first: first + len(values) * len(total)] to total."""
    width = len(total)
    for row in range(len(values)):
        value, start = values[row], first + row * width
        for column in range(width):
            total[column] += value * weights[start + column]


@kernel()
def _softened(scores: Array) -> None:
    """Softmax in place."""
    highest = scores[0]
    for at in range(1, len(scores)):
        highest = max(highest, scores[at])
    total = np.float32(0.0)
    for at in range(len(scores)):
        scores[at] = np.exp(scores[at] - highest)
        total += scores[at]
    for at in range(len(scores)):
        scores[at] /= total


@kernel()
def _attended(query: Array, tokens: Array, shares: Array, seen: Array) -> None:
    """`seen`: the mean of the tokens, each by its softmax over query . token."""
    for token in range(len(tokens)):
        score = np.float32(0.0)
        for column in range(len(query)):
            score += query[column] * tokens[token, column]
        shares[token] = score
    _softened(shares)
    seen[:] = 0.0
    for token in range(len(tokens)):
        for column in range(len(seen)):
            seen[column] += shares[token] * tokens[token, column]


@kernel()
def _rectified(values: Array) -> None:
    for at in range(len(values)):
        values[at] = max(values[at], np.float32(0.0))


@kernel()
def _read_tokens(
    ran: Places, bounded: Array, inputs: Array, starts: Places, weights: Array, tokens: Array
) -> int:
    """What each stage that ran says and saw; returns where the next weights begin."""
    stages, width = len(bounded), tokens.shape[1]
    biases = (starts[stages] + 2 * stages) * width
    says = np.empty(2, np.float32)
    for at in range(len(ran)):
        stage = ran[at]
        start, end = starts[stage], starts[stage + 1]
        bias, first = biases + stage * width, (start + 2 * stage) * width
        tokens[at] = weights[bias : bias + width]
        says[0], says[1] = bounded[stage], abs(bounded[stage])
        _added(inputs[start:end], weights, first, tokens[at])
        _added(says, weights, first + (end - start) * width, tokens[at])
        _rectified(tokens[at])
    return int(biases + stages * width)


@kernel()
def _answer(
    present: Booleans, bounded: Array, inputs: Array, starts: Places, weights: Array,
    width: int, queries: int,
) -> np.float32:  # fmt: skip
    """The log-odds of one member for one row."""
    stages, square = len(bounded), width * width
    ran = np.flatnonzero(present)
    tokens = np.empty((len(ran), width), np.float32)
    among = _read_tokens(ran, bounded, inputs, starts, weights, tokens)
    mixed, shares = tokens.copy(), np.empty(len(ran), np.float32)
    query, seen = np.empty(width, np.float32), np.empty(width, np.float32)
    for at in range(len(ran)):
        query[:] = 0.0
        _added(tokens[at], weights, among, query)
        _attended(query, tokens, shares, seen)
        _added(seen, weights, among + square, mixed[at])
    pool = among + 2 * square
    read = np.zeros(queries * width + 2 * stages, np.float32)
    for at in range(queries if len(ran) else 0):
        asked = weights[pool + at * width : pool + (at + 1) * width]
        _attended(asked, mixed, shares, seen)
        _added(seen, weights, pool + queries * width, read[at * width : (at + 1) * width])
    read[queries * width : queries * width + stages] = bounded
    read[queries * width + stages :] = present
    layer = pool + queries * width + square
    bias = layer + len(read) * width
    hidden = weights[bias : bias + width].copy()
    _added(read, weights, layer, hidden)
    _rectified(hidden)
    answer = weights[bias + 2 * width]
    for column in range(width):
        answer += hidden[column] * weights[bias + width + column]
    return np.float32(answer)


@kernel(
    "float64[::1](boolean[:, ::1], float64[:, ::1], float32[:, ::1], int64[::1],"
    " float32[:, ::1], int64, int64)"
)
def _scored(
    present: Booleans, log_odds: Floats, inputs: Array, starts: Places, weights: Array,
    width: int, queries: int,
) -> Floats:  # fmt: skip
    scores = np.zeros(len(present))
    bounded = np.empty(present.shape[1], np.float32)
    for row in range(len(present)):
        for stage in range(len(bounded)):
            share = np.float32(log_odds[row, stage]) / np.float32(LOG_ODDS_BOUND)
            bounded[stage] = min(max(share, np.float32(-1.0)), np.float32(1.0))
        for member in range(len(weights)):
            scores[row] += _answer(
                present[row], bounded, inputs[row], starts, weights[member], width, queries
            )
        scores[row] /= len(weights)
    return scores
