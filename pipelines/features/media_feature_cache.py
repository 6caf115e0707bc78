"""Features of media by content, on disk: decoding and networks are what costs most.

Used where the same files come again (training, gates, benchmarks). Online, an extractor works
without it.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import ClassVar

import lmdb
import numpy as np
import orjson

from data_contracts.events import Event
from pipelines.assets import asset
from pipelines.features.base import Extractor, Features
from pipelines.features.media.base import MediaLimits

FOLDER = "media-features"  # under the cache of the home
MAP_BYTES = 8 << 30
HEAD_BYTES = 4


class MediaFeatureCache:
    """A table of packed features in `folder`; use as a context manager, once a process."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._environment: lmdb.Environment | None = None

    def __enter__(self) -> MediaFeatureCache:
        self._folder.mkdir(parents=True, exist_ok=True)
        self._environment = lmdb.open(str(self._folder), map_size=MAP_BYTES, metasync=False)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._environment is not None:
            self._environment.close()
            self._environment = None

    def get(self, key: bytes) -> bytes | None:
        if self._environment is None:
            return None
        with self._environment.begin() as transaction:
            found: bytes | None = transaction.get(key)
            return found

    def put(self, key: bytes, value: bytes) -> None:
        if self._environment is None:
            return
        try:
            with self._environment.begin(write=True) as transaction:
                transaction.put(key, value)
        except lmdb.MapFullError:
            return  # a full cache costs time, not correctness


class CachedExtractor(Extractor):
    """Wraps an extractor that reads nothing of an event but its media.

    An answer is known by the media's sha256, the extractor's class, revision and columns, the
    sha256 of its assets and the limits of decoding. What gave no columns at all is not kept: the
    reason may lie in the machine or in a wrong sha256, and not in the file.
    """

    assets: ClassVar[tuple[str, ...]] = ()  # these four are the wrapped extractor's
    names: ClassVar[tuple[str, ...]] = ()
    families: ClassVar[Mapping[str, str]] = MappingProxyType({})
    dimensions: ClassVar[int] = 0

    def __init__(
        self, extractor: Extractor, cache: MediaFeatureCache, limits: MediaLimits | None = None
    ) -> None:
        for shared in ("assets", "names", "families", "dimensions"):
            setattr(self, shared, getattr(extractor, shared))
        self._extractor = extractor
        self._cache = cache
        self._limits = limits or MediaLimits()

    def is_present(self, event: Event) -> bool:
        return self._extractor.is_present(event)

    def extract(self, event: Event) -> Features:
        key = self._key(event)
        found = self._cache.get(key)
        if found is not None:
            return _unpacked(found, len(self.names))
        features = self._extractor.extract(event)
        if not np.isnan(features.columns).all():
            self._cache.put(key, _packed(features))
        return features

    def _key(self, event: Event) -> bytes:
        kind = type(self._extractor)
        revision = getattr(kind, "revision", 1)
        versions = [asset(name).sha256 for name in self.assets]
        media = [[reference.kind, reference.sha256] for reference in event.media]
        identity = [f"{kind.__module__}:{kind.__qualname__}", revision, self.names, versions]
        content = orjson.dumps([*identity, repr(self._limits), media])
        return blake2b(content, digest_size=24).digest()


def _packed(features: Features) -> bytes:
    """Length of the head, the head (notes and text), columns and embedding as float32."""
    head = orjson.dumps([features.notes, features.text])
    numbers = np.concatenate([features.columns, features.embedding]).astype("<f4").tobytes()
    return len(head).to_bytes(HEAD_BYTES, "little") + head + numbers


def _unpacked(packed: bytes, columns: int) -> Features:
    end = HEAD_BYTES + int.from_bytes(packed[:HEAD_BYTES], "little")
    notes, text = orjson.loads(packed[HEAD_BYTES:end])
    numbers = np.frombuffer(packed, "<f4", offset=end).astype(np.float32)
    return Features(numbers[:columns], numbers[columns:], tuple(notes), text)
