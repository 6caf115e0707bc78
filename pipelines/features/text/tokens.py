"""Texts as token numbers, padded to a width that the text alone decides, never its neighbours.

A batch holds texts of one width only. Were it padded to its longest text, sums over more places
could round otherwise, and a vector would depend on who happened to arrive beside it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

MOST_TOKENS = 256
LADDER = ((64, 8), (128, 16), (MOST_TOKENS, 32))  # (up to, in steps of)


class Batch(NamedTuple):
    """Texts of one width: `rows` int64[n] are their places, `ids` and `mask` are int64[n, t]."""

    rows: NDArray[np.int64]
    ids: NDArray[np.int64]
    mask: NDArray[np.int64]


def width_of(tokens: int) -> int:
    """The padded width of a text of so many tokens.

    >>> [width_of(tokens) for tokens in (1, 8, 9, 65, 129, 256)]
    [8, 8, 16, 80, 160, 256]
    """
    for limit, step in LADDER:
        if tokens <= limit:
            return max(1, -(-tokens // step)) * step
    raise ValueError(f"{tokens} tokens exceed {MOST_TOKENS}; truncate the text")


def batches(tokens: Sequence[Sequence[int]], size: int) -> Iterator[Batch]:
    """Batches of at most `size` texts, narrow ones first, rows in order within a width."""
    widths = np.array([width_of(len(text)) for text in tokens], np.int64)
    for width in np.unique(widths).tolist():
        rows = np.flatnonzero(widths == width)
        for start in range(0, len(rows), size):
            yield _batch(rows[start : start + size], tokens, width)


def _batch(rows: NDArray[np.int64], tokens: Sequence[Sequence[int]], width: int) -> Batch:
    ids = np.zeros((len(rows), width), np.int64)
    mask = np.zeros_like(ids)
    for place, row in enumerate(rows.tolist()):
        ids[place, : len(tokens[row])] = tokens[row]
        mask[place, : len(tokens[row])] = 1
    return Batch(rows, ids, mask)


class Tokeniser:
    """A `tokenizer.json`, read at the first text; a text beyond MOST_TOKENS is cut."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def tokens(self, texts: Sequence[str]) -> list[list[int]]:
        """The token numbers of each text, with the marks of its beginning and end."""
        return [encoding.ids for encoding in self._read.encode_batch(list(texts))]

    @cached_property
    def _read(self) -> Any:
        from tokenizers import Tokenizer

        found = Tokenizer.from_file(str(self.path))
        found.no_padding()
        found.enable_truncation(MOST_TOKENS)
        return found
