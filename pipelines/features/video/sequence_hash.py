"""The signature of a video: perceptual hashes of its sampled frames, each with its time.

Bars are cut off before hashing, and every frame is hashed in several crops, so that a cropped
copy meets a crop of the original. After Facebook's vPDQ (a set of PDQ hashes) and TMK+PDQF
(order in time counts): "The TMK+PDQF Video-Hashing Algorithm and the PDQ Image-Hashing
Algorithm", 2019, and github.com/facebook/ThreatExchange/tree/main/vpdq.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from pipelines.features.image.network import resized
from pipelines.features.media.base import DecodedVideo
from pipelines.features.media.hashes import pdq_words
from pipelines.features.video.bars import Frames, picture_of

WORDS = 4  # of 64 bits, a PDQ hash
CROPPED = (0.9, 0.8)  # of each side, kept in the middle and at each of the four corners
CROPS = 1 + 5 * len(CROPPED) + 1  # the picture, its crops, and last the whole frame with its bars
HASHED_SIDE = 128  # PDQ itself works on 64 x 64; from 512 x 512 it takes 18 times as long
LOWEST_QUALITY = 20  # of 100: below, a frame is flat and its hash is noise
_HEADER = struct.Struct("<4sHHf")
_MAGIC, _VERSION = b"WVSH", 1


@dataclass(frozen=True, eq=False)
class VideoSignature:
    """`times_seconds` float32[n], `hashes` uint64[n, CROPS, 4]: n frames that are not flat.

    n is 0 where nothing could be told apart: such a video matches nothing.
    """

    times_seconds: NDArray[np.float32]
    hashes: NDArray[np.uint64]
    duration_seconds: float

    def pack(self) -> bytes:
        """Header (magic, version, n, duration), times, hashes; little-endian."""
        header = _HEADER.pack(_MAGIC, _VERSION, len(self.times_seconds), self.duration_seconds)
        return (
            header
            + self.times_seconds.astype("<f4").tobytes()
            + self.hashes.astype("<u8").tobytes()
        )

    @classmethod
    def unpack(cls, packed: bytes) -> VideoSignature:
        """What `pack` gave; ValueError for anything else."""
        if len(packed) < _HEADER.size:
            raise ValueError(f"video signature of {len(packed)} bytes is cut; make it again")
        magic, version, count, duration = _HEADER.unpack_from(packed)
        expected = _HEADER.size + count * (4 + CROPS * WORDS * 8)
        if (magic, version, len(packed)) != (_MAGIC, _VERSION, expected):
            raise ValueError(
                f"video signature {magic!r} version {version} of {len(packed)} bytes, not "
                f"{_MAGIC!r} version {_VERSION} of {expected}; make it again from the video"
            )
        times = np.frombuffer(packed, "<f4", count, _HEADER.size)
        hashes = np.frombuffer(packed, "<u8", offset=_HEADER.size + times.nbytes)
        return cls(times, hashes.reshape(count, CROPS, WORDS), duration)


def signature(video: DecodedVideo) -> VideoSignature:
    """Hash every sampled frame that shows something, in CROPS crops."""
    picture = picture_of(video.rgb)
    times, hashes = [], []
    for time, frame in zip(video.times_seconds, video.rgb, strict=True):
        inside, whole = _small(picture.of(frame)), _small(frame)
        words, quality = pdq_words(inside)
        if quality >= LOWEST_QUALITY:
            times.append(time)
            hashes.append([words, *(pdq_words(crop)[0] for crop in (*_crops(inside), whole))])
    return VideoSignature(
        np.array(times, np.float32),
        np.array(hashes, np.uint64).reshape(len(times), CROPS, WORDS),
        video.duration_seconds,
    )


def _small(frame: Frames) -> Frames:
    return resized(frame, HASHED_SIDE, HASHED_SIDE)


def _crops(picture: Frames) -> list[Frames]:
    crops = []
    for share in CROPPED:
        kept = round(HASHED_SIDE * share)
        begin, margin, end = slice(0, kept), (HASHED_SIDE - kept) // 2, slice(-kept, None)
        middle = slice(margin, margin + kept)
        places = ((middle, middle), *product((begin, end), repeat=2))
        crops += [picture[rows, columns] for rows, columns in places]
    return crops
