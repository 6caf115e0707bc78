"""Near-duplicate texts as groups, so that no split separates them.

Texts are normalised (NFKC, case, white space, runs of digits), cut into character 4-grams, and
two texts are near-duplicates when the Jaccard similarity of their shingles is at least 0.7.
Candidates come from MinHash with banding (Broder 1997; Leskovec et al., Mining of Massive
Datasets, ch. 3) and are checked exactly; groups are the connected components.
"""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

from data_contracts.labels import LabelledEvent

SHINGLE_CHARACTERS = 4
SIMILARITY = 0.7
BANDS, BAND_ROWS = 16, 4
MAX_SHINGLES = 512  # the smallest hashes of a long text: a sample that keeps the similarity
MAX_HEADS = 8  # clusters of one bucket that a text is compared with

_DIGITS = re.compile(r"\d+")
_SEED = 20_260_105
Shingles = NDArray[np.uint64]


class Components:
    """Connected components of the numbers 0 to n-1 (union-find with path halving)."""

    def __init__(self, size: int) -> None:
        self._parent = list(range(size))

    def root(self, item: int) -> int:
        parent = self._parent
        while parent[item] != item:
            parent[item] = parent[parent[item]]
            item = parent[item]
        return item

    def join(self, one: int, other: int) -> None:
        low, high = sorted((self.root(one), self.root(other)))
        self._parent[high] = low

    def join_equal(self, keys: Iterable[Hashable | None]) -> None:
        """Join items whose key is equal; None joins nothing."""
        first: dict[Hashable, int] = {}
        for item, key in enumerate(keys):
            if key is not None:
                self.join(first.setdefault(key, item), item)

    def numbers(self) -> NDArray[np.int64]:
        """int64[n]: the component of each item, numbered by first appearance."""
        seen: dict[int, int] = {}
        roots = (self.root(item) for item in range(len(self._parent)))
        return np.array([seen.setdefault(root, len(seen)) for root in roots], dtype=np.int64)


def group_near_duplicates(texts: Sequence[str]) -> NDArray[np.int64]:
    """int64[n]: the group of each text, numbered by first appearance; deterministic.

    >>> group_near_duplicates(["Win 100 pounds now!", "win 250  POUNDS now!", "see you"]).tolist()
    [0, 0, 1]
    """
    return _near_duplicate_components(texts).numbers()


def group_related(rows: Sequence[LabelledEvent]) -> NDArray[np.int64]:
    """int64[n]: rows that no split may separate: near-duplicate texts and equal `group`."""
    components = _near_duplicate_components([row.event.text for row in rows])
    components.join_equal([row.group for row in rows])
    return components.numbers()


def normalised(text: str) -> str:
    """The text as it is compared: NFKC, lower case, single spaces, every number 0."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return _DIGITS.sub("0", " ".join(folded.split()))


def _near_duplicate_components(texts: Sequence[str]) -> Components:
    components = Components(len(texts))
    plain = [normalised(text) for text in texts]
    components.join_equal(plain)
    distinct = sorted({text: item for item, text in reversed(list(enumerate(plain)))}.values())
    shingles = {item: _shingles(plain[item]) for item in distinct}
    for bucket in _buckets(shingles):
        _join_similar(bucket, shingles, components)
    return components


def _shingles(text: str) -> Shingles:
    """Sorted distinct hashes of the text's 4-grams, at most MAX_SHINGLES of them."""
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4").astype(np.uint64)
    width = min(SHINGLE_CHARACTERS, len(codes))
    if width == 0:
        return np.zeros(0, dtype=np.uint64)
    hashed = np.zeros(len(codes) - width + 1, dtype=np.uint64)
    for offset in range(width):
        hashed = hashed * np.uint64(0x100000001B3) + codes[offset : offset + len(hashed)]
    return np.unique(_mixed(hashed))[:MAX_SHINGLES]


def _mixed(values: Shingles) -> Shingles:
    """The finaliser of MurmurHash3: every input bit reaches every output bit."""
    for _ in range(2):
        values = (values ^ (values >> np.uint64(33))) * np.uint64(0xFF51AFD7ED558CCD)
    return values ^ (values >> np.uint64(33))


def signature(text: str) -> Shingles | None:
    """uint64[BANDS, BAND_ROWS]: the MinHash signature of a normalised text; None of an empty one.

    The share of equal entries of two signatures estimates the similarity of their texts.
    """
    hashes = _shingles(text)
    return _signature(hashes) if len(hashes) else None


def _buckets(shingles: dict[int, Shingles]) -> Iterable[list[int]]:
    """Texts that agree in one band of their MinHash signatures: the candidates."""
    tables: list[dict[bytes, list[int]]] = [defaultdict(list) for _ in range(BANDS)]
    for item, hashes in shingles.items():
        if len(hashes):
            for band, table in zip(_signature(hashes), tables, strict=True):
                table[band.tobytes()].append(item)
    return (bucket for table in tables for bucket in table.values() if len(bucket) > 1)


def _signature(hashes: Shingles) -> Shingles:
    factors, offsets = permutations()
    least: Shingles = _mixed(factors * hashes + offsets).min(axis=1)
    return least.reshape(BANDS, BAND_ROWS)


@cache
def permutations() -> tuple[Shingles, Shingles]:
    """Factors and offsets, uint64[BANDS * BAND_ROWS, 1], of the hashes of a signature."""
    rng = np.random.default_rng(_SEED)
    factors = rng.integers(1, 2**63, size=(BANDS * BAND_ROWS, 1), dtype=np.uint64) | np.uint64(1)
    return factors, rng.integers(0, 2**63, size=(BANDS * BAND_ROWS, 1), dtype=np.uint64)


def _join_similar(
    bucket: Sequence[int], shingles: dict[int, Shingles], components: Components
) -> None:
    heads: list[int] = []
    for item in bucket:
        if any(components.root(item) == components.root(head) for head in heads):
            continue
        for head in heads:
            if _jaccard(shingles[item], shingles[head]) >= SIMILARITY:
                components.join(item, head)
                break
        else:
            if len(heads) < MAX_HEADS:
                heads.append(item)


def _jaccard(one: Shingles, other: Shingles) -> float:
    """Similarity of two sorted sets of hashes, by the sample of the smallest of their union."""
    union = np.union1d(one, other)[:MAX_SHINGLES]
    shared = np.intersect1d(one, other, assume_unique=True)
    return float(np.isin(union, shared, assume_unique=True).sum() / len(union))
