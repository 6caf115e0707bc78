"""Near-duplicates by leader: the first of a kind stands for those near it.

Each band of a fingerprint keeps the latest leaders that have it; a content looks at the leaders
under its bands and follows the first that is near. Leader clustering: J. Hartigan,
"Clustering Algorithms", 1975, chapter 3; bands: A. Broder, "On the resemblance and containment
of documents", 1997.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain
from operator import add

from pipelines.feature_store.states import Read, StateStore, read_many
from pipelines.features.surroundings.fingerprints import Fingerprint

BANDS = 16
KEPT = 16  # leaders of one band; the oldest make room

Near = Callable[[bytes, Sequence[bytes]], list[bytes]]  # of the second those near the first


class Leaders:
    """The leaders of one `kind` of content. All its fingerprints have one width, in 16 bands."""

    def __init__(self, states: StateStore, kind: str, near: Near) -> None:
        self._states = states
        self._prefixes = [f"lead:{kind}:{place}:" for place in range(BANDS)]
        self._near = near

    def keys(self, fingerprint: Fingerprint) -> list[str]:
        """What `near` reads."""
        return list(map(add, self._prefixes, fingerprint.bands))

    def near(self, fingerprint: Fingerprint, keys: Sequence[str], read: Read) -> list[bytes]:
        """The leaders that are near this content; none where it is the first of its kind."""
        content = fingerprint.content
        bands = dict.fromkeys([packed for key in keys if (packed := read(key))])  # most are alike
        known = dict.fromkeys(chain.from_iterable(_parts(one, len(content)) for one in bands))
        if not known or known.keys() == {content}:
            return list(known)
        return self._near(content, list(known))

    def follow(self, fingerprint: Fingerprint) -> bytes:
        """Its leader, which is the content itself where there was none."""
        keys = self.keys(fingerprint)
        known = self.near(fingerprint, keys, read_many(self._states, keys).get)
        return known[0] if known else self._lead(fingerprint)

    def _lead(self, fingerprint: Fingerprint) -> bytes:
        content = fingerprint.content
        for key in self.keys(fingerprint):
            known = self._states.get(key) or b""
            self._states.put(key, (known + content)[-KEPT * len(content) :])
        return content


def _parts(packed: bytes, width: int) -> list[bytes]:
    return [packed[start : start + width] for start in range(0, len(packed), width)]
