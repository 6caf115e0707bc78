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

from pipelines.features.text.characters import (
    BASE,
    Characters,
    Codes,
    Positions,
    characters,
    chunks,
)
from pipelines.kernels import kernel

BUCKETS = 1 << 20
_BITS = 20
_WORD, _PAIR = 0x85EBCA6B, 0xC2B2AE35
_SQUARE = BASE * BASE % (1 << 32)

Keys = NDArray[np.uint32]
Buckets = NDArray[np.int32]
Values = NDArray[np.float32]


class CountedNgrams(NamedTuple):
    """`buckets` int32[m] ascending without repeats; `values` float32[m] = 1 + ln(count)."""

    buckets: Buckets
    values: Values


class NgramRows(NamedTuple):
    """Many texts in compressed sparse rows: `starts` int64[n + 1] into `buckets` and `values`."""

    buckets: Buckets
    values: Values
    starts: Positions

    def row(self, number: int) -> CountedNgrams:
        part = slice(self.starts[number], self.starts[number + 1])
        return CountedNgrams(self.buckets[part], self.values[part])


def count_ngrams(text: str) -> CountedNgrams:
    """Character 2- and 4-grams (with a blank at both ends) and word 1- and 2-grams of `text`.

    With those of 3 and 5 characters as well nothing is gained (bench-prefilter).
    """
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
    keys = _keys(text.codes, text.starts, text.words.hashes, text.words.first)
    keys.sort()  # numpy's, which sorts many at once
    return NgramRows(*_distinct(keys, len(text), _logarithms()))


@kernel()
def _joined(first: np.uint32, second: np.uint32) -> np.uint32:
    one = np.uint32(1)
    return np.uint32((first + one) * np.uint32(BASE) + second + one)


@kernel()
def _key(hashed: np.uint32, row: int) -> np.uint32:
    """Bits of a hash mixed as in MurmurHash3."""
    mixed = np.uint32((hashed ^ (hashed >> np.uint32(15))) * np.uint32(0x2C1B3C6D))
    return np.uint32((mixed >> np.uint32(32 - _BITS)) | np.uint32(row << _BITS))


@kernel("uint32[::1](uint32[::1], int64[::1], uint32[::1], int64[::1])")
def _keys(codes: Codes, starts: Positions, words: Codes, first: Positions) -> Keys:
    """Of each n-gram, the row above and the bucket below."""
    keys = np.empty(2 * (len(codes) + len(words)), np.uint32)
    found = 0
    for row in range(len(starts) - 1):
        start, end = starts[row], starts[row + 1]
        for at in range(start, end - 1):
            keys[found + at - start] = _key(_joined(codes[at], codes[at + 1]), row)
        found += end - 1 - start
        for at in range(start, end - 3):
            left, right = _joined(codes[at], codes[at + 1]), _joined(codes[at + 2], codes[at + 3])
            keys[found + at - start] = _key(np.uint32(left * np.uint32(_SQUARE) + right), row)
        found += max(end - 3 - start, 0)
        for word in range(first[row], first[row + 1]):
            hashed = np.uint32(words[word] * np.uint32(_WORD))
            keys[found] = _key(hashed, row)
            found += 1
            if word > first[row]:
                before = np.uint32(words[word - 1] * np.uint32(_WORD)) ^ np.uint32(_PAIR)
                keys[found] = _key(np.uint32(before * np.uint32(31) + hashed), row)
                found += 1
    return keys[:found]


@kernel("Tuple((int32[::1], float32[::1], int64[::1]))(uint32[::1], int64, float32[::1])")
def _distinct(keys: Keys, rows: int, logarithms: Values) -> tuple[Buckets, Values, Positions]:
    """Of keys that ascend, each once; without a branch on what cannot be foreseen."""
    ends, found = np.zeros(len(keys) + 1, np.int64), 0
    for at in range(1, len(keys)):
        ends[found] = at
        found += keys[at] != keys[at - 1]
    if len(keys):
        ends[found] = len(keys)
        found += 1
    buckets, values = np.empty(found, np.int32), np.empty(found, np.float32)
    starts = np.zeros(rows + 1, np.int64)
    begin = 0
    for at in range(found):
        key = keys[begin]
        buckets[at] = key & np.uint32(BUCKETS - 1)
        values[at] = logarithms[min(ends[at] - begin, len(logarithms) - 1)]
        starts[np.int64(key >> np.uint32(_BITS)) + 1] += 1
        begin = ends[at]
    return buckets, values, np.cumsum(starts)


@cache
def _logarithms() -> Values:
    """float32[2^16]: 1 + ln of each count, those beyond as the last."""
    return (1.0 + np.log(np.maximum(np.arange(1 << 16), 1))).astype(np.float32)
