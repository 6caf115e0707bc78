"""The frozen embedding of every event of a day: made once, kept in the lake as `features/day=`.

Texts are embedded in their readable form, so that a disguised campaign stays one campaign and
training finds most of the vectors in its cache.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data_contracts.config import Data
from data_contracts.tables import FEATURES
from pipelines import lake
from pipelines.configured_encoder import encoder_file, encoder_version
from pipelines.features.text.embedding_cache import CachedEncoder
from pipelines.features.text.encoder import Embedding
from pipelines.features.text.normalisation import readable
from pipelines.features.text.token_encoder import encoder_of


class EventEncoder(Protocol):
    """`embed` gives a unit vector a text; `version` names what made it."""

    @property
    def version(self) -> str: ...

    def embed(self, texts: Sequence[str]) -> list[Embedding]: ...


@dataclass(frozen=True)
class FrozenEncoder:
    """The configured sentence encoder; its file is only fetched where there is a text to embed."""

    data: Data
    cache: Path

    @property
    def version(self) -> str:
        return encoder_version(self.data, self.cache)

    def embed(self, texts: Sequence[str]) -> list[Embedding]:
        """Raises MissingPart where the model asset cannot be had."""
        file = encoder_file(self.data, self.cache)
        with CachedEncoder(encoder_of(file), self.cache / "embeddings", self.version) as encoder:
            return [encoder.encode(text) for text in texts]


def day_features(folder: Path, day: str, events: pa.Table, encoder: EventEncoder) -> pa.Table:
    """A row of FEATURES for each of the day's events, sorted; what the lake has is not made again.

    Raises MissingPart where the encoder cannot be had and the lake lacks an event.
    """
    kept = stored_features(folder, [day], encoder.version)
    kept = kept.filter(pc.is_in(kept["event_id"], value_set=events["event_id"].combine_chunks()))
    known = kept["event_id"].combine_chunks()
    missing = events.filter(pc.invert(pc.is_in(events["event_id"], value_set=known)))
    if missing.num_rows:
        texts = [readable(text) for text in missing["text"].to_pylist()]
        vectors = np.array(encoder.embed(texts), np.float32)
        kept = pa.concat_tables([kept, _rows(missing, vectors, encoder.version)])
    rows = kept.sort_by("event_id")
    lake.write(folder, "features", day, rows)
    return rows


def stored_features(folder: Path, days: Sequence[str], version: str) -> pa.Table:
    """What the lake has of these days by this encoder; other vectors cannot be compared."""
    rows = lake.read(folder, "features", days)
    return rows.filter(pc.equal(rows["encoder"], version))


def _rows(events: pa.Table, vectors: np.ndarray, version: str) -> pa.Table:
    n, width = vectors.shape
    lists = pa.ListArray.from_arrays(
        pa.array(np.arange(n + 1, dtype=np.int32) * width), pa.array(vectors.ravel())
    )
    columns = [events["event_id"], events["language"], lists, pa.array([version] * n)]
    return pa.table(columns, schema=FEATURES)
