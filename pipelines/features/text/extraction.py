"""All that the ensemble reads out of one text, in two steps: the cheap part and the embedding."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipelines.features.text.encoder import Embedding, TextEncoder
from pipelines.features.text.lexical import NAMES, lexical_features
from pipelines.features.text.ngrams import CountedNgrams, count_ngrams
from pipelines.features.text.normalisation import fold, readable
from pipelines.features.text.vocabulary import Vocabulary

CHEAP_NAMES: tuple[str, ...] = (*NAMES, "repaired_words")


class CheapFeatures(NamedTuple):
    """`lexical` float32[len(CHEAP_NAMES)]; `canonical` is what the encoder would read."""

    canonical: str
    lexical: NDArray[np.float32]
    ngrams: CountedNgrams


class TextExtractor:
    """Canonical form, counts and n-grams without a network; the embedding only when asked."""

    def __init__(self, vocabulary: Vocabulary, encoder: TextEncoder) -> None:
        self._vocabulary = vocabulary
        self._encoder = encoder

    def cheap(self, text: str) -> CheapFeatures:
        plain = readable(text)
        repaired, repairs = self._vocabulary.repaired(plain)
        counts = lexical_features(text, self._undisguised)
        lexical = np.append(counts, np.float32(repairs))
        return CheapFeatures(repaired, lexical, count_ngrams(repaired.lower()))

    def _undisguised(self, text: str) -> str:
        return self._vocabulary.repaired(fold(text))[0]

    def embedding(self, canonical: str) -> Embedding:
        return self._encoder.encode(canonical)
