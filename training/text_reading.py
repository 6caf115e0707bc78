"""Text that was read out of media, through the text models: alone, and joined to the caption.

A text that is split over a picture and its caption is spam in neither half.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from pipelines.features.text.extraction import TextExtractor
from training.ngram_log_odds import NgramLogOdds

NAMES = tuple(
    f"{text}_{stage}" for text in ("read", "joint") for stage in ("ngrams", "content", "style")
)
FAMILY = "read_text"
FEWEST_CHARACTERS = 4
Array = NDArray[np.float32]
Heads = Callable[[Array, Array], NDArray[np.floating]]


class TextReader:
    """The n-grams and the text specialist, asked about any text.

    `heads(embedding, lexical)` gives the specialist's log-odds, content and style first.
    """

    def __init__(self, extractor: TextExtractor, ngrams: NgramLogOdds, heads: Heads) -> None:
        self._extractor = extractor
        self._ngrams = ngrams
        self._heads = heads

    def columns(self, caption: str, read: str) -> Array:
        """float32[len(NAMES)]; NaN where hardly anything was read."""
        if len(read.strip()) < FEWEST_CHARACTERS:
            return np.full(len(NAMES), np.nan, np.float32)
        return np.array([*self._log_odds(read), *self._log_odds(f"{caption}\n{read}")], np.float32)

    def _log_odds(self, text: str) -> tuple[float, float, float]:
        cheap = self._extractor.cheap(text)
        content, style, *_ = self._heads(self._extractor.embedding(cheap.canonical), cheap.lexical)
        return self._ngrams.score(cheap.ngrams), float(content), float(style)
