"""Known videos, found again without comparing each: an inverted index of frame hashes.

A hash is cut into 16 bands of 16 bits; frames that differ in few bits share a band. A video that
shares many bands is a candidate, and only candidates are aligned. M. Norouzi, A. Punjani and
D. J. Fleet, "Fast Search in Hamming Space with Multi-Index Hashing", CVPR 2012.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from pipelines.feature_store.states import StateStore
from pipelines.features.video.alignment import Match, similarity
from pipelines.features.video.sequence_hash import VideoSignature

INDEXED_FRAMES = 16  # evenly taken; a query looks up all of its own
LONGEST_LIST = 64  # videos a band value: what very many share tells nothing, the oldest go
CANDIDATES = 10
DIGEST_BYTES = 32


class KnownVideo(NamedTuple):
    """A known video by its sha256, and how the one asked about aligns with it."""

    sha256: str
    match: Match


class KnownVideos:
    """Signatures in a state store, with the index beside them."""

    def __init__(self, states: StateStore) -> None:
        self._states = states

    def add(self, sha256: str, video: VideoSignature) -> None:
        """Remember a video by the sha256 of its file; again is the same as once."""
        digest = bytes.fromhex(sha256)
        self._states.put(_signature_key(sha256), video.pack())
        frames = np.linspace(0, len(video.hashes) - 1, INDEXED_FRAMES).astype(int)
        for key in _bands(video, np.unique(frames) if len(video.hashes) else frames[:0]):
            listed = self._states.get(key) or b""
            if digest not in _digests(listed):
                self._states.put(key, (listed + digest)[-LONGEST_LIST * DIGEST_BYTES :])

    def copies(self, video: VideoSignature) -> list[KnownVideo]:
        """The known videos of which this is a copy, or which are copies of it; the best first."""
        found = [
            KnownVideo(sha256, similarity(video, known))
            for sha256 in self._candidates(video)
            if (known := self._signature(sha256)) is not None
        ]
        copies = [one for one in found if one.match.is_copy]
        return sorted(copies, key=lambda one: (-one.match.score, one.sha256))

    def _candidates(self, video: VideoSignature) -> list[str]:
        votes: Counter[bytes] = Counter()
        for key in _bands(video, np.arange(len(video.hashes))):
            votes.update(_digests(self._states.get(key) or b""))
        return [digest.hex() for digest, _ in votes.most_common(CANDIDATES)]

    def _signature(self, sha256: str) -> VideoSignature | None:
        packed = self._states.get(_signature_key(sha256))
        return None if packed is None else VideoSignature.unpack(packed)


def _bands(video: VideoSignature, frames: np.ndarray[tuple[int], np.dtype[np.int64]]) -> list[str]:
    """The keys of the distinct (band, value) pairs of the frames' hashes, in order."""
    words = np.ascontiguousarray(video.hashes[frames], "<u8")
    values = words.view("<u2").reshape(-1, 16)
    return [
        f"video.band.{band}.{value:04x}"
        for band in range(values.shape[1])
        for value in np.unique(values[:, band])
    ]


def _digests(listed: bytes) -> Iterator[bytes]:
    starts = range(0, len(listed), DIGEST_BYTES)
    return (listed[start : start + DIGEST_BYTES] for start in starts)


def _signature_key(sha256: str) -> str:
    return f"video.signature.{sha256}"
