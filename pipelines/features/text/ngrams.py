"""Hashed character and word n-grams of one text, counted.

Weinberger et al. 2009, "Feature Hashing for Large Scale Multitask Learning" (ICML).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

BUCKETS = 1 << 20
CHARACTERS = (2, 5)
_MASK = np.uint64(BUCKETS - 1)
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_CHARACTER_SEED = np.uint64(1)
_WORD_SEED = np.uint64(0x9E3779B97F4A7C15)
_WORD = re.compile(r"[^\W_]+")

Hashes = NDArray[np.uint64]


class CountedNgrams(NamedTuple):
    """`buckets` int32[m] ascending without repeats; `values` float32[m] = 1 + ln(count)."""

    buckets: NDArray[np.int32]
    values: NDArray[np.float32]


class NgramRows(NamedTuple):
    """Many texts in compressed sparse rows: `starts` int64[n + 1] into `buckets` and `values`."""

    buckets: NDArray[np.int32]
    values: NDArray[np.float32]
    starts: NDArray[np.int64]


def count_ngrams(text: str) -> CountedNgrams:
    """Character 2- to 5-grams (with a blank at both ends) and word 1- and 2-grams of `text`."""
    hashed = np.concatenate([*_hash_characters(f" {text} "), *_hash_words(text)])
    buckets, counts = np.unique((hashed & _MASK).astype(np.int32), return_counts=True)
    return CountedNgrams(buckets, (1.0 + np.log(counts)).astype(np.float32))


def ngram_rows(texts: Sequence[str]) -> NgramRows:
    """`count_ngrams` of each text, in order."""
    counted = [count_ngrams(text) for text in texts]
    starts = np.zeros(len(counted) + 1, np.int64)
    np.cumsum([len(row.buckets) for row in counted], out=starts[1:])
    return NgramRows(
        np.concatenate([row.buckets for row in counted] or [np.empty(0, np.int32)]),
        np.concatenate([row.values for row in counted] or [np.empty(0, np.float32)]),
        starts,
    )


def _hash_characters(text: str) -> list[Hashes]:
    """Hashes of the n-grams of each length of CHARACTERS, one array a length."""
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
    shifted = codes.astype(np.uint64) + _GOLDEN
    values = np.full(len(codes), _CHARACTER_SEED, np.uint64)
    hashed = []
    for length in range(1, CHARACTERS[1] + 1):
        values = _mixed(values[: max(len(codes) - length + 1, 0)] ^ shifted[length - 1 :])
        if length >= CHARACTERS[0]:
            hashed.append(values)
    return hashed


def _hash_words(text: str) -> list[Hashes]:
    """Hashes of words, and of pairs of words that follow each other."""
    sums = [crc32(word.encode("utf-8", "surrogatepass")) for word in _WORD.findall(text)]
    words = _mixed(np.array(sums, np.uint64) ^ _WORD_SEED)
    return [words, _mixed(words[:-1] * np.uint64(31) + words[1:])]


def _mixed(values: Hashes) -> Hashes:
    """The finaliser of MurmurHash3: every input bit reaches every output bit."""
    values = (values ^ (values >> np.uint64(33))) * np.uint64(0xFF51AFD7ED558CCD)
    values = (values ^ (values >> np.uint64(33))) * np.uint64(0xC4CEB9FE1A85EC53)
    return values ^ (values >> np.uint64(33))
