"""Embeddings by content, on disk: training days overlap, and encoding is what costs most."""

from __future__ import annotations

from hashlib import blake2b
from pathlib import Path
from types import TracebackType

import lmdb
import numpy as np

from pipelines.features.text.encoder import Embedding, TextEncoder

MAP_BYTES = 4 << 30
COMMIT_EVERY = 512


class CachedEncoder:
    """Wraps an encoder: a text that was encoded before is read from `folder`.

    `version` names the encoder (its sha256): another encoder never reads these vectors.
    Use as a context manager; what a killed run had not committed is encoded again.
    """

    def __init__(self, encoder: TextEncoder, folder: Path, version: str) -> None:
        self._encoder = encoder
        self._folder = folder
        self._version = version.encode()
        self._pending: dict[bytes, bytes] = {}
        self._environment: lmdb.Environment | None = None

    def __enter__(self) -> CachedEncoder:
        self._folder.mkdir(parents=True, exist_ok=True)
        self._environment = lmdb.open(str(self._folder), map_size=MAP_BYTES, metasync=False)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._commit()
        if self._environment is not None:
            self._environment.close()
            self._environment = None

    def encode(self, text: str) -> Embedding:
        key = blake2b(self._version + b"\0" + text.encode("utf-8", "surrogatepass")).digest()[:24]
        found = self._pending.get(key) or self._read(key)
        if found is None:
            found = self._encoder.encode(text).astype("<f4").tobytes()
            self._pending[key] = found
            if len(self._pending) >= COMMIT_EVERY:
                self._commit()
        return np.frombuffer(found, "<f4").astype(np.float32)

    def _read(self, key: bytes) -> bytes | None:
        if self._environment is None:
            return None
        with self._environment.begin() as transaction:
            found: bytes | None = transaction.get(key)
            return found

    def _commit(self) -> None:
        pending, self._pending = self._pending, {}
        if self._environment is None:
            return
        try:
            with self._environment.begin(write=True) as transaction:
                for key, value in pending.items():
                    transaction.put(key, value)
        except lmdb.MapFullError:
            return  # a full cache costs time, not correctness
