"""The door to perceptual hashes: PDQ (256 bits) and pHash (64 bits) of an image.

PDQ: "The TMK+PDQF Video-Hashing Algorithm and the PDQ Image-Hashing Algorithm", Facebook 2019,
github.com/facebook/ThreatExchange. pHash: C. Zauner, "Implementation and Benchmarking of
Perceptual Image Hash Functions", 2010. An image with little in it (a blank page, a gradient) has
bits that are noise: `is_distinctive` says whether a hash may be matched at all.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

PDQ, PHASH = "pdq", "phash"  # the kinds, as the hash bank names them
PDQ_BITS, PHASH_BITS = 256, 64
LEAST_QUALITY = 50  # "quality threshold where we recommend discarding hashes: <=49", pdq/README.md
LONGEST_SIDE = 512  # PDQ's reference shrinks to this before it hashes; so hashing costs 2 ms

Pixels = NDArray[np.uint8]
Words = NDArray[np.uint64]


class ImageHashes(NamedTuple):
    """`pdq`: 64 hexadecimal digits, `pdq_quality`: 0 to 100, `phash`: 16 hexadecimal digits."""

    pdq: str
    pdq_quality: int
    phash: str

    @property
    def is_distinctive(self) -> bool:
        """Whether there is enough in the image that a near hash means a near image."""
        return self.pdq_quality >= LEAST_QUALITY


def image_hashes(rgb: Pixels) -> ImageHashes:
    """Both hashes of an image: uint8[h, w, 3]."""
    small = _shrunk(rgb)
    words, quality = _pdq(small)
    return ImageHashes(in_hexadecimal(words), quality, _phash(small))


def pdq_words(rgb: Pixels) -> tuple[Words, int]:
    """PDQ as big-endian words, uint64[4], and its quality, 0 to 100, of uint8[h, w, 3]."""
    return _pdq(_shrunk(rgb))


def in_hexadecimal(words: Words) -> str:
    """The hash as the bank writes it.

    >>> in_hexadecimal(np.array([1, 255], np.uint64))
    '000000000000000100000000000000ff'
    """
    return words.astype(">u8").tobytes().hex()


def in_words(value: str) -> Words:
    """The hash that `value` writes: uint64[bits / 64].

    >>> in_words("00000000000000ff").tolist()
    [255]
    """
    return np.frombuffer(bytes.fromhex(value), ">u8").astype(np.uint64)


def distances(words: Words, others: Words) -> NDArray[np.int64]:
    """Bits that differ: between uint64[w] and each of uint64[n, w], int64[n].

    >>> distances(np.array([7], np.uint64), np.array([[7], [4]], np.uint64)).tolist()
    [0, 2]
    """
    found = np.zeros(len(others), np.int64)
    for column, word in enumerate(words):
        found += np.bitwise_count(others[:, column] ^ word)
    return found


def _pdq(rgb: Pixels) -> tuple[Words, int]:
    import pdqhash

    bits, quality = pdqhash.compute(rgb)
    return np.packbits(bits.astype(np.uint8)).view(">u8").astype(np.uint64), int(quality)


def _phash(rgb: Pixels) -> str:
    import imagehash
    from PIL import Image

    return str(imagehash.phash(Image.fromarray(rgb)))


def _shrunk(rgb: Pixels) -> Pixels:
    if max(rgb.shape[:2]) <= LONGEST_SIDE:
        return np.ascontiguousarray(rgb)
    from PIL import Image

    image = Image.fromarray(rgb)
    image.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.BILINEAR)
    return np.asarray(image)
