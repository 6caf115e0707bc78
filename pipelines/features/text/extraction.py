"""All that the ensemble reads out of one text, in two steps: the cheap part and the embedding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipelines.features.text.counts import counted
from pipelines.features.text.encoder import Embedding, TextEncoder
from pipelines.features.text.lexical import NAMES, table
from pipelines.features.text.ngrams import CountedNgrams, NgramRows, counted_rows, stacked
from pipelines.features.text.normalisation import readable
from pipelines.features.text.vocabulary import Vocabulary

CHEAP_NAMES: tuple[str, ...] = (*NAMES, "repaired_words")


class CheapFeatures(NamedTuple):
    """`lexical` float32[len(CHEAP_NAMES)]; `canonical` is what the encoder would read."""

    canonical: str
    lexical: NDArray[np.float32]
    ngrams: CountedNgrams


class CheapRows(NamedTuple):
    """`CheapFeatures` of n texts: `lexical` float32[n, len(CHEAP_NAMES)]."""

    canonical: tuple[str, ...]
    lexical: NDArray[np.float32]
    ngrams: NgramRows

    def row(self, number: int) -> CheapFeatures:
        return CheapFeatures(self.canonical[number], self.lexical[number], self.ngrams.row(number))


class TextExtractor:
    """Canonical form, counts and n-grams without a network; the embedding only when asked."""

    def __init__(self, vocabulary: Vocabulary, encoder: TextEncoder) -> None:
        self._vocabulary = vocabulary
        self._encoder = encoder

    def cheap(self, text: str) -> CheapFeatures:
        return self.cheap_rows([text]).row(0)

    def cheap_rows(self, texts: Sequence[str]) -> CheapRows:
        """`cheap` of each text, bit for bit, for a fraction of its time."""
        repaired, counts, ngrams = [], [], []
        plain = [readable(text) for text in texts]
        for rows, read in self._vocabulary.repaired_parts(plain):
            repaired += rows
            counts.append(counted(read))
            ngrams.append(counted_rows(read))
        canonical = tuple(text for text, _ in repaired)
        repairs = np.array([number for _, number in repaired], np.float32)
        lexical = np.column_stack([table(texts, counts), repairs])
        return CheapRows(canonical, lexical, stacked(ngrams))

    def embedding(self, canonical: str) -> Embedding:
        return self._encoder.encode(canonical)
