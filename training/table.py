"""The training table: every feature of every row, computed once, before any trial."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data_contracts.labels import LabelledEvent
from pipelines.features.context import ContextColumns
from pipelines.features.text.encoder import TextEncoder
from pipelines.features.text.extraction import CheapFeatures, TextExtractor
from pipelines.features.text.ngrams import NgramRows
from pipelines.features.text.normalisation import readable
from pipelines.features.text.segments import segment_of
from pipelines.features.text.vocabulary import Vocabulary
from training.ngram_log_odds import document_rarity, tfidf_matrix

Say = Callable[[str], None]
SAY_EVERY = 4000


@dataclass(frozen=True)
class Table:
    """n rows: `targets` int64[n] (1 = spam), `matrix` CSR float32[n, buckets], `rarity` its idf,
    `lexical` float32[n, k], `context` float32[n, c], `embeddings` float32[n, d],
    `datasets` and `segments` str[n], `chances` float64[n] that a row was drawn, NaN where chosen.
    """

    targets: NDArray[np.int64]
    datasets: NDArray[np.str_]
    segments: NDArray[np.str_]
    matrix: Any
    rarity: NDArray[np.float32]
    lexical: NDArray[np.float32]
    context: NDArray[np.float32]
    embeddings: NDArray[np.float32]
    chances: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.targets)

    def part(self, rows: NDArray[np.int64]) -> Table:
        """The table of some rows."""
        return Table(
            self.targets[rows], self.datasets[rows], self.segments[rows], self.matrix[rows],
            self.rarity, self.lexical[rows], self.context[rows], self.embeddings[rows],
            self.chances[rows],
        )  # fmt: skip

    def followed_by(self, other: Table) -> Table:
        """The rows of both; `other` was read with the same `rarity`."""
        from scipy.sparse import vstack

        def both(name: str) -> Any:
            return np.concatenate([getattr(self, name), getattr(other, name)])

        return Table(
            both("targets"), both("datasets"), both("segments"),
            vstack([self.matrix, other.matrix], format="csr"), self.rarity, both("lexical"),
            both("context"), both("embeddings"), both("chances"),
        )  # fmt: skip


def build_table(
    rows: Sequence[LabelledEvent], encoder: TextEncoder, say: Say
) -> tuple[Table, Vocabulary, ContextColumns]:
    """The table, and what inference needs to read an event in the same way."""
    vocabulary = Vocabulary.of(readable(row.event.text) for row in rows)
    context = ContextColumns.of([row.event for row in rows])
    return read_table(rows, TextExtractor(vocabulary, encoder), context, say), vocabulary, context


def read_table(
    rows: Sequence[LabelledEvent],
    extractor: TextExtractor,
    context: ContextColumns,
    say: Say,
    rarity: NDArray[np.float32] | None = None,
) -> Table:
    """The table of some rows as inference reads them; without `rarity`, with that of these rows."""
    cheap = [extractor.cheap(row.event.text) for row in rows]
    counted = _stacked(cheap)
    rarity = document_rarity(counted) if rarity is None else rarity
    return Table(
        targets=np.array([row.is_spam for row in rows], np.int64),
        datasets=np.array([row.dataset for row in rows]),
        segments=np.array(
            [
                segment_of(features.lexical, row.event.language)
                for features, row in zip(cheap, rows, strict=True)
            ]
        ),
        matrix=tfidf_matrix(counted, rarity),
        rarity=rarity,
        lexical=np.stack([features.lexical for features in cheap]),
        context=np.stack([context.values(row.event) for row in rows]),
        embeddings=_embedded(cheap, extractor, say),
        chances=np.array([row.inclusion_probability for row in rows], np.float64),
    )


def _stacked(cheap: Sequence[CheapFeatures]) -> NgramRows:
    starts = np.zeros(len(cheap) + 1, np.int64)
    np.cumsum([len(features.ngrams.buckets) for features in cheap], out=starts[1:])
    return NgramRows(
        np.concatenate([features.ngrams.buckets for features in cheap]),
        np.concatenate([features.ngrams.values for features in cheap]),
        starts,
    )


def _embedded(
    cheap: Sequence[CheapFeatures], extractor: TextExtractor, say: Say
) -> NDArray[np.float32]:
    vectors = []
    for number, features in enumerate(cheap, 1):
        vectors.append(extractor.embedding(features.canonical))
        if number % SAY_EVERY == 0:
            say(f"embedded {number} of {len(cheap)} messages")
    return np.stack(vectors)
