"""Hashed character and word n-grams of texts in lower case, counted.

Weinberger et al. 2009, "Feature Hashing for Large Scale Multitask Learning" (ICML). A hash is a
polynomial of the characters modulo 2^32, mixed: a character more is one multiplication more.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipelines.features.text.characters import BASE, Characters, characters, chunks

BUCKETS = 1 << 20
LENGTHS = (2, 4)  # of characters; with 3 and 5 as well nothing is gained (bench-prefilter)
_BITS = 20
_WORD, _PAIR = np.uint32(0x85EBCA6B), np.uint32(0xC2B2AE35)

_NONE = np.uint32((1 << 32) - 1)  # beyond the key of any row below MOST_ROWS

Keys = NDArray[np.uint32]


class CountedNgrams(NamedTuple):
    """`buckets` int32[m] ascending without repeats; `values` float32[m] = 1 + ln(count)."""

    buckets: NDArray[np.int32]
    values: NDArray[np.float32]


class NgramRows(NamedTuple):
    """Many texts in compressed sparse rows: `starts` int64[n + 1] into `buckets` and `values`."""

    buckets: NDArray[np.int32]
    values: NDArray[np.float32]
    starts: NDArray[np.int64]

    def row(self, number: int) -> CountedNgrams:
        part = slice(self.starts[number], self.starts[number + 1])
        return CountedNgrams(self.buckets[part], self.values[part])


def count_ngrams(text: str) -> CountedNgrams:
    """Character 2- and 4-grams (with a blank at both ends) and word 1- and 2-grams of `text`."""
    return ngram_rows([text]).row(0)


def ngram_rows(texts: Sequence[str]) -> NgramRows:
    """`count_ngrams` of each text, in order."""
    counted = [counted_rows(characters(part)) for part in chunks(texts)]
    return stacked(counted)


def stacked(parts: Sequence[NgramRows]) -> NgramRows:
    """The rows of all parts, in order."""
    if len(parts) == 1:
        return parts[0]
    sizes = [np.zeros(1, np.int64), *(np.diff(part.starts) for part in parts)]
    return NgramRows(
        np.concatenate([np.empty(0, np.int32), *(part.buckets for part in parts)]),
        np.concatenate([np.empty(0, np.float32), *(part.values for part in parts)]),
        np.cumsum(np.concatenate(sizes)),
    )


def counted_rows(text: Characters) -> NgramRows:
    """The n-grams of texts that are read already."""
    keys = np.concatenate([*_character_keys(text), *_word_keys(text)])
    keys.sort()
    keys = keys[: np.searchsorted(keys, _NONE)]
    is_first = np.ones(len(keys) + 1, bool)
    np.not_equal(keys[1:], keys[:-1], out=is_first[1:-1])
    first = is_first.nonzero()[0]
    counts, kept = first[1:] - first[:-1], keys[first[:-1]]
    rows = np.arange(len(text) + 1, dtype=np.uint32) << np.uint32(_BITS)
    return NgramRows(
        (kept & np.uint32(BUCKETS - 1)).astype(np.int32),
        _logarithms().take(counts, mode="clip"),
        np.searchsorted(kept, rows),
    )


def _character_keys(text: Characters) -> list[Keys]:
    """By length. The n-grams that begin in one text and end in the next are _NONE."""
    shifted = np.append(text.codes + np.uint32(1), np.zeros(max(LENGTHS) - 1, np.uint32))
    values, keys = shifted, []
    for length in range(2, max(LENGTHS) + 1):
        values = values[:-1] * np.uint32(BASE) + shifted[length - 1 :]
        if length in LENGTHS:
            keys.append(_keys(values[: len(text.rows)], text.rows))
            for before in range(1, length):
                keys[-1][text.starts[1:] - before] = _NONE
    return keys


def _word_keys(text: Characters) -> list[Keys]:
    """Those of words, and of pairs of words that follow each other in one text."""
    rows = text.rows[text.words[0]]
    hashes = text.word_hashes * _WORD
    pairs = (hashes[:-1] ^ _PAIR) * np.uint32(31) + hashes[1:]
    within = rows[:-1] == rows[1:]
    return [_keys(hashes, rows), _keys(pairs[within], rows[1:][within])]


def _keys(hashes: Keys, rows: Keys) -> Keys:
    """The row above, the bucket below; bits of a hash mixed as in MurmurHash3."""
    mixed: Keys = (hashes ^ (hashes >> np.uint32(15))) * np.uint32(0x2C1B3C6D)
    mixed >>= np.uint32(32 - _BITS)
    mixed |= rows << np.uint32(_BITS)
    return mixed


@cache
def _logarithms() -> NDArray[np.float32]:
    """float32[2^16]: 1 + ln of each count, those beyond as the last."""
    return (1.0 + np.log(np.maximum(np.arange(1 << 16), 1))).astype(np.float32)
