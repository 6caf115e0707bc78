"""How far images are from each other, and which of them cannot be copies of one another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evaluation.metrics import Booleans
from pipelines.features.media.hashes import PDQ, PHASH, ImageHashes, distances, in_words
from pipelines.image_sets import IMPROVED, LabelledImage
from pipelines.known_media import RADIUS_BITS

STRICT, MADE_APART = "every cross-group pair", "unrelated by how they were made"
EXACT, PHASH_ALONE, PDQ_ALONE, EITHER, BOTH, WEIR = (
    "sha256", "pHash", "PDQ", "PDQ or pHash", "PDQ and pHash", "Weir",
)  # fmt: skip
FAR = 1000.0  # farther than any distance: never a match

Distances = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Picture:
    """One image as read: what it is compared by."""

    sha256: str
    hashes: ImageHashes


Pair = tuple[Picture, Picture]


@dataclass(frozen=True)
class Apart:
    """How far pairs are from each other: bits of both hashes; `is_equal`: the same file."""

    is_equal: Booleans
    is_distinctive: Booleans
    pdq: Distances
    phash: Distances

    def measured(self, system: str) -> Distances:
        """What the system compares with its radius: float64[pairs], FAR where it would not."""
        relative = self.pdq / 256, self.phash / 64
        found = {
            EXACT: np.where(self.is_equal, 0.0, FAR),
            PHASH_ALONE: self.phash,
            PDQ_ALONE: np.where(self.is_distinctive, self.pdq, FAR),
            BOTH: np.where(self.is_distinctive, np.maximum(*relative), FAR),
            WEIR: np.minimum(self.pdq / RADIUS_BITS[PDQ], self.phash / RADIUS_BITS[PHASH]),
        }[system]
        return np.where(self.is_distinctive, found, FAR) if system == WEIR else found


def apart(pairs: Sequence[Pair]) -> Apart:
    """Of the pairs, one by one."""
    return Apart(
        np.array([one.sha256 == other.sha256 for one, other in pairs]),
        np.array([o.hashes.is_distinctive and p.hashes.is_distinctive for o, p in pairs]),
        np.array([_bits(one.hashes.pdq, other.hashes.pdq) for one, other in pairs]),
        np.array([_bits(one.hashes.phash, other.hashes.phash) for one, other in pairs]),
    )


def _bits(one: str, other: str) -> float:
    return float(distances(in_words(one), in_words(other)[None, :])[0])


def all_apart(pictures: Sequence[Picture]) -> Apart:
    """Of all pairs, in the order of `np.triu_indices`."""
    pdq = np.array([in_words(one.hashes.pdq) for one in pictures])
    phash = np.array([in_words(one.hashes.phash) for one in pictures])
    digests = np.unique([one.sha256 for one in pictures], return_inverse=True)[1]
    clear = np.array([one.hashes.is_distinctive for one in pictures])
    after = range(1, len(pictures))
    return Apart(
        np.concatenate([digests[n:] == digests[n - 1] for n in after]),
        np.concatenate([clear[n:] & clear[n - 1] for n in after]),
        np.concatenate([distances(pdq[n - 1], pdq[n:]) for n in after]).astype(np.float64),
        np.concatenate([distances(phash[n - 1], phash[n:]) for n in after]).astype(np.float64),
    )


def unrelated_pairs(images: Sequence[LabelledImage]) -> dict[str, Booleans]:
    """Which of all pairs are unrelated, by each reading: bool[pairs]."""
    first, second = np.triu_indices(len(images), 1)
    group, source = (np.array([getattr(i, name) for i in images]) for name in ("group", "source"))
    spam, drawn_over = np.array([image.is_spam for image in images]), source == IMPROVED
    strict = group[first] != group[second]
    one_is_ham = (spam[first] != spam[second]) & ~drawn_over[first] & ~drawn_over[second]
    other_photos = ~spam[first] & ~spam[second] & (source[first] != source[second])
    return {STRICT: strict, MADE_APART: strict & (one_is_ham | other_photos)}
