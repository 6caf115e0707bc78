"""The one door to the ONNX sentence encoder: a text becomes one unit vector.

Long texts are read in pieces, and their vectors averaged. Each piece is a batch of its own:
dynamic quantisation inside the encoder would let neighbours in a batch change a vector.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from data_contracts.errors import MissingPart

PIECE_CHARACTERS = 500
MAX_PIECES = 4

Embedding = NDArray[np.float32]


class TextEncoder(Protocol):
    """`encode` gives float32[d] of length 1 (or 0 for nothing), the same for the same text."""

    def encode(self, text: str) -> Embedding: ...


def pieces(text: str, size: int = PIECE_CHARACTERS, most: int = MAX_PIECES) -> list[str]:
    """At most `most` stretches of up to `size` characters, cut at blanks where there are any.

    >>> pieces("aaa bbb ccc", size=5, most=2)
    ['aaa', 'bbb']
    """
    rest = " ".join(text.split())
    cut: list[str] = []
    while rest and len(cut) < most:
        end = len(rest) if len(rest) <= size else rest.rfind(" ", size // 2, size)
        end = end if end > 0 else size
        cut.append(rest[:end])
        rest = rest[end:].strip()
    return cut or [""]


def mean_embedding(text: str, embed: Callable[[str], Embedding]) -> Embedding:
    """The unit mean of the pieces' vectors."""
    return unit_mean(np.array([embed(piece) for piece in pieces(text)], np.float32))


def unit_mean(vectors: NDArray[np.float32]) -> Embedding:
    """float32[d] of length 1: the mean of float32[n, d]."""
    mean = vectors.mean(axis=0, dtype=np.float64)
    unit: Embedding = (mean / max(float(np.linalg.norm(mean)), 1e-9)).astype(np.float32)
    return unit


class OnnxEncoder:
    """A string-input ONNX sentence encoder, on one thread; loaded at its first text."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def encode(self, text: str) -> Embedding:
        return mean_embedding(text, self._embed)

    def _embed(self, piece: str) -> Embedding:
        session, name = self._session
        vector: Embedding = session.run(None, {name: np.array([piece], dtype=object)})[0][0]
        return vector

    @cached_property
    def _session(self) -> tuple[Any, str]:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        options.register_custom_ops_library(str(_custom_operators()))
        session = onnxruntime.InferenceSession(
            str(self.path), options, providers=["CPUExecutionProvider"]
        )
        return session, session.get_inputs()[0].name


def _custom_operators() -> Path:
    """The operators' library alone: importing their package would import torch and onnx."""
    found = importlib.util.find_spec("onnxruntime_extensions")
    folders = found.submodule_search_locations if found else None
    for folder in folders or ():
        for library in Path(folder).glob("_extensions_pydll*"):
            if library.suffix in {".so", ".pyd"}:
                return library
    raise MissingPart("onnxruntime-extensions is not installed; run `make setup`")
