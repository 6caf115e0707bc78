"""A sentence encoder that takes tokens, as one file: network, tokeniser, and how they are run.

The file is a zip archive without compression, whose bytes depend on its content alone: its sha256
names the encoder, and a model's artefact keeps it like any other encoder.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import Literal

import numpy as np
import orjson

from data_contracts.errors import BadInput
from data_contracts.files import write_atomically
from pipelines.features.text.encoder import Embedding, OnnxEncoder, TextEncoder, pieces, unit_mean
from pipelines.features.text.token_engine import (
    Device,
    OnnxRuntimeEngine,
    OpenVinoEngine,
    Precision,
    TokenEngine,
    Vectors,
    embed_all,
)
from pipelines.features.text.tokens import Tokeniser

DECLARED, TOKENISER, NETWORK, WEIGHTS = "encoder.json", "tokenizer.json", "network", "weights"
LONG_AGO = (1980, 1, 1, 0, 0, 0)  # the archive's clock: when it was written is no content


@dataclass(frozen=True)
class Running:
    """How a network is run. `batch`: the most texts at once; 1 where neighbours move a vector."""

    engine: Literal["openvino", "onnxruntime"]
    device: Device = "cpu"
    precision: Precision = "f32"
    activation_group: int = 0
    batch: int = 1

    def open(
        self, network: Callable[[], bytes], weights: Callable[[], bytes] | None
    ) -> TokenEngine:
        if self.engine == "onnxruntime":
            return OnnxRuntimeEngine(network, self.device)
        return OpenVinoEngine(network, self.precision, self.activation_group, weights)


def write_encoder(
    target: Path, running: Running, tokeniser: bytes, network: bytes, weights: bytes | None = None
) -> None:
    """One file; `weights` where the network's format keeps them apart."""
    parts = {
        DECLARED: orjson.dumps(asdict(running)),
        TOKENISER: tokeniser,
        NETWORK: network,
        **({WEIGHTS: weights} if weights is not None else {}),
    }
    content = BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_STORED) as archive:
        for name, part in parts.items():
            archive.writestr(zipfile.ZipInfo(name, LONG_AGO), part)
    write_atomically(target, content.getvalue())


def encoder_of(path: Path) -> TextEncoder:
    """The encoder of a file: one that takes tokens, or an ONNX that takes strings."""
    return TokenEncoder(path) if zipfile.is_zipfile(path) else OnnxEncoder(path)


class TokenEncoder:
    """What `write_encoder` wrote; loaded at its first text.

    A text's vector is the same alone and among others: see `Running.batch`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def encode(self, text: str) -> Embedding:
        return self.encode_all([text])[0]

    def encode_all(self, texts: Sequence[str]) -> list[Embedding]:
        """A unit vector a text, in their order; the pieces of long texts go together."""
        if not texts:
            return []
        cut = [pieces(text) for text in texts]
        vectors = self._embed([piece for text in cut for piece in text])
        ends = np.cumsum([0, *map(len, cut)]).tolist()
        return [unit_mean(vectors[start:end]) for start, end in pairwise(ends)]

    @property
    def dimensions(self) -> int:
        """The length of a vector; runs the network once."""
        return len(self.encode(""))

    def _embed(self, texts: Sequence[str]) -> Vectors:
        return embed_all(self._engine, self._tokeniser.tokens(texts), self.running.batch)

    @cached_property
    def running(self) -> Running:
        """BadInput where the file is another archive."""
        try:
            return Running(**orjson.loads(self._part(DECLARED)))
        except (KeyError, TypeError, orjson.JSONDecodeError):
            raise BadInput(
                f"{self.path} is no encoder; give one that `python -m training quantise` wrote"
            ) from None

    @cached_property
    def _tokeniser(self) -> Tokeniser:
        return Tokeniser(self._part(TOKENISER).decode())

    @cached_property
    def _engine(self) -> TokenEngine:
        with zipfile.ZipFile(self.path) as archive:
            has_weights = WEIGHTS in archive.namelist()
        weights = partial(self._part, WEIGHTS) if has_weights else None
        return self.running.open(partial(self._part, NETWORK), weights)

    def _part(self, name: str) -> bytes:
        with zipfile.ZipFile(self.path) as archive:
            return archive.read(name)
