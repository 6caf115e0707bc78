"""One encoder a process, and its last vectors: two stages read the same text one after another."""

from __future__ import annotations

from collections import OrderedDict
from functools import cache
from pathlib import Path
from threading import Lock

from pipelines.features.text.encoder import Embedding, TextEncoder
from pipelines.features.text.token_encoder import encoder_of

KEPT = 512


class RememberingEncoder:
    """Wraps an encoder and keeps the vectors of the last `kept` texts. Threads may share it."""

    def __init__(self, encoder: TextEncoder, kept: int = KEPT) -> None:
        self._encoder = encoder
        self._kept = kept
        self._vectors: OrderedDict[str, Embedding] = OrderedDict()
        self._lock = Lock()

    def encode(self, text: str) -> Embedding:
        with self._lock:
            found = self._vectors.get(text)
        if found is None:
            found = self._encoder.encode(text)
            self._keep(text, found)
        return found

    def _keep(self, text: str, vector: Embedding) -> None:
        vector.setflags(write=False)
        with self._lock:
            self._vectors[text] = vector
            while len(self._vectors) > self._kept:
                self._vectors.popitem(last=False)


@cache
def encoder_at(path: Path) -> RememberingEncoder:
    """The process's one encoder of this file; loaded at its first text."""
    return RememberingEncoder(encoder_of(path))
