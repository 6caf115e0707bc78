"""What posts of one content have in common: a text's hash and signature, an image's, links.

A fingerprint is bytes of one width, with the bands that near ones share. Texts: MinHash, one
byte an entry (P. Li and C. König, "b-Bit Minwise Hashing", WWW 2010). Images: PDQ; a copy within
15 bits has one of 16 bands in common (M. Norouzi, A. Punjani, D. Fleet, "Fast Search in Hamming
Space with Multi-Index Hashing", CVPR 2012).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from itertools import compress
from typing import NamedTuple

import numpy as np

from pipelines.features.media.hashes import ImageHashes, distances, in_words
from pipelines.features.surroundings.signatures import signature
from pipelines.features.text.lexical import URL
from pipelines.known_media import RADIUS_BITS
from pipelines.near_duplicates import SIMILARITY

SHORTEST_TEXT = 12  # characters: "thank you" is nobody's campaign
MAX_DOMAINS = 4
BAND_BYTES = 2
_MAY_LINK = re.compile(r"://|\.\S")  # in every match of URL, which is dear to look for
_SECOND_LEVEL = {"co", "com", "net", "org", "gov", "ac", "edu"}


class Fingerprint(NamedTuple):
    """`content` is compared whole, `bands` (hexadecimal) are how near ones find each other."""

    content: bytes
    bands: tuple[str, ...]


def text_digest(plain: str) -> str | None:
    """A hash of the whole text; None for one that is too short to say anything."""
    if len(plain) < SHORTEST_TEXT:
        return None
    return hashlib.blake2b(plain.encode("utf-8", "replace"), digest_size=12).hexdigest()


def text_fingerprint(plain: str) -> Fingerprint | None:
    rows = signature(plain) if len(plain) >= SHORTEST_TEXT else None
    if rows is None:
        return None
    packed, width = rows.tobytes(), rows.strides[0]
    bands = [
        hashlib.blake2b(packed[start : start + width], digest_size=8).hexdigest()
        for start in range(0, len(packed), width)
    ]
    return Fingerprint(packed[:: rows.itemsize], tuple(bands))  # of each entry the lowest byte


def near_texts(content: bytes, others: Sequence[bytes]) -> list[bytes]:
    """Those signatures that agree with this one as those of near-duplicates do."""
    rows = np.frombuffer(b"".join(others), np.uint8).reshape(len(others), len(content))
    agreement = (rows == np.frombuffer(content, np.uint8)).mean(axis=1)
    return list(compress(others, agreement >= SIMILARITY))


def image_fingerprint(hashes: ImageHashes) -> Fingerprint | None:
    """None for an image with too little in it."""
    if not hashes.is_distinctive:
        return None
    content = bytes.fromhex(hashes.pdq)
    return Fingerprint(content, tuple(content.hex(" ", BAND_BYTES).split()))


def near_images(content: bytes, others: Sequence[bytes]) -> list[bytes]:
    """Those hashes within the radius of this one."""
    rows = in_words(b"".join(others).hex()).reshape(len(others), -1)
    bits = distances(in_words(content.hex()), rows)
    return list(compress(others, bits <= RADIUS_BITS["pdq"]))


def domains(text: str) -> tuple[str, ...]:
    """Registrable domains of the links of a readable text, distinct, in order.

    >>> domains("see http://a.win.example.co.uk/x and www.win.example.co.uk, or pay.example.com")
    ('example.co.uk', 'example.com')
    """
    if _MAY_LINK.search(text) is None:
        return ()
    return tuple(dict.fromkeys(map(_domain, URL.findall(text))))[:MAX_DOMAINS]


def _domain(link: str) -> str:
    host = link.lower().partition("://")[2] or link.lower()
    labels = host.replace("?", "/").partition("/")[0].partition(":")[0].strip(".,;!?").split(".")
    width = 3 if len(labels[-1]) == 2 and labels[-2:-1] and labels[-2] in _SECOND_LEVEL else 2
    return ".".join(labels[-width:])
