"""What was decoded last, within a bound of bytes: the extractors of one event share it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from threading import Lock

from pipelines.features.media.base import Unreadable
from pipelines.features.media.decoder import Decoded

ENTRY_BYTES = 1024  # of an entry without its pixels


class RecentlyDecoded:
    """Least recently used entries go first. An entry larger than the bound is not kept."""

    def __init__(self, at_most_bytes: int) -> None:
        self._at_most_bytes = at_most_bytes
        self._entries: OrderedDict[Hashable, Decoded] = OrderedDict()
        self._bytes = 0
        self._lock = Lock()

    def find(self, key: Hashable) -> Decoded | None:
        with self._lock:
            found = self._entries.get(key)
            if found is not None:
                self._entries.move_to_end(key)
            return found

    def keep(self, key: Hashable, decoded: Decoded) -> None:
        with self._lock:
            if key in self._entries or _bytes(decoded) > self._at_most_bytes:
                return
            self._entries[key] = decoded
            self._bytes += _bytes(decoded)
            while self._bytes > self._at_most_bytes:
                _, oldest = self._entries.popitem(last=False)
                self._bytes -= _bytes(oldest)


def _bytes(decoded: Decoded) -> int:
    return ENTRY_BYTES if isinstance(decoded, Unreadable) else ENTRY_BYTES + decoded.rgb.nbytes
