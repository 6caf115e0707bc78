"""What an image is known as: near a bad hash, near a good one, or neither.

Radii are data, with where they come from. PDQ: 31 bits, "distance threshold to consider two
hashes to be similar: <=31" (github.com/facebook/ThreatExchange, pdq/README.md). pHash: 4 bits,
below the nearest pair of unrelated images in `image_spam` (`make bench-quality`, near-duplicate
images); it repeats itself sooner than PDQ, having 64 bits, and survives scaling better: a small
picture at half its size is often beyond PDQ's radius. A crop or a border of 5 % is beyond both.
An image with little in it is unknown. So a bank should hold both hashes of what it knows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, NamedTuple

from pipelines.features.media.hashes import (
    PDQ,
    PDQ_BITS,
    PHASH,
    PHASH_BITS,
    ImageHashes,
)
from pipelines.hash_bank import HashBank, HashSnapshot, Match

RADIUS_BITS: Mapping[str, int] = {PDQ: 31, PHASH: 4}
Standing = Literal["known_bad", "known_good", "unknown"]


class Familiarity(NamedTuple):
    """The nearest known hash of either standing, None where none is within its radius."""

    bad: Match | None
    good: Match | None

    @property
    def verdict(self) -> Standing:
        """Good wins only if it is nearer."""
        if self.good and (self.bad is None or closeness(self.good) < closeness(self.bad)):
            return "known_good"
        return "known_bad" if self.bad else "unknown"


UNKNOWN = Familiarity(None, None)


@dataclass(frozen=True)
class KnownMedia:
    """The known hashes at one moment, of both kinds; make a new one to refresh."""

    pdq: HashSnapshot
    phash: HashSnapshot

    @classmethod
    def of(cls, bank: HashBank, as_of: datetime | None = None) -> KnownMedia:
        """What the bank holds now, or held at `as_of`."""
        pdq = bank.snapshot(PDQ, PDQ_BITS, as_of)
        return cls(pdq, bank.snapshot(PHASH, PHASH_BITS, as_of))

    def judge(self, hashes: ImageHashes, at: datetime) -> Familiarity:
        """As of `at`: a hash added later is not known yet."""
        if not hashes.is_distinctive:
            return UNKNOWN
        found = [
            *self.pdq.nearest(hashes.pdq, RADIUS_BITS[PDQ]),
            *self.phash.nearest(hashes.phash, RADIUS_BITS[PHASH]),
        ]
        known = sorted((match for match in found if match.known.added_at <= at), key=closeness)
        return Familiarity(_first(known, "bad"), _first(known, "good"))


def closeness(match: Match) -> float:
    """The distance as a share of the radius, so that kinds compare; 0 for an equal hash."""
    return match.distance_bits / RADIUS_BITS[match.known.kind]


def _first(matches: Iterable[Match], standing: str) -> Match | None:
    return next((match for match in matches if match.known.standing == standing), None)
