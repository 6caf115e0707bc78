"""What posts of one content have in common: a text's hash and signature, an image's, links.

A fingerprint is bytes of one width, with the bands that near ones share. Texts: MinHash, one
byte an entry (P. Li and C. König, "b-Bit Minwise Hashing", WWW 2010). Images: PDQ; a copy within
15 bits has one of 16 bands in common (M. Norouzi, A. Punjani, D. Fleet, "Fast Search in Hamming
Space with Multi-Index Hashing", CVPR 2012).
"""

from __future__ import annotations

import hashlib
from typing import NamedTuple

import numpy as np

from pipelines.features.media.hashes import ImageHashes, distances, in_words
from pipelines.features.text.lexical import URL
from pipelines.features.text.normalisation import readable
from pipelines.known_media import RADIUS_BITS
from pipelines.near_duplicates import SIMILARITY, normalised, signature

SHORTEST_TEXT = 12  # characters: "thank you" is nobody's campaign
MAX_DOMAINS = 4
BAND_BYTES = 2
_SECOND_LEVEL = {"co", "com", "net", "org", "gov", "ac", "edu"}


class Fingerprint(NamedTuple):
    """`content` is compared whole, `bands` are how near ones find each other."""

    content: bytes
    bands: tuple[bytes, ...]


def plain_text(text: str) -> str:
    """The text as it is compared: readable, in lower case, every number 0."""
    return normalised(readable(text))


def text_digest(plain: str) -> str | None:
    """A hash of the whole text; None for one that is too short to say anything."""
    if len(plain) < SHORTEST_TEXT:
        return None
    return hashlib.blake2b(plain.encode("utf-8", "replace"), digest_size=12).hexdigest()


def text_fingerprint(plain: str) -> Fingerprint | None:
    rows = signature(plain) if len(plain) >= SHORTEST_TEXT else None
    if rows is None:
        return None
    bands = tuple(hashlib.blake2b(row.tobytes(), digest_size=8).digest() for row in rows)
    return Fingerprint(rows.astype(np.uint8).tobytes(), bands)


def are_near_texts(one: bytes, other: bytes) -> bool:
    """Whether two signatures agree as those of near-duplicates do."""
    equal = np.frombuffer(one, np.uint8) == np.frombuffer(other, np.uint8)
    return float(equal.mean()) >= SIMILARITY


def image_fingerprint(hashes: ImageHashes) -> Fingerprint | None:
    """None for an image with too little in it."""
    if not hashes.is_distinctive:
        return None
    content = bytes.fromhex(hashes.pdq)
    parts = [content[start : start + BAND_BYTES] for start in range(0, len(content), BAND_BYTES)]
    return Fingerprint(content, tuple(parts))


def are_near_images(one: bytes, other: bytes) -> bool:
    bits = distances(in_words(one.hex()), in_words(other.hex())[None, :])
    return int(bits[0]) <= RADIUS_BITS["pdq"]


def domains(text: str) -> tuple[str, ...]:
    """Registrable domains of the links, distinct, in order.

    >>> domains("see http://a.win.example.co.uk/x and www.win.example.co.uk, or pay.example.com")
    ('example.co.uk', 'example.com')
    """
    found = dict.fromkeys(_domain(link) for link in URL.findall(readable(text)))
    return tuple(found)[:MAX_DOMAINS]


def _domain(link: str) -> str:
    host = link.lower().partition("://")[2] or link.lower()
    labels = host.replace("?", "/").partition("/")[0].partition(":")[0].strip(".,;!?").split(".")
    width = 3 if len(labels[-1]) == 2 and labels[-2:-1] and labels[-2] in _SECOND_LEVEL else 2
    return ".".join(labels[-width:])
