"""Texts as token numbers, one after another without padding; only attention sees a grid.

The grid's width is decided by the text alone, never by its neighbours: were it as wide as the
longest text of a batch, sums over more places could round otherwise, and a vector would depend on
who happened to arrive beside it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

MOST_TOKENS = 256
WIDTHS = (32, 64, 128, MOST_TOKENS)  # few, so that eight texts seldom need more than two batches

Numbers = NDArray[np.int64]


class Batch(NamedTuple):
    """n texts of one width w, of t tokens together; `rows` int64[n] are the texts' places.

    `ids` int64[t]: the tokens. `slots` int64[t]: where each stands in the grid, row by row.
    `grid` int64[n, w]: which of the t tokens stands at a slot; -1 for none.
    """

    rows: Numbers
    ids: Numbers
    slots: Numbers
    grid: Numbers

    @property
    def inputs(self) -> dict[str, Numbers]:
        """The inputs of a network, by name."""
        return {"ids": self.ids, "slots": self.slots, "grid": self.grid}


def width_of(tokens: int) -> int:
    """The width of the grid in which a text of so many tokens stands.

    >>> [width_of(tokens) for tokens in (1, 32, 33, 65, 129, 256)]
    [32, 32, 64, 128, 256, 256]
    """
    for width in WIDTHS:
        if tokens <= width:
            return width
    raise ValueError(f"{tokens} tokens exceed {MOST_TOKENS}; truncate the text")


def batches(tokens: Sequence[Sequence[int]], size: int) -> Iterator[Batch]:
    """Batches of at most `size` texts, narrow ones first, rows in order within a width."""
    widths = np.array([width_of(len(text)) for text in tokens], np.int64)
    for width in np.unique(widths).tolist():
        rows = np.flatnonzero(widths == width)
        for start in range(0, len(rows), size):
            yield _batch(rows[start : start + size], tokens, width)


def _batch(rows: Numbers, tokens: Sequence[Sequence[int]], width: int) -> Batch:
    texts = [tokens[row] for row in rows.tolist()]
    lengths = np.array([len(text) for text in texts], np.int64)
    ids = np.fromiter(chain.from_iterable(texts), np.int64, int(lengths.sum()))
    taken = np.arange(width) < lengths[:, None]
    grid = np.full(taken.shape, -1, np.int64)
    grid[taken] = np.arange(len(ids))
    return Batch(rows, ids, np.flatnonzero(taken), grid)


class Tokeniser:
    """A `tokenizer.json`, as a file or its content, read at the first text.

    A text beyond MOST_TOKENS is cut.
    """

    def __init__(self, source: Path | str) -> None:
        self.source = source

    def tokens(self, texts: Sequence[str]) -> list[list[int]]:
        """The token numbers of each text, with the marks of its beginning and end."""
        return [encoding.ids for encoding in self._read.encode_batch(list(texts))]

    @cached_property
    def _read(self) -> Any:
        from tokenizers import Tokenizer

        given = self.source
        found = Tokenizer.from_str(given if isinstance(given, str) else given.read_text("utf-8"))
        found.no_padding()
        found.enable_truncation(MOST_TOKENS)
        return found
