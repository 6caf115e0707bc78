"""Near-duplicates by leader: the first of a kind stands for those near it.

Each band of a fingerprint keeps the latest leaders that have it; a content looks at the leaders
under its bands and follows the first that is near. Leader clustering: J. Hartigan,
"Clustering Algorithms", 1975, chapter 3; bands: A. Broder, "On the resemblance and containment
of documents", 1997.
"""

from __future__ import annotations

from collections.abc import Callable

from pipelines.feature_store.states import StateStore
from pipelines.features.surroundings.fingerprints import Fingerprint

KEPT = 16  # leaders of one band; the oldest make room

AreNear = Callable[[bytes, bytes], bool]


class Leaders:
    """The leaders of one `kind` of content. All its fingerprints have one width."""

    def __init__(self, states: StateStore, kind: str, are_near: AreNear) -> None:
        self._states = states
        self._kind = kind
        self._are_near = are_near

    def keys(self, fingerprint: Fingerprint) -> list[str]:
        """What `near` reads."""
        return [self._key(place, band) for place, band in enumerate(fingerprint.bands)]

    def near(self, fingerprint: Fingerprint) -> list[bytes]:
        """The leaders that are near this content; none where it is the first of its kind."""
        known = dict.fromkeys(
            leader
            for place, band in enumerate(fingerprint.bands)
            for leader in self._of_band(self._key(place, band), len(fingerprint.content))
        )
        return [leader for leader in known if self._are_near(leader, fingerprint.content)]

    def follow(self, fingerprint: Fingerprint) -> bytes:
        """Its leader, which is the content itself where there was none."""
        known = self.near(fingerprint)
        return known[0] if known else self._lead(fingerprint)

    def _lead(self, fingerprint: Fingerprint) -> bytes:
        content = fingerprint.content
        for place, band in enumerate(fingerprint.bands):
            key = self._key(place, band)
            known = self._states.get(key) or b""
            self._states.put(key, (known + content)[-KEPT * len(content) :])
        return content

    def _of_band(self, key: str, width: int) -> list[bytes]:
        packed = self._states.get(key) or b""
        return [packed[start : start + width] for start in range(0, len(packed), width)]

    def _key(self, place: int, band: bytes) -> str:
        return f"lead:{self._kind}:{place}:{band.hex()}"
